"""Our own files, and those of any model that PySlowFast trained: keys are what the model says."""

from __future__ import annotations

from collections.abc import Collection

from slowfast.checkpoint.adapters.rules import Adapter


def _recognise(keys: Collection[str]) -> bool:
    return any(key.startswith("clip.") for key in keys)


OPTIONS = (
    ("encoder.trunk.*", "MODEL.ENCODER"),
    ("encoder.trunk.*", "TRUNK.ARCH"),
    ("head.projection.*", "MODEL.HEAD_NAME"),
)
SIZES = (
    ("encoder.trunk.*", "TRUNK.ARCH"),
    ("head.projection.*", "TEXT.CLASSES and TEXT.SUBSET"),
)
SLOWFAST = Adapter("slowfast", _recognise, (), options=OPTIONS, sizes=SIZES)
