"""One process, spawned ones, torchrun or Slurm: the same call for all of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist

from slowfast.config import LaunchFacts, launch_facts
from slowfast.config.extensions import import_extensions
from slowfast.config.load import override
from slowfast.config.validate import validate
from slowfast.errors import UsageError
from slowfast.launch.group import Member, check_ranks_agree, membership, pick_backend, require_gpus
from slowfast.launch.processes import WorkerError, run_workers
from slowfast.utils.logging import get_logger

__all__ = ["WorkerError", "check_ranks_agree", "launch", "slurm_address", "spawn"]
FIRST_PORT = 20000
logger = get_logger(__name__)


def launch(cfg: Any, fn: Callable[[Any], Any], init_method: str | None = None) -> Any:
    """Run ``fn(cfg)`` on every process of the job and return rank 0's result.

    ``NUM_GPUS`` -1 becomes what this machine has first (``count_gpus``). A single process calls
    ``fn`` here, without a group. ``NUM_GPUS`` above 1 starts that many processes; under torchrun or
    Slurm, and with ``NUM_SHARDS`` above 1 and one process each, this process is one rank. Under
    torchrun and Slurm every rank gets its own result.

    Args:
        cfg: frozen config.
        fn: a function of an importable module.
        init_method: where the processes meet, ``tcp://HOST:PORT`` or ``file://PATH``; a free port
            is taken when all are on this machine.

    Raises UsageError when devices, address or ranks do not fit together, and whatever ``fn``
    raises (from a spawned process: WorkerError with rank and traceback).
    """
    cfg = count_gpus(cfg)
    facts = launch_facts(num_gpus=cfg.NUM_GPUS, num_shards=cfg.NUM_SHARDS, shard_id=cfg.SHARD_ID)
    cuda = cfg.NUM_GPUS > 0
    if cuda:
        require_gpus(1 if facts.is_worker else cfg.NUM_GPUS)
    if facts.world_size == 1:
        return fn(cfg)
    backend = pick_backend(cfg.DIST_BACKEND, cuda=cuda)
    extensions = tuple(cfg.EXTENSIONS)
    if facts.mode == "spawn" and facts.local_world_size > 1:
        return spawn(
            fn,
            (cfg,),
            facts=facts,
            backend=backend,
            cuda=cuda,
            init_method=init_method,
            extensions=extensions,
            fingerprint=_fingerprint(cfg),
        )
    member = _member(facts, init_method or _meeting_point(facts, os.environ), backend, cuda)
    with membership(member, _fingerprint(cfg), keep=facts.is_worker):
        return fn(cfg)


def count_gpus(cfg: Any) -> Any:
    """Return ``cfg`` with the number of GPUs in the place of ``NUM_GPUS`` -1, and say it.

    All of this machine; under a launcher those of its processes here, one each; 0, the CPU, where
    there is none. Raises UsageError when a batch does not divide among them.
    """
    if cfg.NUM_GPUS >= 0:
        return cfg
    facts = launch_facts(num_shards=cfg.NUM_SHARDS, shard_id=cfg.SHARD_ID)
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    count = facts.local_world_size if found and facts.is_worker else found
    where = f"{count} GPU{'s'[: count > 1]}" if count else "the CPU: there is no CUDA device"
    logger.info(f"NUM_GPUS -1: running on {where}")
    counted = override(cfg, {"NUM_GPUS": count})
    validate(counted)
    if not cfg.is_frozen():
        counted.defrost()
    return counted


def _member(facts: LaunchFacts, init_method: str, backend: str, cuda: bool) -> Member:
    place = (facts.rank, facts.world_size, facts.local_rank, facts.local_world_size)
    return Member(*place, init_method, backend, cuda)


def _fingerprint(cfg: Any) -> str:
    """Return a hash of what must be equal on all machines."""
    lines = [line for line in cfg.dump().splitlines() if not line.startswith("SHARD_ID:")]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _meeting_point(facts: LaunchFacts, env: Mapping[str, str]) -> str:
    if facts.mode == "torchrun" or "MASTER_ADDR" in env:
        return "env://"
    if facts.mode == "slurm":
        return slurm_address(env)
    raise UsageError(
        f"NUM_SHARDS is {facts.num_shards}: say where the machines meet, "
        "--init_method tcp://FIRST_MACHINE:PORT, the same on all of them"
    )


def slurm_address(env: Mapping[str, str]) -> str:
    """Return the meeting point of a Slurm step: its first machine, and a port by the job's number.

    Raises UsageError when the variables are not there.

    >>> slurm_address({"SLURM_STEP_NODELIST": "gpu[07-09,12]", "SLURM_JOB_ID": "81234"})
    'tcp://gpu07:21234'
    """
    nodes = env.get("SLURM_STEP_NODELIST") or env.get("SLURM_JOB_NODELIST", "")
    head, bracket, inside = nodes.partition("[")
    first = head.split(",")[0]
    if bracket and "," not in head:
        first = head + inside.split("]")[0].split(",")[0].split("-")[0]
    job = env.get("SLURM_JOB_ID", "")
    if not first or not job.isdecimal():
        raise UsageError(
            "Slurm: SLURM_STEP_NODELIST and SLURM_JOB_ID do not say where the processes meet; "
            "give --init_method tcp://FIRST_MACHINE:PORT"
        )
    return f"tcp://{first}:{FIRST_PORT + int(job) % 10000}"


def spawn(
    fn: Callable[..., Any],
    args: tuple[Any, ...] = (),
    *,
    facts: LaunchFacts,
    backend: str = "gloo",
    cuda: bool = False,
    init_method: str | None = None,
    extensions: tuple[str, ...] = (),
    fingerprint: str = "",
) -> Any:
    """Run ``fn(*args)`` in this machine's processes, each a rank of one group; return rank 0's.

    Args:
        fn: a function of an importable module.
        args: its arguments.
        facts: how many processes here and in all, and the rank of the first one here.
        backend: "nccl" or "gloo".
        cuda: whether process i takes GPU i.
        init_method: where they meet; needed with several machines only.
        extensions: files and modules to import first in each process.
        fingerprint: what must be equal on all machines.

    Raises as ``launch``.
    """
    store = None
    if init_method is None:
        if facts.num_shards > 1:
            _meeting_point(facts, {})
        # Held open by this process: no port is free at one moment and taken at the next.
        store = dist.TCPStore("127.0.0.1", 0, None, True, wait_for_workers=False)
        init_method = f"store://127.0.0.1:{store.port}"
    first = _member(facts, init_method, backend, cuda)
    logger.info(
        f"starting {facts.local_world_size} processes ({backend}, {'GPU' if cuda else 'CPU'}), "
        f"{facts.world_size} in all"
    )
    return run_workers(
        run_as_member,
        (first, fn, args, extensions, fingerprint),
        count=facts.local_world_size,
        first_rank=facts.rank,
    )


def run_as_member(
    position: int,
    first: Member,
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    extensions: tuple[str, ...] = (),
    fingerprint: str = "",
) -> Any:
    """Join the group as process ``position`` of this machine, run ``fn(*args)`` and leave.

    Args:
        position: from 0 on this machine.
        first: the place of this machine's first process.
        fn: what to run.
        args: its arguments.
        extensions: files and modules to import before.
        fingerprint: what must be equal on all machines.
    """
    member = replace(first, rank=first.rank + position, local_rank=position)
    import_extensions(extensions)
    with membership(member, fingerprint):
        return fn(*args)
