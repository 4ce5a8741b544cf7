"""The mean frame against the mean descriptor: OST's texts without its transport."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from open_clip import CustomTextCLIP

from slowfast.errors import UsageError
from slowfast.models.heads.build import HEAD_REGISTRY
from slowfast.models.heads.ost import DESCRIPTOR_OPTIONS, OSTHead


@HEAD_REGISTRY.register()
class PooledDescriptorHead(OSTHead):
    """OSTHead whose transported scores are always those of the uniform plan.

    The score of a kind of descriptors is then the inner product of the mean unit frame and the mean
    unit descriptor, so one feature for a whole video will do. Arguments are OSTHead's.
    """

    options: tuple[str, ...] = DESCRIPTOR_OPTIONS
    requires: ClassVar[dict[str, str]] = {}

    @classmethod
    def from_cfg(cls, cfg: Any, clip: CustomTextCLIP, *, templates: str) -> dict[str, Any]:
        """Read the texts and the ``OST`` options; ``MATCHING`` is pooled here.

        Raises:
            UsageError: class names instead of descriptors are asked for.
        """
        if cfg.OST.MATCHING == "category":
            raise UsageError(
                "OST.MATCHING category with MODEL.HEAD_NAME PooledDescriptorHead, which matches "
                "descriptors: use OSTHead or CategoryHead for class names, or set OST.MATCHING "
                "pooled"
            )
        arguments = super().from_cfg(cfg, clip, templates=templates)
        return {**arguments, "matching": replace(arguments["matching"], method="pooled")}
