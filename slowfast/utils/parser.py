"""PySlowFast's import path for the command line and for loading a config by hand."""

from __future__ import annotations

import argparse

from slowfast.config.cli import given_flags, parse_args
from slowfast.config.load import compose
from slowfast.config.node import CfgNode

__all__ = ["load_config", "parse_args"]


def load_config(args: argparse.Namespace, path_to_config: str | None = None) -> CfgNode:
    """Return the merged config of one file, which may still be changed.

    Launch scripts set options on it and then call ``assert_and_infer_cfg``; ``load_cfg`` does all
    of that and freezes.

    Args:
        args: what ``parse_args`` returns; attributes ``rng_seed`` and ``output_dir``, which a
            launch script may have set, win.
        path_to_config: the YAML file.
    """
    files = [path_to_config] if path_to_config else []
    cfg = compose(files, args.opts or [], extensions=getattr(args, "extensions", []))[0]
    cfg.update(given_flags(args))
    for attribute, key in (("rng_seed", "RNG_SEED"), ("output_dir", "OUTPUT_DIR")):
        if hasattr(args, attribute):
            cfg[key] = getattr(args, attribute)
    return cfg
