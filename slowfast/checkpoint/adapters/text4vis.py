"""Files of the released Text4Vis code: image tower, scale and temporal head, no text tower."""

from __future__ import annotations

from collections.abc import Collection

from slowfast.checkpoint.adapters.rules import Adapter, begin

RENAMES = (
    ("visual.", "clip.visual."),
    ("fusion_model.", "encoder.temporal."),
    ("logit_scale", "clip.logit_scale"),
)
INNER = (
    (".module.", ".", ""),  # the head inside a wrapper of its own
    (".net.", ".", "TEXT4VIS.TEMPORAL tsm"),
)
OPTIONS = (
    ("encoder.temporal.*", "TEXT4VIS.HEAD"),
    ("clip.visual.*.control_point.*", "TEXT4VIS.TEMPORAL"),
    ("clip.visual.time_embedding", "TEXT4VIS.JOINT"),
)
SIZES = (("clip.visual.time_embedding", "DATA.NUM_FRAMES"),)


def _recognise(keys: Collection[str]) -> bool:
    starts = tuple(old for old, _ in RENAMES)
    return (
        "logit_scale" in keys
        and begin(keys, "visual.")
        and all(key.startswith(starts) for key in keys)
    )


TEXT4VIS = Adapter(
    "text4vis",
    _recognise,
    RENAMES,
    absent=("clip.text.*",),
    inner=INNER,
    options=OPTIONS,
    sizes=SIZES,
)
