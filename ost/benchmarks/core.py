"""Races between contenders, and the table and the file that come of them.

Contenders run in rounds, each once a round, and are compared by the median of their ratios within a
round: on a machine that others use too, slow and fast minutes then hit all of them alike.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import re
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import Any

import psutil
import torch
from rich.console import Console
from rich.table import Table
from torch.utils.benchmark.utils.timer import timer as clock  # waits for a CUDA device

from slowfast.evaluation.results import environment_facts

Contenders = Mapping[str, Callable[[], Any]]


@dataclass(frozen=True)
class Settings:
    """``repeats`` timed rounds after ``warmup`` others; "cpu" or "cuda"; bfloat16 autocast."""

    repeats: int = 5
    warmup: int = 1
    device: str = "cpu"
    amp: bool = False

    def autocast(self) -> torch.autocast:
        """Return the precision in which models run."""
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.amp)


@dataclass
class Row:
    """One contender: median ``seconds`` of a call, ``rate``, and how many times ours is as fast."""

    case: str
    contender: str
    seconds: float
    rate: str = ""
    ratio: float | None = None
    note: str = ""


@dataclass
class Report:
    """What one benchmark found."""

    benchmark: str
    settings: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(
        self,
        case: str,
        rounds: Mapping[str, Sequence[float]],
        rate: tuple[float, str] = (0, ""),
        notes: Mapping[str, str] | None = None,
    ) -> None:
        """Add the contenders of ``race``, ours first; ``rate``: how many of what a call does."""
        ours = next(iter(rounds.values()))
        for name, seconds in rounds.items():
            typical, (number, unit) = median(seconds), rate
            ratio = None if seconds is ours else median(t / o for t, o in zip(seconds, ours))
            speed = f"{number / typical:,.4g} {unit}/s" if number else ""
            note = (notes or {}).get(name, "")
            self.rows.append(Row(case, name, typical, speed, ratio, note))

    def summarize(self, contender: str, *, goal: float) -> None:
        """Note the mean and the least ratio to ``contender`` over all cases."""
        ratios = [r.ratio for r in self.rows if r.contender == contender and r.ratio is not None]
        if ratios:
            found = f"{mean(ratios):.2f}x in the mean, least {min(ratios):.2f}x"
            self.notes.append(f"{contender}: {found} (goal {goal:g}x)")

    def show(self) -> None:
        """Print the table and the notes."""
        console = Console(width=None if sys.stdout.isatty() else 160)
        settings = ", ".join(f"{key} {value}" for key, value in self.settings.items())
        table = Table(
            "case", "contender", title=f"{self.benchmark} ({settings})", title_justify="left"
        )
        for heading in ("median ms", "rate", "ours is faster by"):
            table.add_column(heading, justify="right")
        table.add_column("note")
        for before, row in zip([None, *self.rows], self.rows):
            case = "" if before and before.case == row.case else row.case
            ratio = "" if row.ratio is None else f"{row.ratio:,.2f}x"
            milliseconds = f"{1e3 * row.seconds:,.4g}"
            table.add_row(case, row.contender, milliseconds, row.rate, ratio, row.note)
        console.print(table)
        for note in self.notes:
            console.print(f"- {note}", highlight=False)

    def write(self, path: str) -> None:
        """Write everything and the machine as JSON."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        found = {**asdict(self), "machine": machine_facts()}
        target.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def importable(report: Report, module: str) -> bool:
    """Return whether a library can be loaded; says so in the report where not."""
    try:
        importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        report.notes.append(f"{module} is not measured: it cannot be loaded here ({reason})")
        return False
    return True


def timed(function: Callable[[], Any]) -> float:
    """Return the seconds of one call."""
    start = clock()
    function()
    return clock() - start


def race(contenders: Contenders, settings: Settings) -> dict[str, list[float]]:
    """Run the contenders in rounds; returns the seconds of each timed round."""
    rounds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(settings.warmup + settings.repeats):
        for name, function in contenders.items():
            rounds[name].append(timed(function))
    return {name: seconds[settings.warmup :] for name, seconds in rounds.items()}


def peak_memory(function: Callable[[], Any], device: str = "cpu") -> float:
    """Return by how many MiB memory grows at most during one call.

    On the CPU the process is looked at every half millisecond, which misses shorter peaks.
    """
    gc.collect()
    if sys.platform == "linux":  # give back what earlier calls left in the allocator
        getattr(ctypes.CDLL(None), "malloc_trim", int)(0)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    process, done = psutil.Process(), threading.Event()
    seen = [process.memory_info().rss]

    def watch() -> None:
        while not done.wait(0.0005):
            seen.append(process.memory_info().rss)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    function()
    seen.append(process.memory_info().rss)
    done.set()
    thread.join()
    return (max(seen) - seen[0]) / 2**20


def machine_facts() -> dict[str, Any]:
    """Return versions, machine, the processor's name, the threads in use and the machine's load."""
    facts = environment_facts()
    info = Path("/proc/cpuinfo")
    if info.is_file() and (name := re.search(r"model name\s*: (.*)", info.read_text())):
        facts["machine"]["processor"] = name[1]
    facts["machine"].pop("host", None)
    return {**facts, "threads": torch.get_num_threads(), "load": psutil.getloadavg()}
