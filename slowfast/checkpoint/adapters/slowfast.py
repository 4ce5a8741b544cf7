"""Our own files, and those of any model that PySlowFast trained: keys are what the model says."""

from __future__ import annotations

from slowfast.checkpoint.adapters.rules import Adapter, begin

OPTIONS = (
    ("encoder.trunk.*", "MODEL.ENCODER"),
    ("encoder.trunk.*", "TRUNK.ARCH"),
    ("head.projection.*", "MODEL.HEAD_NAME"),
)
SIZES = (
    ("encoder.trunk.*", "TRUNK.ARCH"),
    ("head.projection.*", "TEXT.CLASSES and TEXT.SUBSET"),
)
SLOWFAST = Adapter("slowfast", lambda keys: begin(keys, "clip."), (), options=OPTIONS, sizes=SIZES)
