"""Process-group helpers; every one is the identity when no group is initialised.

Names and meanings follow PySlowFast where people's files use them (``du``).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_local: tuple[int, int] | None = None


def is_initialized() -> bool:
    """Return whether a process group exists; collectives depend on this and never on NUM_GPUS."""
    return dist.is_available() and dist.is_initialized()


def init_process_group(
    local_rank: int,
    local_world_size: int,
    shard_id: int,
    num_shards: int,
    init_method: str,
    dist_backend: str = "nccl",
) -> None:
    """Join the process group as PySlowFast's function of this name; NCCL needs GPUs, else gloo.

    The same call as ``launch`` makes is ``slowfast.utils.multiprocessing.run``, which also says
    who did not come and leaves the group.

    Args:
        local_rank: of this process on its machine; it takes the GPU of this number.
        local_world_size: processes of each machine.
        shard_id: number of this machine.
        num_shards: machines.
        init_method: where all meet, "tcp://HOST:PORT", "file://PATH" or "env://".
        dist_backend: "nccl" or "gloo".
    """
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(local_rank)
    dist.init_process_group(
        dist_backend if cuda else "gloo",
        init_method=init_method,
        world_size=local_world_size * num_shards,
        rank=shard_id * local_world_size + local_rank,
    )
    set_local(local_rank, local_world_size)


def init_distributed_training(cfg: Any) -> None:
    """Say which ranks share a machine, NUM_GPUS of them, where no launcher of ours has said it.

    A fork's own launcher makes a group and then calls this; ``get_local_rank`` and
    ``get_local_size`` answer from it.
    """
    told = _local or "LOCAL_RANK" in os.environ
    if is_initialized() and cfg.NUM_GPUS > 1 and not told:
        set_local(get_rank() % cfg.NUM_GPUS, cfg.NUM_GPUS)


def set_local(rank: int, size: int) -> None:
    """Note this process's place among those of its machine; a launcher's variables hold without."""
    global _local
    _local = rank, size


def get_world_size() -> int:
    """Return the number of processes (1 without a group)."""
    return dist.get_world_size() if is_initialized() else 1


def get_rank() -> int:
    """Return this process's global rank (0 without a group)."""
    return dist.get_rank() if is_initialized() else 0


def get_local_rank() -> int:
    """Return this process's rank on its machine (0 without a group)."""
    if not is_initialized():
        return 0
    return _local[0] if _local else int(os.environ.get("LOCAL_RANK", 0))


def get_local_size() -> int:
    """Return the number of processes on this machine (1 without a group)."""
    if not is_initialized():
        return 1
    return _local[1] if _local else int(os.environ.get("LOCAL_WORLD_SIZE", get_world_size()))


def is_master_proc(num_gpus: int = 0) -> bool:
    """Return whether this is the first process of its machine (of ``num_gpus`` when given)."""
    return get_rank() % num_gpus == 0 if num_gpus > 0 else get_local_rank() == 0


def is_root_proc() -> bool:
    """Return whether this is rank 0 of all processes."""
    return get_rank() == 0


def synchronize() -> None:
    """Wait until every process is here."""
    if get_world_size() > 1:
        dist.barrier()


def all_gather(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Concatenate each tensor over ranks on axis 0, without gradient; shapes must agree."""
    if get_world_size() == 1:
        return list(tensors)
    out = []
    for tensor in tensors:
        parts = [torch.empty_like(tensor) for _ in range(get_world_size())]
        dist.all_gather(parts, tensor.contiguous())
        out.append(torch.cat(parts))
    return out


def cat_all_gather(tensor: Tensor, local: bool = False) -> Tensor:
    """Concatenate ``tensor`` over ranks on axis 0, without gradient; ``local``: of this machine."""
    (gathered,) = all_gather([tensor])
    if not local:
        return gathered
    first = (get_rank() - get_local_rank()) * len(tensor)
    return gathered[first : first + get_local_size() * len(tensor)]


def all_reduce(tensors: Sequence[Tensor], average: bool = True) -> list[Tensor]:
    """Sum (or average) each tensor over ranks, in place, and return them."""
    if get_world_size() > 1:
        for tensor in tensors:
            dist.all_reduce(tensor)
            if average:
                tensor.div_(get_world_size())
    return list(tensors)


def all_gather_object(obj: Any) -> list[Any]:
    """Return the picklable ``obj`` of every rank, in rank order."""
    if get_world_size() == 1:
        return [obj]
    out: list[Any] = [None] * get_world_size()
    dist.all_gather_object(out, obj)
    return out


all_gather_unaligned = all_gather_object


class _Gather(torch.autograd.Function):
    """Concatenate over ranks on axis 0."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:  # type: ignore[override]
        """Return the concatenation over ranks."""
        ctx.size = tensor.shape[0]
        return all_gather([tensor])[0]


class AllGatherWithGradient(_Gather):
    """Concatenate over ranks on axis 0; backward sums every rank's gradient of the local slice.

    PySlowFast's name; torch's own differentiable gather is deprecated. With a loss that every rank
    computes on the whole gathered batch, and DistributedDataParallel's averaging, the parameters
    get the true gradient of that loss.
    """

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        """Return this rank's slice of the sum over ranks of ``grad``."""
        (total,) = all_reduce([grad.clone()], average=False)
        return total.narrow(0, get_rank() * ctx.size, ctx.size)


class GatherLayer(_Gather):
    """Concatenate over ranks on axis 0; backward keeps this rank's slice only.

    parity: OST's released gather. After DistributedDataParallel's averaging every gathered
    feature's parameters get 1/W of the true gradient.
    """

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        """Return this rank's slice of ``grad``."""
        return grad.narrow(0, get_rank() * ctx.size, ctx.size)


def gather_with_grad(tensor: Tensor) -> Tensor:
    """Apply AllGatherWithGradient; see there."""
    return tensor if get_world_size() == 1 else AllGatherWithGradient.apply(tensor)


def gather_local_grad(tensor: Tensor) -> Tensor:
    """Apply GatherLayer; see there."""
    return tensor if get_world_size() == 1 else GatherLayer.apply(tensor)
