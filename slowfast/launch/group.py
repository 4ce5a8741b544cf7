"""Join and leave the process group, and say in one line why that did not work."""

from __future__ import annotations

import atexit
import json
import os
import socket
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlparse

import torch
import torch.distributed as dist

from slowfast.errors import Interrupted, UsageError
from slowfast.utils import distributed as du
from slowfast.utils.logging import get_logger

RENDEZVOUS_SECONDS = 300
COLLECTIVE_SECONDS = 1800
logger = get_logger(__name__)


@dataclass(frozen=True)
class Member:
    """One process's place in the job.

    ``init_method`` is "env://", "tcp://host:port", "file://path", or "store://host:port" for a
    store that the parent process already holds open.
    """

    rank: int
    world_size: int
    local_rank: int
    local_world_size: int
    init_method: str
    backend: str = "gloo"
    cuda: bool = False


def pick_backend(asked: str, *, cuda: bool) -> str:
    """Return the backend to use: gloo on the CPU, whatever was asked.

    Raises UsageError for a name that is neither nccl nor gloo.
    """
    name = asked.lower()
    if name not in ("nccl", "gloo"):
        raise UsageError(f"DIST_BACKEND {asked!r}: expected nccl or gloo")
    if name == "nccl" and not cuda:
        logger.info("DIST_BACKEND nccl needs GPUs: CPU processes use gloo")
        return "gloo"
    return name


def require_gpus(needed: int, asked: int = 0) -> None:
    """Raise UsageError when this machine has less than ``needed`` GPUs (of ``asked`` in all)."""
    count = torch.cuda.device_count()
    if count < needed:
        raise UsageError(
            f"NUM_GPUS is {asked or needed}, but this machine has {count} CUDA devices; "
            "set NUM_GPUS to what is there (0 = CPU)"
        )


def pick_device(member: Member) -> torch.device:
    """Return this process's device and make it the current one.

    Where a launcher shows each process one GPU only, that one is taken. Raises UsageError when
    there are fewer GPUs than processes.
    """
    if not member.cuda:
        return torch.device("cpu")
    hidden = torch.cuda.device_count() == 1 and member.local_world_size > 1
    index = 0 if hidden else member.local_rank
    require_gpus(index + 1, asked=member.local_world_size)
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def _address(init_method: str) -> tuple[str, int]:
    url = urlparse(init_method)
    if not url.hostname or not url.port:
        raise UsageError(f"--init_method {init_method!r}: expected tcp://HOST:PORT or file://PATH")
    return url.hostname, url.port


def open_store(member: Member, seconds: float = RENDEZVOUS_SECONDS) -> dist.Store:
    """Return the key-value store through which the processes find each other.

    Raises UsageError when the port is taken, or the first process cannot be reached.
    """
    wait = timedelta(seconds=seconds)
    method = member.init_method
    try:
        if method == "env://":
            return next(dist.rendezvous(method, member.rank, member.world_size, timeout=wait))[0]
        if method.startswith("file://"):
            return dist.FileStore(urlparse(method).path, member.world_size)
        host, port = _address(method)
        serves = member.rank == 0 and method.startswith("tcp://")
        return dist.TCPStore(host, port, None, serves, wait, wait_for_workers=False)
    except (dist.DistError, RuntimeError, ValueError) as error:
        text = str(error)
        if "EADDRINUSE" in text or "address already in use" in text.lower():
            raise UsageError(
                f"the port of {method} is in use: give another one (--init_method tcp://HOST:PORT)"
            ) from error
        raise UsageError(
            f"rank {member.rank} found nobody at {method} within {seconds:.0f} s: is the first "
            "machine (--shard_id 0) running, the address right and the port open? "
            f"({text.splitlines()[0][:160]})"
        ) from error


