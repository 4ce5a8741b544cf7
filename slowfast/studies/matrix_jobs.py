"""Run the pairs of the matrix in several processes, and go on where a killed run stopped."""

from __future__ import annotations

import os
import shutil
import sys
import time
import traceback
from collections.abc import Sequence
from datetime import timedelta
from multiprocessing import get_context
from threading import Thread
from typing import Any

import cv2
import torch

from slowfast.datasets.lists.annotations import read_list
from slowfast.errors import SlowFastError
from slowfast.evaluation.results import atomic_write
from slowfast.launch.processes import run_workers
from slowfast.studies.demo_data import Say, draw_demo_data
from slowfast.studies.matrix import COLUMNS, TEACHER, Matrix, Task, read_result, run_task


def run_matrix(
    matrix: Matrix, *, jobs: int = 1, fresh: bool = False, say: Say = lambda line: None
) -> dict[Task, dict[str, Any]]:
    """Run what is not done yet and return all results, also those of earlier runs.

    Args:
        matrix: the pairs and seeds.
        jobs: processes, each with one thread.
        fresh: forget what an earlier run left of these pairs and seeds.
        say: shows a line to the user.

    Returns:
        The result of each task; that of one that failed is ``{"failed": traceback}``.

    Raises:
        DataError: the data folder holds something else.
        UsageError: results were made with other settings.
        Interrupted: SIGINT or SIGTERM; the same call continues.
    """
    tasks = plan_tasks(matrix)
    if fresh:
        for task in tasks:
            shutil.rmtree(matrix.folder(task), ignore_errors=True)
    draw_demo_data(matrix.data, matrix.sizes, output=matrix.output, say=say)
    write_train_list(matrix)
    found = {task: read_result(matrix, task) for task in tasks}
    # A refusal is not kept: the pair may be possible by now (a package was installed).
    rest = [task for task, result in found.items() if not result or "top1" not in result]
    say(f"{len(tasks)} trainings, {len(tasks) - len(rest)} of them are done: {matrix.output}")
    failures = _run_in_processes(matrix, rest, jobs, say) if rest else {}
    return {
        task: {"failed": failures[task]} if task in failures else read_result(matrix, task) or {}
        for task in tasks
    }


def plan_tasks(matrix: Matrix) -> list[Task]:
    """Return the trainings in their order, with those that taught heads start from in front.

    The pairs of a seed stand together, because they share their samples.
    """
    taught = any(COLUMNS[pair.column].taught for pair in matrix.pairs)
    first = [TEACHER] if taught or TEACHER in matrix.pairs else []
    rest = [pair for pair in matrix.pairs if pair != TEACHER]
    return [Task(pair, seed) for seed in matrix.seeds for pair in (*first, *rest)]


def write_train_list(matrix: Matrix) -> None:
    """List the first ``train_videos`` of each class, for less training than the demo's."""
    source = matrix.data / "train.csv"
    lines = source.read_text(encoding="utf-8").splitlines()
    kept: dict[int, list[str]] = {}
    listed = read_list(source, any_names=True, check_files=False)
    for line, label in zip(lines, listed.labels.tolist(), strict=True):
        kept.setdefault(label, []).append(line)
    lines = [line for own in kept.values() for line in own[: matrix.train_videos]]
    atomic_write(matrix.train_list, "\n".join(lines) + "\n")


def _run_in_processes(
    matrix: Matrix, tasks: Sequence[Task], jobs: int, say: Say
) -> dict[Task, str]:
    """Run the tasks; return what failed, with its traceback."""
    context = get_context("spawn")
    lines = context.SimpleQueue()
    failures: dict[Task, str] = {}
    start = time.perf_counter()

    def listen() -> None:
        number = 0
        while (message := lines.get()) is not None:
            task, seconds, outcome, failure = message
            number += 1
            each = (time.perf_counter() - start) / number
            if failure:
                failures[task] = failure
            say(
                f"{number}/{len(tasks)} {task}: {outcome} ({seconds:.0f} s; {60 / each:.1f} a "
                f"minute, {timedelta(seconds=round(each * (len(tasks) - number)))} left)"
            )

    listener = Thread(target=listen, daemon=True)
    listener.start()
    teachers = [task for task in tasks if task.pair == TEACHER]
    try:
        # What starts from a teacher's weights finds them, or the reason why there are none.
        for wave in (teachers, [task for task in tasks if task.pair != TEACHER]):
            if wave:
                taken = context.Value("i", 0)
                run_workers(_work, (matrix, wave, taken, lines), count=min(jobs, len(wave)))
    finally:
        lines.put(None)
        listener.join()
    return failures


def _work(worker: int, matrix: Matrix, tasks: Sequence[Task], taken: Any, lines: Any) -> None:
    """Run tasks until none is left; the logs of each are in its folder."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - it is this process's for good
    while (task := _take(tasks, taken)) is not None:
        start, failure = time.perf_counter(), ""
        try:
            result = run_task(matrix, task)
            outcome = f"top-1 {result['top1']:.1f}" if "top1" in result else "refused"
        except SlowFastError as error:
            if error.exit_code == 130:
                raise
            failure, outcome = str(error), f"FAILED: {error}"
        except Exception:  # noqa: BLE001 - the other pairs are still wanted; it is told at the end
            failure = traceback.format_exc()
            outcome = f"FAILED: {failure.splitlines()[-1]}"
        lines.put((task, time.perf_counter() - start, outcome, failure))


def _take(tasks: Sequence[Task], taken: Any) -> Task | None:
    """Return a task that no process has taken yet, or None."""
    with taken.get_lock():
        taken.value += 1
        return tasks[taken.value - 1] if taken.value <= len(tasks) else None
