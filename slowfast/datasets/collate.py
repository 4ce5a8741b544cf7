"""From samples to a batch: the five items that PySlowFast's loops unpack.

A sample is ``(frames, label, index, time, meta)``: ``frames`` a list with one C x T x S x S tensor
per pathway, or, for a video that gives several clips, a list of such lists with as many labels,
indices and times. ``frames`` None marks a video that could not be read; it is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

Sample = tuple[Any, Any, Any, Any, Mapping[str, Any]]
Batch = tuple[list[Tensor], Tensor, Tensor, Tensor, dict[str, Any]]


def _is_nested(frames: Any) -> bool:
    return isinstance(frames, (list, tuple)) and isinstance(frames[0], (list, tuple))


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


def collate(samples: Sequence[Sample]) -> Batch:
    """Return ``(inputs, labels, index, time, meta)``.

    ``inputs``: list with one float B x C x T x S x S tensor per pathway (empty when no sample could
    be read); ``labels``: int64 B, or float B x K for several labels; ``index``: int64 B; ``time``:
    float64 B x 1 x 3, or Bn x 3 when a video gives n clips; ``meta``: see ``collate_meta``.
    """
    meta = collate_meta([sample[4] for sample in samples])
    clips = _flatten(samples)
    if not clips:
        nothing = torch.empty(0, dtype=torch.int64)
        return [], nothing, nothing, torch.empty(0, 1, 3, dtype=torch.float64), meta
    frames, labels, indices, times = zip(*clips)
    pathways = [_pathways(one) for one in frames]
    inputs = [torch.stack(parts) for parts in zip(*pathways)]
    return (
        inputs,
        default_collate(list(labels)),
        default_collate([int(index) for index in indices]),
        default_collate([np.asarray(time, dtype=np.float64) for time in times]),
        meta,
    )


def _pathways(frames: Any) -> Sequence[Tensor]:
    return [frames] if isinstance(frames, Tensor) else frames
