"""From the weights of any known system to our key names."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

from slowfast.checkpoint.adapters.openai_clip import OPEN_CLIP, OPENAI_CLIP
from slowfast.checkpoint.adapters.ost import OST
from slowfast.checkpoint.adapters.pytorchvideo import PYTORCHVIDEO
from slowfast.checkpoint.adapters.rules import Adapted, Adapter, apply, strip_wrappers
from slowfast.checkpoint.adapters.slowfast import SLOWFAST
from slowfast.checkpoint.adapters.text4vis import TEXT4VIS
from slowfast.checkpoint.adapters.vifi_clip import VIFI_CLIP
from slowfast.errors import UsageError

# In the order in which they are tried; those of ``register_adapter`` come before them.
_OURS = (SLOWFAST, OST, VIFI_CLIP, TEXT4VIS, OPENAI_CLIP, OPEN_CLIP, PYTORCHVIDEO)
ADAPTERS = {adapter.name: adapter for adapter in _OURS}
AUTO = ("auto", "pytorch", "")

__all__ = ["ADAPTERS", "Adapted", "Adapter", "adapt", "check_kind", "recognise", "register_adapter"]


def register_adapter(adapter: Adapter) -> Adapter:
    """Let files of one more system be read; return the adapter.

    It is tried before all that were there, so its ``recognise`` must be true of its own system's
    keys only. A second one of the same name replaces the first.

    >>> mine = register_adapter(Adapter("mine", lambda keys: "mine.scale" in keys,
    ...                                 (("mine.tower.", "clip.visual."),)))
    >>> recognise(["module.mine.scale", "module.mine.tower.proj"]) is mine
    True
    >>> ADAPTERS.pop("mine") is mine
    True
    """
    known = {name: other for name, other in ADAPTERS.items() if name != adapter.name}
    ADAPTERS.clear()
    ADAPTERS.update({adapter.name: adapter, **known})
    return adapter


def check_kind(kind: str, option: str = "checkpoint type") -> None:
    """Refuse a kind that no adapter has; ``option`` says where it was named.

    Raises:
        UsageError: lists the known kinds.
    """
    if kind not in AUTO and kind not in ADAPTERS:
        raise UsageError(f"{option} {kind!r}: choose auto or one of {', '.join(ADAPTERS)}")


def recognise(keys: Collection[str]) -> Adapter:
    """Return the adapter whose system wrote these keys.

    Keys of no known system are taken as they are: PySlowFast files of people's own models.
    """
    bare = {strip_wrappers(key) for key in keys}
    return next((a for a in ADAPTERS.values() if a.recognise(bare)), SLOWFAST)


def adapt(state: Mapping[str, Tensor], kind: str = "auto") -> Adapted:
    """Return ``state`` in our key space.

    Args:
        state: tensors under a file's own keys, with or without prefixes of wrappers.
        kind: a name of ``ADAPTERS``; "auto" (or PySlowFast's "pytorch") tells it from the keys.

    Raises:
        UsageError: unknown kind, or keys that are not of the named kind.
    """
    if kind in AUTO:
        return apply(recognise(state), state)
    check_kind(kind)
    adapter = ADAPTERS[kind]
    if adapter.renames and not adapter.fits({strip_wrappers(key) for key in state}):
        raise UsageError(
            f"these are no {kind} weights: they begin with {', '.join(list(state)[:2])}, which "
            f"looks like {recognise(state).name}; let the type be recognised (auto)"
        )
    return apply(adapter, state)
