"""Average weights: original and fine-tuned CLIP at a ratio, epochs of a run, or many ratios.

Files of this project, PySlowFast, OST, ViFi-CLIP, OpenAI and open_clip are read as they are. Sums
are taken in float64. The result holds model_state and a record of its sources (paths, sha256,
weights) and can be named in TEST.CHECKPOINT_FILE_PATH.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from slowfast.errors import UsageError

EXAMPLES = """examples:
  ost average mix ViT-B-16.pt run/checkpoints/checkpoint_epoch_00010.pyth \\
      --ratio 0.2 -o ost_0.2.pyth
  ost average uniform run --epochs 2-22 -o swa_2_22.pth
  ost average sweep ViT-B-16.pt tuned.pyth --ratios 0 0.2 0.5 1 -o mixes/
"""
RATIO_HELP = (
    "weight of ORIGINAL, from 0 to 1; FINETUNED gets the rest. OST's zero-shot results use 0.2: "
    "one fifth original CLIP, four fifths fine-tuned"
)
NUMBERED = re.compile(r"(?P<task>.*?)epoch_(?P<epoch>\d+)\.(?:pyth|pth|pt)")


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(
        prog="ost average",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    mix = commands.add_parser("mix", help="original and fine-tuned weights at one ratio")
    _add_pair(mix)
    mix.add_argument("--ratio", type=float, required=True, metavar="R", help=RATIO_HELP)
    mix.add_argument("-o", "--output", type=Path, required=True, help="file to write")
    uniform = commands.add_parser("uniform", help="plain mean of several files")
    uniform.add_argument(
        "sources", nargs="+", type=Path, help="files, or the folder of a run: its finished epochs"
    )
    uniform.add_argument(
        "--epochs", metavar="A-B", help="only files whose name's number lies in A..B, both included"
    )
    uniform.add_argument("-o", "--output", type=Path, required=True, help="file to write")
    sweep = commands.add_parser("sweep", help="original and fine-tuned weights at many ratios")
    _add_pair(sweep)
    sweep.add_argument(
        "--ratios", type=float, nargs="+", required=True, metavar="R", help=RATIO_HELP
    )
    sweep.add_argument(
        "-o", "--output", type=Path, required=True, help="folder for mix_<ratio>.pyth files"
    )
    for command in (mix, uniform, sweep):
        command.add_argument("--force", action="store_true", help="overwrite existing files")
    return parser


def _add_pair(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("original", type=Path, help="weights before fine-tuning, such as CLIP's")
    parser.add_argument("finetuned", type=Path, help="weights after fine-tuning")
    for side, other in (("original", "fine-tuned"), ("finetuned", "original")):
        parser.add_argument(
            f"--only-{side}",
            choices=("refuse", "keep"),
            default="refuse",
            help=f"keys that the {other} file lacks: refuse them, or take them over as they are",
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    args = build_parser().parse_args(argv)
    {"mix": run_mix, "uniform": run_uniform, "sweep": run_mix}[args.command](args)
    return 0


def run_mix(args: argparse.Namespace) -> None:
    """Mix two files at one ratio, or at each of a sweep."""
    from slowfast.checkpoint.averaging import kept_buffers, mix
    from slowfast.checkpoint.sources import (
        Source,
        check_target,
        read_adapted,
        sha256,
        write_result,
    )

    targets = _mix_targets(args)
    pair = (args.original, args.finetuned)
    for target in targets:
        check_target(target, pair, force=args.force)
    original, finetuned = (read_adapted(path) for path in pair)
    hashes = [sha256(path) for path in pair]
    kept = len(kept_buffers(original.state, finetuned.state))
    for target, ratio in targets.items():
        state = mix(
            original=original.state,
            finetuned=finetuned.state,
            ratio_original=ratio,
            only_original=args.only_original,
            only_finetuned=args.only_finetuned,
        )
        sources = [
            Source(str(path), digest, side.kind, weight)
            for path, digest, side, weight in zip(
                pair, hashes, (original, finetuned), (ratio, 1 - ratio), strict=True
            )
        ]
        write_result(target, state, {"method": "mix", "ratio_original": ratio}, sources)
        print(
            f"wrote {target}: {ratio:g} x {args.original} + {1 - ratio:g} x {args.finetuned}, "
            f"{len(state)} tensors" + f", {kept} buffers as in {args.original}" * (ratio > 0 < kept)
        )


def _mix_targets(args: argparse.Namespace) -> dict[Path, float]:
    ratios = [args.ratio] if args.command == "mix" else args.ratios
    for ratio in ratios:
        if not 0 <= ratio <= 1:
            raise UsageError(f"ratio {ratio:g}: expected 0 (all fine-tuned) to 1 (all original)")
    if args.command == "mix":
        return {args.output: args.ratio}
    return {args.output / f"mix_{ratio:g}.pyth": ratio for ratio in ratios}


def run_uniform(args: argparse.Namespace) -> None:
    """Average several files with equal weights."""
    from slowfast.checkpoint.adapters import Adapted
    from slowfast.checkpoint.averaging import average
    from slowfast.checkpoint.sources import (
        Source,
        check_target,
        read_adapted,
        sha256,
        write_result,
    )

    files = list_files(args.sources, args.epochs)
    check_target(args.output, files, force=args.force)
    epochs = [number_of(path) for path in files]
    share = 1 / len(files)
    sources = []

    def read(position: int, path: Path) -> Adapted:
        print(f"[{position + 1}/{len(files)}] {path}", file=sys.stderr)
        adapted = read_adapted(path)
        digest = sha256(path)
        sources.append(Source(str(path), digest, adapted.kind, share, epochs[position]))
        return adapted

    state = average((read(i, path).state for i, path in enumerate(files)), [share] * len(files))
    write_result(args.output, state, {"method": "uniform", "epochs": epochs}, sources)
    print(f"wrote {args.output}: mean of {len(files)} files, {len(state)} tensors")


def number_of(path: Path) -> int | None:
    """Return the epoch number in a checkpoint's name, or None."""
    match = NUMBERED.fullmatch(path.name)
    return int(match["epoch"]) if match else None


