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

from slowfast.errors import UsageError

# Of each: the module that has it, imported when it is asked for; its function; what it measures.
COMMANDS = {
    "decode": ("decode", "run", "frames of one video file"),
    "loader": ("loader", "run", "clips and views, stage by stage"),
    "text": ("texts", "run", "texts trimmed against padded"),
    "solver": ("solver", "run", "the optimal descriptor solver"),
    "inference": ("systems", "run_inference", "OST against the published loop"),
    "train-step": ("systems", "run_train_step", "OST against class names"),
    "start": ("start", "run", "run_net.py --help"),
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
    for name, (module, run, help_text) in COMMANDS.items():
        own = commands.add_parser(name, help=help_text)
        if words and words[0] == name:  # the others are not imported: --help stays quick
            benchmark = importlib.import_module(f"ost.benchmarks.{module}")
            common_arguments(own)
            benchmark.add_arguments(own)
            own.set_defaults(run=getattr(benchmark, run))
    args = parser.parse_args(words)
    if args.repeats < 1 or args.warmup < 0 or args.threads < 0:
        raise UsageError("--repeats must be 1 or more, --warmup and --threads 0 or more")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run one benchmark, print its table and write its file; returns the exit code."""
    measure(parse_args(sys.argv[1:] if argv is None else argv))
    return 0


def measure(args: argparse.Namespace) -> None:
    """Run the benchmark of ``args``."""
    import torch

    from ost.benchmarks.core import Settings

    present = torch.cuda.is_available()
    if args.device == "cuda" and not present:
        raise UsageError("--device cuda, but this machine has no usable CUDA device")
    device = "cuda" if present and args.device != "cpu" else "cpu"
    before = torch.get_num_threads()
    torch.set_num_threads(args.threads or before)
    try:
        report = args.run(args, Settings(args.repeats, args.warmup, device, args.bf16))
        report.show()
        if args.json:
            report.write(args.json)
            print(f"written: {args.json}")
    finally:
        torch.set_num_threads(before)
