"""Measure speed as ratios against baselines of the same run; docs/benchmarks.md has the figures.

    ost benchmark decode [FILE ...]     ost benchmark text          ost benchmark inference
    ost benchmark loader [--cfg FILE]   ost benchmark solver        ost benchmark train-step
    ost benchmark start                 ost benchmark --cfg FILE    (the loader of a config)

Each takes --repeats, --warmup, --threads, --device, --bf16 and --json FILE. Run one at a time, on a
machine that does nothing else.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

from slowfast.errors import UsageError


class Subcommand(NamedTuple):
    """Where a benchmark lives; its module is imported when it is asked for."""

    module: str
    arguments: str
    run: str
    help: str


SUBCOMMANDS = {
    "decode": Subcommand("decode", "add_arguments", "run", "frames of one video file"),
    "loader": Subcommand("loader", "add_arguments", "run", "clips and views, stage by stage"),
    "text": Subcommand("texts", "add_arguments", "run", "texts trimmed against padded"),
    "solver": Subcommand("solver", "add_arguments", "run", "the optimal descriptor solver"),
    "inference": Subcommand(
        "systems", "add_inference_arguments", "run_inference", "OST against the published loop"
    ),
    "train-step": Subcommand(
        "systems", "add_arguments", "run_train_step", "OST against class names"
    ),
    "start": Subcommand("start", "add_arguments", "run", "ost run --help"),
}


def common_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what every subcommand takes."""
    add = parser.add_argument
    add("--json", default="", metavar="FILE", help="write results and machine here")
    add("--repeats", type=int, default=5, help="timed rounds")
    add("--warmup", type=int, default=1, help="rounds before them")
    add("--threads", type=int, default=0, help="threads of torch; 0 = as they are")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto")
    add("--bf16", action="store_true", help="models in bfloat16 autocast")


def parse_args(words: Sequence[str]) -> argparse.Namespace:
    """Return the subcommand's options; ``--cfg`` first means loader, PySlowFast's habit."""
    words = list(words)
    if words and words[0] == "--cfg":
        words.insert(0, "loader")
    parser = argparse.ArgumentParser(
        prog="ost benchmark",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in SUBCOMMANDS.items():
        own = commands.add_parser(name, help=command.help)
        # Only the one that is asked for is imported: --help stays quick.
        if words and words[0] == name:
            module = importlib.import_module(f"ost.benchmarks.{command.module}")
            common_arguments(own)
            getattr(module, command.arguments)(own)
    args = parser.parse_args(words)
    if args.repeats < 1 or args.warmup < 0 or args.threads < 0:
        raise UsageError("--repeats must be 1 or more, --warmup and --threads 0 or more")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run one benchmark, print its table and write its file; returns the exit code."""
    measure(parse_args(sys.argv[1:] if argv is None else argv))
    return 0


def measure(args: argparse.Namespace) -> None:
    """Run the subcommand of ``args``."""
    import torch

    from ost.benchmarks.core import Neighbours, Settings

    present = torch.cuda.is_available()
    if args.device == "cuda" and not present:
        raise UsageError("--device cuda, but this machine has no usable CUDA device")
    device = "cuda" if present and args.device != "cpu" else "cpu"
    before = torch.get_num_threads()
    torch.set_num_threads(args.threads or before)
    command = SUBCOMMANDS[args.command]
    module = importlib.import_module(f"ost.benchmarks.{command.module}")
    try:
        settings = Settings(args.repeats, args.warmup, device, args.bf16)
        neighbours = Neighbours()
        report = getattr(module, command.run)(args, settings)
        report.others = neighbours.share()
        report.show()
        if args.json:
            report.write(args.json)
            print(f"written: {args.json}")
    finally:
        torch.set_num_threads(before)
