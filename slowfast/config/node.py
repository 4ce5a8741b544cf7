"""The node of the option tree."""

from __future__ import annotations

from collections.abc import Sequence

from fvcore.common.config import CfgNode as _CfgNode

from slowfast.config import merge


class CfgNode(_CfgNode):
    """fvcore's node whose merging follows the rules of ``slowfast.config.merge``.

    PySlowFast's scripts merge by hand: ``get_cfg()``, ``merge_from_file``, ``merge_from_list``.
    """

    def merge_from_file(self, cfg_filename: str, allow_unsafe: bool = False) -> None:
        """Merge the YAML file ``cfg_filename`` and its bases; raises UsageError."""
        merge.merge(self, merge.read_yaml(cfg_filename))

    def merge_from_list(self, cfg_list: Sequence[object]) -> None:
        """Merge pairs of key and value, as from a command line; raises UsageError."""
        merge.merge(self, merge.pairs(cfg_list))