def list_files(sources: Sequence[Path], epochs: str | None) -> list[Path]:
    """Return the files to average, in the order of their numbers.

    Args:
        sources: files; or folders, of which the finished epochs are taken (not the best one, nor
            positions within an epoch).
        epochs: "a-b", both included; needs numbers in the names.

    Raises:
        UsageError: nothing there, nothing left, several jobs in one folder, fewer than two files.
    """
    files = [file for source in sources for file in _expand(source)]
    if epochs is not None:
        bounds = re.fullmatch(r"(\d+)-(\d+)", epochs)
        if bounds is None:
            raise UsageError(f"--epochs {epochs!r}: expected two numbers, such as 2-22")
        if unnumbered := [str(file) for file in files if number_of(file) is None]:
            raise UsageError(f"--epochs {epochs}: no epoch number in the name of {unnumbered[0]}")
        first, last = int(bounds[1]), int(bounds[2])
        files = [file for file in files if first <= (number_of(file) or 0) <= last]
    if len(set(files)) != len(files):
        raise UsageError("a file is named twice")
    if len(files) < 2:
        within = f" with epochs {epochs}" if epochs else ""
        raise UsageError(
            f"{', '.join(map(str, sources))}: {len(files)} files{within}, expected two"
        )
    return sorted(files, key=lambda file: (number_of(file) or 0, file.name))


def _expand(source: Path) -> Iterator[Path]:
    if not source.is_dir():
        yield source
        return
    folder = source / "checkpoints" if (source / "checkpoints").is_dir() else source
    found = [file for file in folder.iterdir() if NUMBERED.fullmatch(file.name)]
    jobs = {match["task"] for file in found if (match := NUMBERED.fullmatch(file.name))}
    if len(jobs) > 1:
        raise UsageError(f"{folder}: holds several jobs ({', '.join(sorted(jobs))}); name files")
    if not found:
        raise UsageError(f"{folder}: holds no files named like checkpoint_epoch_00001.pyth")
    yield from found
