"""An open_clip model from a name or a JSON file, with weights from a tag or a file."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import open_clip
from huggingface_hub import hf_hub_url, try_to_load_from_cache
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
from open_clip.pretrained import download_pretrained, get_pretrained_cfg
from torch import nn

from slowfast.checkpoint.load import load_weights
from slowfast.config.arch import context_length, read_arch
from slowfast.errors import UsageError
from slowfast.models.clip.text import is_trimmable
from slowfast.text.tokenize import HuggingFaceTokenizer, Tokenizer, byte_pairs

logger = logging.getLogger(__name__)
# Kinds of weights files whose keys do not tell the activation function; OpenAI's is QuickGELU.
MOSTLY_QUICK_GELU = ("openai_clip", "ost", "vifi_clip")


def build_clip(arch: str, pretrained: str = "") -> open_clip.CustomTextCLIP:
    """Return CLIP with its two towers apart: ``.visual``, ``.text``, ``.logit_scale``.

    Its ``.tokenizer`` makes the ids that its text tower takes.

    Args:
        arch: a model name of open_clip ("ViT-B-16-quickgelu", "ViT-B-16-SigLIP2"), or the path of
            a JSON file in open_clip's form (``embed_dim``, ``vision_cfg``, ``text_cfg``).
        pretrained: a tag of open_clip ("openai", "webli"), or a file of weights in OpenAI's or
            open_clip's form; empty for random weights (drawn from torch's global generator).

    Raises:
        UsageError: unknown arch or tag, no such file, weights of another arch, a package that the
            arch needs and that is not installed.
    """
    config = read_arch(arch)
    # open_clip's own default is to download weights for towers of these libraries.
    config["vision_cfg"]["timm_model_pretrained"] = False
    config["text_cfg"]["hf_model_pretrained"] = False
    try:
        clip = open_clip.CustomTextCLIP(**config)
    except (ImportError, OSError, TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"CLIP.ARCH {arch}: not a usable model configuration: {error}") from None
    clip.text.context_length = context_length(config)
    clip.visual.output_dim = config["embed_dim"]
    clip.tokenizer = build_tokenizer(config, trim=is_trimmable(clip.text))
    if pretrained:
        quick_gelu = bool(config.get("quick_gelu"))
        path = _find_weights(arch, pretrained, quick_gelu=quick_gelu)
        report = load_weights(nn.ModuleDict({"clip": clip}), path)
        # Of a tag open_clip says which activation it needs, and that was checked.
        if report.kind in MOSTLY_QUICK_GELU and not quick_gelu and path == Path(pretrained):
            logger.warning(
                "%s: these look like OpenAI's weights or weights tuned from them, which need "
                "QuickGELU, and CLIP.ARCH %s has the exact GELU",
                path,
                arch,
            )
    return clip


def build_tokenizer(config: Mapping[str, Any], *, trim: bool) -> Tokenizer:
    """Return the tokenizer of a model configuration, by the rule of open_clip's get_tokenizer.

    Args:
        config: what ``read_arch`` returns.
        trim: whether the text tower's feature depends on nothing behind the end of a text.
    """
    text = config["text_cfg"]
    if not text.get("hf_tokenizer_name"):
        return byte_pairs
    return HuggingFaceTokenizer(
        text["hf_tokenizer_name"],
        positions=context_length(config),
        # Where the end is found as the largest id, another tokenizer's padding may be that.
        trim=trim and text.get("pool_type") == "eos",
        mode=text.get("tokenizer_mode") or "",
        options=text.get("tokenizer_kwargs") or {},
    )


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
    return _download(source, f"CLIP.PRETRAINED {pretrained!r}: the weights of {arch}")


def _download(source: Mapping[str, Any], what: str) -> Path:
    """Return the file of a tag from the cache or its address, which gets one attempt.

    Args:
        source: open_clip's entry: ``hf_hub`` (repository/, or repository/file) or ``url``.
        what: subject of the error.
    """
    repository, _, name = source.get("hf_hub", "").rpartition("/")
    names = (name,) if name else (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME)
    url = hf_hub_url(repository, names[0]) if repository else source["url"]
    for name in names if repository else ():
        if isinstance(found := try_to_load_from_cache(repository, name), str):
            return Path(found)
    try:
        if repository:  # its client would try for a minute
            _knock(url)
        return Path(download_pretrained(source))
    except (OSError, RuntimeError) as error:
        line = str(getattr(error, "reason", error)).splitlines()[0]
        place = f"weights/{Path(url).name}"
        raise UsageError(
            f"{what} are not on this machine and could not be fetched ({line}): save {url} as "
            f"{place} and set CLIP.PRETRAINED {place}"
        ) from None


def _knock(url: str) -> None:
    """Raise OSError if the host of ``url`` cannot be reached; what it answers does not matter."""
    with suppress(HTTPError), urlopen(Request(url, method="HEAD"), timeout=10):
        pass
