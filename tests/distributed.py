"""Run a function in several gloo processes on this machine, for tests of everything collective.

The function must be importable (module level) and its arguments and results picklable:

    def _work(value):                     # module level
        return du.get_rank() + value

    def test_work():
        assert run_two_processes(_work, 10) == [10, 11]
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

PRELOADED = ("torch", "torch.distributed", "torchvision", "open_clip", "av", "fvcore.nn")


class RankError(RuntimeError):
    """What one process raised: ``rank``, and the original as ``__cause__`` where it pickles."""

    def __init__(self, rank: int, text: str) -> None:
        super().__init__(f"rank {rank} failed:\n{text}")
        self.rank = rank


def _outcome(fn: Callable[..., Any], args: tuple[Any, ...]) -> tuple[str, Any, str]:
    try:
        return "ok", fn(*args), ""
    except BaseException as error:  # noqa: BLE001 - it is raised again in the test's process
        text = traceback.format_exc()
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # noqa: BLE001 - an exception of any class may refuse to be copied
            return "error", None, text
        return "error", error, text


def _child(rank: int, world: int, folder: str, timeout: float, call: tuple[Any, ...]) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    for name, value in (("RANK", rank), ("LOCAL_RANK", rank)):
        os.environ[name] = str(value)
    os.environ["WORLD_SIZE"] = os.environ["LOCAL_WORLD_SIZE"] = str(world)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=timeout),
    )
    outcome = _outcome(call[0], call[1])
    part = Path(folder, f"{rank}.part")
    part.write_bytes(pickle.dumps(outcome))
    part.rename(Path(folder, f"{rank}.pkl"))
    if outcome[0] == "ok":
        dist.barrier()
        dist.destroy_process_group()
    os._exit(0)  # a peer that waits in a collective must not keep this process alive


def _blame_the_dead(processes: list[Any], folder: str) -> None:
    """Raise for a process that died without a word: the others' errors are only its echo."""
    for rank, process in enumerate(processes):
        if Path(folder, f"{rank}.pkl").exists():
            continue
        process.join(0.5)  # its connections close a moment before its death is seen
        if not process.is_alive() and not Path(folder, f"{rank}.pkl").exists():
            raise RankError(rank, f"it died with exit code {process.exitcode}")


def _collect(processes: list[Any], folder: str, deadline: float) -> list[Any]:
    results: dict[int, Any] = {}
    while len(results) < len(processes):
        for rank, process in enumerate(processes):
            alive = process.is_alive()
            path = Path(folder, f"{rank}.pkl")
            if rank in results:
                continue
            if path.exists():
                status, value, text = pickle.loads(path.read_bytes())
                if status == "error":
                    _blame_the_dead(processes, folder)
                    raise RankError(rank, text) from value
                results[rank] = value
            elif not alive:
                raise RankError(rank, f"it died with exit code {process.exitcode}")
        if time.monotonic() > deadline:
            missing = sorted(set(range(len(processes))) - set(results))
            raise TimeoutError(f"ranks {missing} did not finish in time")
        time.sleep(0.01)
    return [results[rank] for rank in range(len(processes))]


def run_two_processes(
    fn: Callable[..., Any], *args: Any, world: int = 2, timeout: float = 60.0
) -> list[Any]:
    """Return ``fn(*args)`` of each of ``world`` gloo ranks, in rank order.

    Raises RankError with the rank and its traceback when one fails (the others are ended at
    once) and TimeoutError after ``timeout`` seconds. RANK, LOCAL_RANK, WORLD_SIZE and
    LOCAL_WORLD_SIZE are set as torchrun sets them.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([name for name in PRELOADED if name in sys.modules])
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            context.Process(target=_child, args=(rank, world, folder, timeout, (fn, args)))
            for rank in range(world)
        ]
        try:
            for process in processes:
                process.start()
            return _collect(processes, folder, time.monotonic() + timeout)
        finally:
            for process in processes:
                if process.pid is not None:
                    process.join(1.0 if sys.exc_info()[0] is None else 0)
                    process.kill()
                    process.join()
