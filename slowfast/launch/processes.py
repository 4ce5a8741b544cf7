"""Start worker processes, and end them all as soon as one fails."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from slowfast.errors import Interrupted, SlowFastError

GRACE_SECONDS = 3.0
NOTHING_SAVED = "interrupted before anything could be saved"
SAVING_SECONDS = 300.0
ECHO_SECONDS = 1.0
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
        message = pickle.dumps((True, result if position == 0 else None, time.monotonic()))
    except BaseException as error:  # noqa: BLE001 - the parent process raises it
        pipe.send_bytes(pickle.dumps((False, _portable(error, rank), time.monotonic())))
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


class _Outcome(NamedTuple):
    """How a worker ended: well with a result, or with an error; and when (the machine's clock)."""

    good: bool
    value: Any
    when: float


def _outcome(pipe: Connection, process: Any, rank: int, *, interrupted: bool) -> _Outcome:
    try:
        return _Outcome(*pickle.loads(pipe.recv_bytes()))
    except EOFError:
        process.join(GRACE_SECONDS)
    error = Interrupted(NOTHING_SAVED) if interrupted else _death(process, rank)
    return _Outcome(False, error, 0.0)  # a silent death comes first: other errors are its echo


def _patience(outcomes: Iterable[_Outcome]) -> float:
    """Return how many seconds the other workers are waited for, once some have ended."""
    failed = [outcome for outcome in outcomes if not outcome.good]
    if not failed:
        return float("inf")
    # Asked to stop, all of them stop: let the one that saves finish. After a failure only its
    # echo is waited for, so that the cause can be told from it.
    polite = all(isinstance(outcome.value, Interrupted) for outcome in failed)
    return SAVING_SECONDS if polite else ECHO_SECONDS


def _watch(
    processes: list[Any], pipes: list[Connection], first_rank: int, signals: list[int]
) -> Any:
    """Return worker 0's result when all are done; raise what failed first."""
    outcomes: dict[int, _Outcome] = {}
    since = time.monotonic()
    while len(outcomes) < len(processes):
        left = since + _patience(outcomes.values()) - time.monotonic()
        if left <= 0:
            break
        waiting = {pipes[i]: i for i in range(len(processes)) if i not in outcomes}
        for pipe in wait(list(waiting), timeout=min(left, 1.0)):
            i = waiting[pipe]  # type: ignore[index]
            outcomes[i] = _outcome(
                pipes[i], processes[i], first_rank + i, interrupted=bool(signals)
            )
            since = time.monotonic()
    failed = [outcome for outcome in outcomes.values() if not outcome.good]
    if failed:
        raise min(failed, key=lambda o: (isinstance(o.value, Interrupted), o.when)).value
    return outcomes[0].value


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
