"""Compose, derive, check and freeze a config.

Order of merging, the last one wins: defaults, options that extensions declare, each file with its
bases, overrides, launch flags. torchrun's and Slurm's variables stand between files and flags.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slowfast.config import coerce, extensions, merge, tree
from slowfast.config.defaults import assert_and_infer_cfg, get_cfg
from slowfast.config.launch_env import LaunchFacts, launch_facts
from slowfast.config.node import CfgNode
from slowfast.errors import UsageError

Files = Sequence[str | Path] | str | Path
Sources = dict[str, str]


def load_cfg(
    files: Files,
    opts: Sequence[object] = (),
    *,
    extensions: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, int] | None = None,
) -> CfgNode:
    """Return the frozen config of ``files``, merged in order, and of ``opts``.

    Args:
        files: YAML files, each with its ``_BASE_`` files.
        opts: alternating keys and values that win over the files.
        extensions: modules or .py files to import, beside those that EXTENSIONS names.
        env: environment variables to look for a launcher's facts (default: the process's).
        flags: NUM_SHARDS and SHARD_ID as given on the command line; they win over all else.

    Raises:
        UsageError: a file is missing or broken; an option is unknown, of the wrong type, of an
            impossible value, or does not go together with another.
    """
    return load_cfg_with_sources(files, opts, extensions=extensions, env=env, flags=flags)[0]


def load_cfg_with_sources(
    files: Files,
    opts: Sequence[object] = (),
    *,
    extensions: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, int] | None = None,
) -> tuple[CfgNode, Sources]:
    """Return what ``load_cfg`` returns, and for each option that was set where it was set."""
    cfg, sources = compose(files, opts, extensions=extensions)
    _apply_launch(cfg, sources, os.environ if env is None else env, dict(flags or {}))
    before = dict(tree.leaves(cfg))
    assert_and_infer_cfg(cfg)
    for key, value in tree.leaves(cfg):
        if value != before[key]:
            sources[key] = f"derived, was {before[key]!r} ({sources.get(key, 'default')})"
    cfg.freeze()
    return cfg, sources


def compose(
    files: Files, opts: Sequence[object] = (), *, extensions: Sequence[str] = ()
) -> tuple[CfgNode, Sources]:
    """Return the merged tree, not yet derived, checked or frozen, and where its values are from."""
    files = [files] if isinstance(files, (str, Path)) else files
    assignments = [item for file in files for item in merge.read_yaml(file)]
    assignments += merge.pairs(opts)
    names = _import_all(assignments, extensions)
    cfg = get_cfg()
    sources = merge.merge(cfg, [*merge.declared(cfg), *assignments])
    cfg.EXTENSIONS = names
    return cfg, sources


def _import_all(assignments: Sequence[merge.Assignment], more: Sequence[str]) -> list[str]:
    """Import the extensions that the last assignment of EXTENSIONS and ``more`` name."""
    names: list[str] = []
    for item in assignments:
        if item.key == "EXTENSIONS":
            value = coerce.literal(item.value) if isinstance(item.value, str) else item.value
            listed = [value] if isinstance(value, str) else list(value or [])
            names = [extensions.locate(str(name), item.folder) for name in listed]
    names = list(dict.fromkeys([*names, *(extensions.locate(name) for name in more)]))
    extensions.import_extensions([*extensions.installed_extensions(), *names])
    return names


def _apply_launch(
    cfg: CfgNode, sources: Sources, env: Mapping[str, str], flags: dict[str, int]
) -> None:
    """Write NUM_GPUS, NUM_SHARDS and SHARD_ID as the flags or the launcher say."""
    for key, value in flags.items():
        cfg[key] = value
        sources[key] = f"--{key.lower()}"
    facts = launch_facts(
        env, num_gpus=cfg.NUM_GPUS, num_shards=cfg.NUM_SHARDS, shard_id=cfg.SHARD_ID
    )
    if not facts.is_worker:
        return
    wanted = {"NUM_SHARDS": facts.num_shards, "SHARD_ID": facts.shard_id}
    if cfg.NUM_GPUS > 0:
        wanted["NUM_GPUS"] = facts.local_world_size
    for key, value in wanted.items():
        _agree(cfg, sources, facts, key, value, given=key in flags)
        if cfg[key] != value:
            cfg[key] = value
            sources[key] = f"environment ({facts.mode})"


def _agree(
    cfg: CfgNode, sources: Sources, facts: LaunchFacts, key: str, value: int, *, given: bool
) -> None:
    """Refuse a flag, or a NUM_GPUS that was set, which a launcher contradicts."""
    if cfg[key] == value or not (given or (key == "NUM_GPUS" and key in sources)):
        return
    raise UsageError(
        f"{key} is {cfg[key]} ({sources[key]}), but {facts.mode} started "
        f"{facts.local_world_size} processes on each of {facts.num_shards} machines, which makes "
        f"it {value}; remove the setting or start as many processes"
    )


def override(cfg: CfgNode, values: Mapping[str, Any]) -> CfgNode:
    """Return a frozen copy of ``cfg`` with some options set to other values; ``cfg`` stays.

    For what changes within a run by design, such as the list of view counts of a test.
    """
    copy = cfg.clone()
    copy.defrost()
    merge.merge(copy, [merge.Assignment(key, value, "override") for key, value in values.items()])
    copy.freeze()
    return copy
