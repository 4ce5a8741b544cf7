"""What CLIP.ARCH and CLIP.PRETRAINED stand for in open_clip: towers, tokenizer, preprocessing.

Read from open_clip's tables or a JSON file; nothing is built or downloaded here.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from slowfast.config.paths import find_file, resolve_path
from slowfast.errors import UsageError

if TYPE_CHECKING:
    from open_clip.transform import PreprocessCfg

DEFAULT_CONTEXT = 77
DEFAULT_IMAGE_SIZE = 224
# Fields of a text tower that name something of Hugging Face, which may be a local folder.
_NAMES = ("hf_model_name", "hf_tokenizer_name")


def read_arch(arch: str) -> dict[str, Any]:
    """Return the model configuration of ``CLIP.ARCH``: ``embed_dim``, ``vision_cfg``, ``text_cfg``.

    Args:
        arch: a model name of open_clip, or the path of a JSON file in its form (or that of the
            ``open_clip_config.json`` of a released model, with ``model_cfg`` inside). Folders that
            a file names (``hf_tokenizer_name``) are looked for beside it as well.

    Raises:
        UsageError: unknown name, no such file, or an arch without an image and a text tower.
    """
    config = _read_file(arch) if arch.endswith(".json") else _look_up(arch)
    config = config.get("model_cfg", config)
    if not isinstance(config, dict):
        raise UsageError(f"CLIP.ARCH {arch}: expected a JSON object as model_cfg")
    if reason := refusal(config):
        raise UsageError(f"CLIP.ARCH {arch}: {reason}")
    config.pop("custom_text", None)
    if arch.endswith(".json"):
        folder, text = resolve_path(arch).parent, config["text_cfg"]
        beside = {key: folder / text[key] for key in _NAMES if text.get(key)}
        text.update({key: str(path) for key, path in beside.items() if path.is_dir()})
    return config


def refusal(config: Mapping[str, Any]) -> str:
    """Return why a model configuration cannot be used, or an empty text if it can."""
    if "multimodal_cfg" in config:
        return "a captioning model, whose text tower ends in a decoder; choose a contrastive one"
    if missing := {"embed_dim", "vision_cfg", "text_cfg"} - set(config):
        return f"the model configuration lacks {sorted(missing)}"
    return ""


def context_length(config: Mapping[str, Any]) -> int:
    """Return how many tokens the text tower of a model configuration is fed with."""
    return int(config["text_cfg"].get("context_length", DEFAULT_CONTEXT))


def read_preprocessing(arch: str, pretrained: str = "") -> PreprocessCfg:
    """Return what open_clip does to an image before the tower of one arch sees it.

    The size is the arch's, as (height, width) in pixels; mean and std are of RGB in [0, 1]. The
    rest is the tag's; of a JSON file its ``preprocess_cfg``. Where ``pretrained`` is no tag (a
    file, or none), it is what all tags of the arch share, so that downloaded SigLIP weights are fed
    like the tag; open_clip's own default where they differ.
    """
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model
    from open_clip.transform import PreprocessCfg

    size = read_arch(arch)["vision_cfg"].get("image_size", DEFAULT_IMAGE_SIZE)
    base = PreprocessCfg(size=(size, size) if isinstance(size, int) else tuple(size))
    if arch.endswith(".json"):
        return _overlay(base, _read_file(arch).get("preprocess_cfg", {}))
    name = arch.replace("/", "-")
    if tag := get_pretrained_cfg(name, pretrained):
        return _overlay(base, tag)
    tags = list_pretrained_tags_by_model(name)
    first, *others = [_overlay(base, get_pretrained_cfg(name, tag)) for tag in tags] or [base]
    return first if all(other == first for other in others) else base


def frame_size(cfg: Any) -> tuple[int, int]:
    """Return (height, width) of the frames that a model is trained on, in pixels."""
    if cfg.DATA.TRANSFORMS == "open_clip":
        return read_preprocessing(cfg.CLIP.ARCH, cfg.CLIP.PRETRAINED).size
    return cfg.DATA.TRAIN_CROP_SIZE, cfg.DATA.TRAIN_CROP_SIZE


def _overlay(base: PreprocessCfg, fields: Mapping[str, Any]) -> PreprocessCfg:
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    given = {key: tuple(x) if isinstance(x, list) else x for key, x in fields.items()}
    return PreprocessCfg(**merge_preprocess_dict(base, {**given, "size": None, "mode": None}))


def _read_file(arch: str) -> dict[str, Any]:
    path = find_file(arch, "model configuration (CLIP.ARCH)")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UsageError(f"CLIP.ARCH {path}:{error.lineno}: not valid JSON: {error.msg}") from None
    if not isinstance(config, dict):
        raise UsageError(f"CLIP.ARCH {path}: expected a JSON object")
    return config


def _look_up(arch: str) -> dict[str, Any]:
    import open_clip

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
