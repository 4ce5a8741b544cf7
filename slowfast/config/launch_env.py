"""What the environment says about the launch: torchrun's and Slurm's variables."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from slowfast.errors import UsageError


@dataclass(frozen=True)
class LaunchFacts:
    """How this process was started.

    ``mode``: ``single`` (this process does the work), ``spawn`` (it starts one process for each
    GPU), ``torchrun`` or ``slurm`` (it is one of many that somebody else started). ``rank`` and
    ``local_rank`` are those of the first process of this machine under ``spawn``.
    """

    mode: Literal["single", "spawn", "torchrun", "slurm"]
    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1
    shard_id: int = 0

    @property
    def num_shards(self) -> int:
        """Return the number of machines."""
        return self.world_size // self.local_world_size

    @property
    def is_worker(self) -> bool:
        """Return whether somebody else started the processes, so that nothing may be spawned."""
        return self.mode in ("torchrun", "slurm")


def launch_facts(
    env: Mapping[str, str] | None = None,
    *,
    num_gpus: int = -1,
    num_shards: int = 1,
    shard_id: int = 0,
) -> LaunchFacts:
    """Return how this process was started, from ``env`` (default: the process's) and the config.

    torchrun's variables come before Slurm's, and those before the config. ``num_gpus`` -1, not yet
    counted, stands for one process here. A Slurm step whose tasks
    are whole machines (``num_shards`` of them, each with several GPUs) spawns on each of them.

    Raises:
        UsageError: the variables contradict each other.
    """
    env = os.environ if env is None else env
    if all(name in env for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")):
        return _torchrun(env)
    if "SLURM_PROCID" in env and _number(env, "SLURM_NTASKS", 1) > 1:
        facts = _slurm(env)
        machines = num_shards == facts.world_size and num_gpus > 1 and facts.local_world_size == 1
        if not machines:
            return facts
    local = max(1, num_gpus)
    if local == 1 and num_shards == 1:
        return LaunchFacts("single")
    return LaunchFacts("spawn", shard_id * local, num_shards * local, 0, local, shard_id)


def _number(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, str(default))
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"environment: {name} must be a whole number, found {text!r}") from None


def _torchrun(env: Mapping[str, str]) -> LaunchFacts:
    rank, world = _number(env, "RANK", 0), _number(env, "WORLD_SIZE", 1)
    local = _number(env, "LOCAL_WORLD_SIZE", world)
    shard = _number(env, "GROUP_RANK", rank // max(1, local))
    local_rank = _number(env, "LOCAL_RANK", 0)
    return _checked(LaunchFacts("torchrun", rank, world, local_rank, local, shard))


def _slurm(env: Mapping[str, str]) -> LaunchFacts:
    rank, world = _number(env, "SLURM_PROCID", 0), _number(env, "SLURM_NTASKS", 1)
    local_rank = _number(env, "SLURM_LOCALID", 0)
    local = _slurm_tasks_per_node(env, world)
    shard = _number(env, "SLURM_NODEID", rank // max(1, local))
    return _checked(LaunchFacts("slurm", rank, world, local_rank, local, shard))


def _slurm_tasks_per_node(env: Mapping[str, str], world: int) -> int:
    for name in ("SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"):
        if name in env:  # written as 4(x2) for 4 tasks on each of 2 machines, or 4,3
            counts = set(re.findall(r"(\d+)(?:\(x\d+\))?(?:,|$)", env[name]))
            if len(counts) != 1:
                raise UsageError(
                    f"environment: {name}={env[name]}: every machine needs the same number of tasks"
                )
            return int(counts.pop())
    return max(1, world // max(1, _number(env, "SLURM_NNODES", 1)))


def _checked(facts: LaunchFacts) -> LaunchFacts:
    fits = (
        facts.local_world_size > 0
        and facts.world_size % facts.local_world_size == 0
        and 0 <= facts.rank < facts.world_size
        and 0 <= facts.local_rank < facts.local_world_size
        and 0 <= facts.shard_id < facts.num_shards
    )
    if not fits:
        raise UsageError(
            f"environment: the variables of {facts.mode} contradict each other: {facts}"
        )
    return facts
