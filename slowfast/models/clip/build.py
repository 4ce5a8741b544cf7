"""An open_clip model from a name or a JSON file, with weights from a tag or a file."""

from __future__ import annotations

import difflib
import json
import logging
from pathlib import Path
from typing import Any

import open_clip
from open_clip.pretrained import download_pretrained, get_pretrained_cfg
from torch import nn

from slowfast.checkpoint.load import load_weights
from slowfast.config.paths import resolve_path
from slowfast.errors import UsageError

logger = logging.getLogger(__name__)
# Kinds of weights files whose keys do not tell the activation function; OpenAI's is QuickGELU.
MOSTLY_QUICK_GELU = ("openai_clip", "ost", "vifi_clip")


def build_clip(arch: str, pretrained: str = "") -> open_clip.CustomTextCLIP:
    """Return CLIP with its two towers apart: ``.visual``, ``.text``, ``.logit_scale``.

    Args:
        arch: a model name of open_clip ("ViT-B-16-quickgelu"), or the path of a JSON file in
            open_clip's form (``embed_dim``, ``vision_cfg``, ``text_cfg``, ``quick_gelu``).
        pretrained: a tag of open_clip ("openai"), or a file of weights in OpenAI's or open_clip's
            form; empty for random weights (drawn from torch's global generator).

    Raises:
        UsageError: unknown arch or tag, no such file, weights of another arch.
    """
    config = _read_config(arch)
    try:
        clip = open_clip.CustomTextCLIP(**config)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"CLIP.ARCH {arch}: not a usable model configuration: {error}") from None
    if pretrained:
        quick_gelu = bool(config.get("quick_gelu"))
        path = _find_weights(arch, pretrained, quick_gelu=quick_gelu)
        report = load_weights(nn.ModuleDict({"clip": clip}), path)
        if report.kind in MOSTLY_QUICK_GELU and not quick_gelu:
            logger.warning(
                "%s: these look like OpenAI's weights or weights tuned from them, which need "
                "QuickGELU, and CLIP.ARCH %s has the exact GELU",
                path,
                arch,
            )
    return clip


def _read_config(arch: str) -> dict[str, Any]:
    config = _read_json(resolve_path(arch)) if arch.endswith(".json") else _look_up(arch)
    config = config.get("model_cfg", config)
    config.pop("custom_text", None)
    if missing := {"embed_dim", "vision_cfg", "text_cfg"} - set(config):
        raise UsageError(f"CLIP.ARCH {arch}: the model configuration lacks {sorted(missing)}")
    text = config["text_cfg"]
    if "multimodal_cfg" in config or text.get("hf_model_name") or text.get("hf_tokenizer_name"):
        raise UsageError(
            f"CLIP.ARCH {arch}: its text tower needs another tokenizer or a captioning decoder; "
            "this project supports the archs that use CLIP's own tokenizer"
        )
    return config


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UsageError(f"CLIP.ARCH {path}: no such file")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UsageError(f"CLIP.ARCH {path}:{error.lineno}: not valid JSON: {error.msg}") from None
    if not isinstance(config, dict):
        raise UsageError(f"CLIP.ARCH {path}: expected a JSON object")
    return config


def _look_up(arch: str) -> dict[str, Any]:
    name = arch.replace("/", "-")
    known = open_clip.list_models()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        raise UsageError(
            f"CLIP.ARCH {arch!r}: not a model name of open_clip{hint} "
            "(a JSON model configuration ends in .json)"
        )
    return open_clip.get_model_config(name)


def _find_weights(arch: str, pretrained: str, *, quick_gelu: bool) -> Path:
    if Path(pretrained).is_file():
        return Path(pretrained)
    name = arch.replace("/", "-")
    source = None if arch.endswith(".json") else get_pretrained_cfg(name, pretrained)
    if not source:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
        raise UsageError(
            f"CLIP.PRETRAINED {pretrained!r}: neither a file nor a tag of {arch}; its tags: {tags}"
        )
    if source.get("quick_gelu") and not quick_gelu:
        raise UsageError(
            f"CLIP.PRETRAINED {pretrained!r}: these weights were trained with QuickGELU, "
            f"CLIP.ARCH {arch} has the exact GELU; use {name}-quickgelu"
        )
    try:
        return Path(download_pretrained(source))
    except (OSError, RuntimeError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"CLIP.PRETRAINED {pretrained!r}: the weights of {arch} could not be downloaded "
            f"({line}); give the path of a file instead"
        ) from None
