"""Start worker processes, and end them all as soon as one fails."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any

from slowfast.errors import Interrupted, SlowFastError

GRACE_SECONDS = 3.0
NOTHING_SAVED = "interrupted before anything could be saved"
SAVING_SECONDS = 300.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class WorkerError(SlowFastError):
    """A worker process failed; the message holds its rank and its traceback (exit code 1)."""

    def __init__(self, rank: int, text: str) -> None:
        super().__init__(rank, text)
        self.rank = rank
        self.text = text

    def __str__(self) -> str:
        return f"rank {self.rank} {self.text}"


def _die_with_parent() -> None:
    """End this process, and the loading processes of its group, when the parent is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _portable(error: BaseException, rank: int) -> SlowFastError:
    """Return the user's error as it is, and any other as WorkerError with its traceback."""
    if isinstance(error, KeyboardInterrupt):
        return Interrupted(NOTHING_SAVED)
    if isinstance(error, SlowFastError):
        try:
            pickle.loads(pickle.dumps(error))
        except (pickle.PicklingError, TypeError, AttributeError):
            return WorkerError(rank, f"failed: {error}")
        return error
    return WorkerError(rank, f"failed:\n{traceback.format_exc().rstrip()}")


def _worker(
    fn: Callable[..., Any], args: tuple[Any, ...], position: int, rank: int, pipe: Connection
) -> None:
    # A group of its own: Ctrl-C reaches the parent alone, which passes it on once.
    os.setpgrp()
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        result = fn(position, *args)
        message = pickle.dumps((True, result if position == 0 else None))
    except BaseException as error:  # noqa: BLE001 - the parent process raises it
        pipe.send_bytes(pickle.dumps((False, _portable(error, rank))))
        os._exit(1)  # a broken group may not let the interpreter end in peace
    pipe.send_bytes(message)


@contextmanager
def _signals_passed_on(processes: list[Any]) -> Iterator[list[int]]:
    """Hand SIGINT and SIGTERM of this process on to its workers while the block runs.

    Yields the list of signals that came.
    """
    received: list[int] = []

    def pass_on(number: int, frame: object) -> None:
        received.append(number)
        for process in processes:
            if process.is_alive():
                os.kill(process.pid, number)

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.signal(number, pass_on) for number in SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(processes: list[Any], seconds: float) -> None:
    """Ask the processes to stop, and kill those that do not within ``seconds``."""
    for process in processes:
        if process.is_alive():
            process.terminate()
    deadline = time.monotonic() + seconds
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


def _death(process: Any, rank: int) -> WorkerError:
    code = process.exitcode
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = " (out of memory?)" if -code == signal.SIGKILL else ""
        return WorkerError(rank, f"(process {process.pid}) was ended by {name}{hint}")
    return WorkerError(rank, f"(process {process.pid}) ended with exit code {code} and no message")


def _watch(
    processes: list[Any], pipes: list[Connection], first_rank: int, signals: list[int]
) -> Any:
    """Return worker 0's result when all are done; raise the first failure."""
    results: dict[int, Any] = {}
    interrupted: Interrupted | None = None
    deadline = float("inf")
    while len(results) < len(processes):
        waiting = [i for i in range(len(processes)) if i not in results]
        wait([pipes[i] for i in waiting], timeout=min(1.0, max(0.0, deadline - time.monotonic())))
        for i in waiting:
            if not pipes[i].poll():
                continue
            try:
                good, value = pickle.loads(pipes[i].recv_bytes())
            except EOFError:
                processes[i].join(GRACE_SECONDS)
                good, value = False, _death(processes[i], first_rank + i)
                if signals:
                    value = interrupted or Interrupted(NOTHING_SAVED)
            if not good and not isinstance(value, Interrupted):
                raise value
            if not good:
                # The others were asked to stop as well: let the one that saves finish.
                interrupted = interrupted or value
                deadline = min(deadline, time.monotonic() + SAVING_SECONDS)
            results[i] = value
        if time.monotonic() > deadline:
            break
    if interrupted is not None:
        raise interrupted
    return results[0]


def run_workers(
    fn: Callable[..., Any], args: tuple[Any, ...] = (), *, count: int, first_rank: int = 0
) -> Any:
    """Run ``fn(i, *args)`` in ``count`` new processes and return what the first one returned.

    Args:
        fn: a function of an importable module; it, its arguments and result must pickle.
        args: its further arguments.
        count: processes to start.
        first_rank: global rank of process 0, for messages.

    Raises the first failure within seconds and ends the other processes: a SlowFastError as it is,
    anything else as WorkerError with rank and traceback. Signals are passed on to the workers.
    """
    context = multiprocessing.get_context("spawn")
    processes, pipes = [], []
    try:
        for i in range(count):
            mine, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_worker, args=(fn, args, i, first_rank + i, theirs))
            process.start()
            theirs.close()
            processes.append(process)
            pipes.append(mine)
        with _signals_passed_on(processes) as signals:
            result = _watch(processes, pipes, first_rank, signals)
            for process in processes:
                process.join(GRACE_SECONDS)
        return result
    finally:
        _end(processes, GRACE_SECONDS)
