"""Options: their defaults, how files and overrides are merged, and what is refused."""

from slowfast.config.configurable import configurable
from slowfast.config.defaults import assert_and_infer_cfg, get_cfg
from slowfast.config.derive import view_counts
from slowfast.config.launch_env import LaunchFacts, launch_facts
from slowfast.config.load import load_cfg, load_cfg_with_sources, override
from slowfast.config.node import CfgNode
from slowfast.config.paths import resolve_path

__all__ = [
    "CfgNode",
    "LaunchFacts",
    "assert_and_infer_cfg",
    "configurable",
    "get_cfg",
    "launch_facts",
    "load_cfg",
    "load_cfg_with_sources",
    "override",
    "resolve_path",
    "view_counts",
]
