"""PySlowFast's function for spawned processes, over ``slowfast.launch``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from slowfast.launch.group import Member, pick_backend
from slowfast.launch.launch import run_as_member


def run(  # noqa: PLR0913 - PySlowFast's signature
    local_rank: int,
    num_proc: int,
    func: Callable[[Any], Any],
    init_method: str,
    shard_id: int,
    num_shards: int,
    backend: str,
    cfg: Any,
    output_queue: Any = None,
) -> None:
    """Run ``func(cfg)`` as one rank of a group: what launch scripts hand to ``spawn`` of torch.

    Args:
        local_rank: number of this process on its machine, and of its GPU where there are any.
        num_proc: processes of each machine.
        func: what to run.
        init_method: where all processes meet, such as "tcp://localhost:9999".
        shard_id: number of this machine.
        num_shards: machines.
        backend: "nccl" (gloo without GPUs) or "gloo".
        cfg: its argument; the files of EXTENSIONS are imported before.
        output_queue: gets what the first process of a machine returned.

    Raises UsageError when the processes do not find each other, and whatever ``func`` raises.
    """
    cuda = torch.cuda.is_available()
    place = (num_proc * shard_id, num_proc * num_shards, 0, num_proc)
    first = Member(*place, init_method, pick_backend(backend, cuda=cuda), cuda)
    extensions = tuple(getattr(cfg, "EXTENSIONS", ()))
    result = run_as_member(local_rank, first, func, (cfg,), extensions)
    if output_queue is not None and local_rank == 0:
        output_queue.put(result)
