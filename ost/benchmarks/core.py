"""Timing, ratios, tables and JSON that all benchmarks share.

Contenders are run in rounds, each once a round, and compared by the median of their ratios within
a round: on a machine that others use too, slow and fast minutes then hit all of them alike.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import platform
import shlex
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import torch
from rich.console import Console
from rich.table import Table

from slowfast.evaluation.results import environment_facts

Contenders = Mapping[str, Callable[[], Any]]
GOAL = "goal"
QUIET = 0.1
# OpenMP threads spin for a while after their work: not on the next contender's account.
SETTLE = 0.02


@dataclass(frozen=True)
class Settings:
    """What every subcommand is told.

    ``repeats`` timed rounds after ``warmup`` untimed ones; ``device`` "cpu" or "cuda"; ``amp``
    whether models run in bfloat16 autocast.
    """

    repeats: int = 5
    warmup: int = 1
    device: str = "cpu"
    amp: bool = False

    def autocast(self) -> torch.autocast:
        """Return the precision in which models run."""
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.amp)


@dataclass
class Row:
    """One contender in one case.

    ``seconds`` is the median of one call, ``rate`` items of ``unit`` per second, ``ratio`` how many
    times the project's own contender is as fast (None for that one itself).
    """

    case: str
    contender: str
    seconds: float
    rate: float | None = None
    unit: str = ""
    ratio: float | None = None
    note: str = ""


@dataclass
class Report:
    """The results of one subcommand; ``others``: what other processes used of the machine."""

    name: str
    settings: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    others: float = 0.0

    def add(
        self,
        case: str,
        rounds: Mapping[str, Sequence[float]],
        *,
        items: float = 0,
        unit: str = "",
        notes: Mapping[str, str] | None = None,
    ) -> None:
        """Add the contenders of ``race``; the first of them is the project's own."""
        own = next(iter(rounds))
        for name, seconds in rounds.items():
            typical = median(seconds)
            ratio = None if name == own else ratio_of(seconds, rounds[own])
            rate = items / typical if items else None
            self.rows.append(
                Row(case, name, typical, rate, unit, ratio, (notes or {}).get(name, ""))
            )

    def summarize(self, contender: str, *, goal: float, case: str = "over the cases") -> None:
        """Add the mean and the least ratio to ``contender`` over all cases as a note."""
        ratios = [r.ratio for r in self.rows if r.contender == contender and r.ratio is not None]
        if ratios:
            mean = sum(ratios) / len(ratios)
            self.notes.append(
                f"{contender}: {mean:.2f}x in the mean {case}, least {min(ratios):.2f}x "
                f"({GOAL} {goal:g}x)"
            )

    def show(self, console: Console | None = None) -> None:
        """Print the table and the notes."""
        console = console or Console(width=None if sys.stdout.isatty() else 160)
        table = Table(title=f"{self.name} ({_settings_line(self.settings)})", title_justify="left")
        for heading in ("case", "contender"):
            table.add_column(heading)
        for heading in ("median ms", "rate", "ours is faster by"):
            table.add_column(heading, justify="right")
        table.add_column("note")
        last = ""
        for row in self.rows:
            rate = "" if row.rate is None else f"{row.rate:,.4g} {row.unit}/s"
            ratio = "" if row.ratio is None else f"{row.ratio:,.2f}x"
            case = "" if row.case == last else row.case
            table.add_row(case, row.contender, f"{1e3 * row.seconds:,.4g}", rate, ratio, row.note)
            last = row.case
        console.print(table)
        for note in self.notes:
            console.print(f"- {note}", highlight=False)
        words = "" if self.others < QUIET else ": too much, take the figures again"
        line = f"- other processes used {self.others:.0%} of the machine meanwhile{words}"
        console.print(line, highlight=False)

    def as_dict(self) -> dict[str, Any]:
        """Return everything, with the machine, for a file."""
        return {
            "benchmark": self.name,
            "settings": self.settings,
            "rows": [asdict(row) for row in self.rows],
            "notes": self.notes,
            "others_share_of_machine": round(self.others, 3),
            "machine": machine_facts(),
            "command": shlex.join(sys.argv),
        }

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write ``as_dict`` as JSON."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(self.as_dict(), indent=2) + "\n", encoding="utf-8")


def importable(report: Report, module: str) -> bool:
    """Return whether a library can be loaded; says so in the report where not."""
    try:
        importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        report.notes.append(f"{module} is not measured: it cannot be loaded here ({reason})")
        return False
    return True


def ratio_of(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """Return how many times ours is as fast: the median ratio within a round, or of the medians.

    >>> ratio_of([4.0, 40.0, 6.0], [2.0, 10.0, 2.0])
    3.0
    """
    if len(theirs) == len(ours):
        return median(t / o for t, o in zip(theirs, ours))
    return median(theirs) / median(ours)


def synchronize(device: str) -> None:
    """Wait until the device has done its work."""
    if device == "cuda":
        torch.cuda.synchronize()


def timed(function: Callable[[], Any], device: str = "cpu") -> float:
    """Return the seconds of one call."""
    synchronize(device)
    start = time.perf_counter()
    function()
    synchronize(device)
    return time.perf_counter() - start


def race(contenders: Contenders, settings: Settings) -> dict[str, list[float]]:
    """Run the contenders in rounds; returns the seconds of each round."""
    for _ in range(settings.warmup):
        for function in contenders.values():
            function()
    rounds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(settings.repeats):
        for name, function in contenders.items():
            time.sleep(SETTLE)
            rounds[name].append(timed(function, settings.device))
    return rounds


def peak_memory(function: Callable[[], Any], device: str = "cpu") -> float:
    """Return by how many MiB memory grows at most during one call.

    On the CPU the process is looked at every half millisecond, which misses shorter peaks.
    """
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    gc.collect()
    if sys.platform == "linux":  # give back what earlier calls left in the allocator
        getattr(ctypes.CDLL(None), "malloc_trim", int)(0)
    process, done = psutil.Process(), threading.Event()
    before, seen = process.memory_info().rss, [0]

    def watch() -> None:
        while not done.wait(0.0005):
            seen.append(process.memory_info().rss)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    function()
    seen.append(process.memory_info().rss)
    done.set()
    thread.join()
    return max(0, max(seen) - before) / 2**20


class Neighbours:
    """How much of the machine other processes used since this object was made."""

    def __init__(self) -> None:
        self._begin = self._now()

    @staticmethod
    def _now() -> tuple[float, float, float]:
        machine, own = psutil.cpu_times(), psutil.Process().cpu_times()
        idle = machine.idle + getattr(machine, "iowait", 0.0)
        mine = own.user + own.system + own.children_user + own.children_system
        return time.perf_counter(), sum(machine[:8]) - idle, mine

    def share(self) -> float:
        """Return their part of the machine's processor time, 0 to 1."""
        wall, busy, mine = (now - then for now, then in zip(self._now(), self._begin))
        return min(1.0, max(0.0, busy - mine) / max(wall * (psutil.cpu_count() or 1), 1e-9))


def machine_facts() -> dict[str, Any]:
    """Return versions, machine, the processor's name and the threads in use."""
    facts = environment_facts()
    facts["machine"]["processor"] = _processor() or facts["machine"]["processor"]
    facts["machine"].pop("host", None)
    facts.pop("command", None)
    return {**facts, "threads": torch.get_num_threads()}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return platform.processor()
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else ""


def _settings_line(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items())
