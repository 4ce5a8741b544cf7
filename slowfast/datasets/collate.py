"""From samples to a batch: the five items that PySlowFast's loops unpack.

A sample is ``(frames, label, index, time, meta)``: ``frames`` a list with one C x T x S x S tensor
per pathway, or, for a video that gives several clips, a list of such lists with as many labels,
indices and times. ``frames`` None marks a video that could not be read; it is left out.
PySlowFast's older ``(frames, label, index, meta)`` and ``(frames, label, index)`` are taken, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from slowfast.datasets.build import broken_dataset

Sample = tuple[Any, Any, Any, Any, Mapping[str, Any]]
Batch = tuple[list[Tensor], Tensor, Tensor, Tensor, dict[str, Any]]


def as_sample(item: Any, source: str) -> Sample:
    """Return what the data set called ``source`` gave as the five items.

    Without a time it is 0; a meta that is no mapping comes under the key "meta".

    Raises:
        UsageError: it is none of the three forms, or has several labels by name.
    """
    if not isinstance(item, (list, tuple)) or not 3 <= len(item) <= 5:
        found = f" of {len(item)}" if isinstance(item, (list, tuple)) else ""
        raise broken_dataset(source, f"returned a {type(item).__name__}{found}")
    frames, label, index, *more = item
    time, meta = [None, None, *more][-2:]
    if isinstance(label, Mapping):
        raise broken_dataset(
            source,
            f"returned a dict of labels ({', '.join(map(str, label))}): return the one to learn,"
            " and the others in meta",
        )
    if time is None and frames is not None:
        time = [np.zeros(3)] * len(frames) if _is_nested(frames) else np.zeros((1, 3))
    if not isinstance(meta, Mapping):
        meta = {} if meta is None else {"meta": [meta]}
    return frames, label, index, time, meta


def _is_nested(frames: Any) -> bool:
    return isinstance(frames, (list, tuple)) and isinstance(next(iter(frames), 0), (list, tuple))


def _flatten(samples: Sequence[Sample]) -> list[tuple[Any, Any, Any, Any]]:
    """Return one (frames, label, index, time) a clip, clips of one video adjacent."""
    clips: list[tuple[Any, Any, Any, Any]] = []
    for frames, label, index, time, _ in samples:
        if frames is None:
            continue
        if _is_nested(frames):
            clips.extend(zip(frames, label, index, time))
        else:
            clips.append((frames, label, index, time))
    return clips


def collate_meta(metas: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return each key's values of all samples in one list; lists are joined.

    >>> collate_meta([{}, {"broken": [("a.mp4", "empty")]}, {"name": "x"}])
    {'broken': [('a.mp4', 'empty')], 'name': ['x']}
    """
    out: dict[str, Any] = {}
    for meta in metas:
        for key, value in meta.items():
            out.setdefault(key, []).extend(value if isinstance(value, list) else [value])
    return out


def collate(items: Sequence[Any], source: str = "of this loader") -> Batch:
    """Return ``(inputs, labels, index, time, meta)``.

    ``inputs``: list with one float B x C x T x S x S tensor per pathway (empty when no sample could
    be read); ``labels``: int64 B, or float B x K for several labels; ``index``: int64 B; ``time``:
    float64 B x 1 x 3, or Bn x 3 when a video gives n clips; ``meta``: see ``collate_meta``.

    Args:
        items: what the data set gave, each as ``as_sample`` takes it.
        source: class of the data set, for messages.

    Raises:
        UsageError: items that cannot be put together.
    """
    samples = [as_sample(item, source) for item in items]
    meta = collate_meta([sample[4] for sample in samples])
    clips = _flatten(samples)
    if not clips:
        nothing = torch.empty(0, dtype=torch.int64)
        return [], nothing, nothing, torch.empty(0, 1, 3, dtype=torch.float64), meta
    frames, labels, indices, times = zip(*clips)
    inputs = _stack(frames, source)
    try:
        return (
            inputs,
            default_collate([torch.as_tensor(label) for label in labels]),
            default_collate([int(index) for index in indices]),
            default_collate([np.asarray(time, dtype=np.float64) for time in times]),
            meta,
        )
    except (TypeError, ValueError, RuntimeError) as error:
        kinds = ", ".join(type(value).__name__ for value in clips[0][1:])
        reason = str(error).partition("\n")[0]
        raise broken_dataset(
            source, f"returned label, index and time as {kinds}, not all numbers: {reason}"
        ) from error


def _stack(frames: Sequence[Any], source: str) -> list[Tensor]:
    """Return one tensor a pathway; a bare tensor counts as one pathway."""
    clips = [[one] if isinstance(one, Tensor) else one for one in frames]
    for clip in clips:
        kinds = [type(part).__name__ for part in clip if not isinstance(part, Tensor)]
        if kinds or not len(clip):
            raise broken_dataset(source, f"returned frames as {kinds[0] if kinds else 'nothing'}")
    shapes = sorted({tuple(tuple(part.shape) for part in clip) for clip in clips})
    if len(shapes) > 1:
        raise broken_dataset(source, f"returned clips of shapes {shapes[0]} and {shapes[1]}")
    return [torch.stack(parts) for parts in zip(*clips)]