def roll_call(
    store: dist.Store, member: Member, fingerprint: str, seconds: float = RENDEZVOUS_SECONDS
) -> None:
    """Wait for all ranks and check that they run the same job, before a group is made.

    Raises UsageError that names the ranks that did not come or that run another config.
    """
    mine = {"world_size": member.world_size, "fingerprint": fingerprint}
    keys = [f"roll_call/{rank}" for rank in range(member.world_size)]
    store.set(keys[member.rank], json.dumps(mine))
    try:
        store.wait(keys, timedelta(seconds=seconds))
    except (dist.DistError, RuntimeError) as error:
        missing = [rank for rank, key in enumerate(keys) if not store.check([key])]
        raise UsageError(
            f"ranks {missing} of {member.world_size} did not come to {member.init_method} within "
            f"{seconds:.0f} s: start the command on every machine, with the same --num_shards and "
            "--init_method and its own --shard_id"
        ) from error
    said = [json.loads(store.get(key)) for key in keys]
    _require_equal("the number of processes", [facts["world_size"] for facts in said])
    _require_equal("the config", [facts["fingerprint"] for facts in said])


def _require_equal(name: str, values: list[object]) -> None:
    if odd := [rank for rank, value in enumerate(values) if value != values[0]]:
        raise UsageError(
            f"{name} of rank {odd[0]} ({values[odd[0]]}) differs from that of rank 0 "
            f"({values[0]}): all processes must be given the same (ranks that differ: {odd})"
        )


def log_ranks() -> None:
    """Log rank, host, process and device of every rank; all ranks call it."""
    if du.get_world_size() == 1:
        return
    device = "CPU"
    if dist.get_backend() == "nccl":
        device = f"cuda:{torch.cuda.current_device()} {torch.cuda.get_device_name()}"
    said = du.all_gather_object(f"{socket.gethostname()}, process {os.getpid()}, {device}")
    for rank, line in enumerate(said):
        logger.info(f"rank {rank} of {len(said)}: {line}")


def check_ranks_agree(name: str, value: object) -> None:
    """Raise UsageError on every rank when ``value`` is not the same on all of them.

    Args:
        name: what is compared, in words, such as "the number of training videos".
        value: anything picklable with an equality.
    """
    _require_equal(name, du.all_gather_object(value))


def check_same_data(phase: str, dataset: object) -> None:
    """Raise UsageError on every rank when their lists of ``phase`` ("test") differ in length."""
    size = len(dataset) if isinstance(dataset, Sized) else -1
    check_ranks_agree(f"the number of {phase} clips", size)


@contextmanager
def membership(member: Member, fingerprint: str = "", *, keep: bool = False) -> Iterator[None]:
    """Be a rank of the process group while the block runs.

    Args:
        member: this process's place.
        fingerprint: what must be equal on all ranks, such as a hash of the config.
        keep: leave the group open until the process ends (a launcher's environment holds as long).

    The device is set before the group is made; a group that exists already is used as it is.
    """
    if du.is_initialized():
        check_ranks_agree("the config", fingerprint)
        yield
        return
    device = pick_device(member)
    store = open_store(member)
    roll_call(store, member, fingerprint)
    dist.init_process_group(
        member.backend,
        store=dist.PrefixStore("group", store),
        rank=member.rank,
        world_size=member.world_size,
        timeout=timedelta(seconds=COLLECTIVE_SECONDS),
        device_id=device if device.type == "cuda" else None,
    )
    du.set_local(member.local_rank, member.local_world_size)
    try:
        yield
    except Interrupted:  # by agreement of all ranks: no collective is under way
        if keep:
            atexit.register(_leave)
        raise
    if keep:
        atexit.register(_leave)
    else:
        du.synchronize()
        dist.destroy_process_group()


def _leave() -> None:
    """Close a group that was kept, before the interpreter goes.

    A process that ends with gloo's threads running is now and then aborted, after all its work. One
    that fails does not close it: that would wait for collectives which nobody answers.
    """
    if dist.is_initialized():
        dist.destroy_process_group()
