"""Check that every listed video exists, opens and decodes; write the good and the bad ones down.

    ost check train.csv --prefix /data/k400 --workers 8 --good clean.csv --bad bad.txt
    ost check videos/ --quick

--quick opens each file and counts its frames without decoding all of them. Exit code 3 when a video
is bad.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slowfast.errors import UsageError

if TYPE_CHECKING:
    from slowfast.datasets.lists.annotations import VideoList
    from slowfast.datasets.preparation.verifying import Verdict

REPORT_SECONDS = 5.0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="ost check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("list", help="list file, or a folder of class folders")
    add("--prefix", default="", help="DATA.PATH_PREFIX")
    add("--separator", default="", help="DATA.PATH_LABEL_SEPARATOR")
    add("--num-classes", type=int, default=0, help="labels must be below it")
    add("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    add("--quick", action="store_true", help="do not decode every frame")
    add("--min-frames", type=int, default=1, help="shorter videos are bad")
    add("--good", default="", help="write the list without the bad videos here")
    add("--bad", default="", help="write path and problem of each bad video here")
    return parser


def write_results(args: argparse.Namespace, videos: VideoList, verdicts: list[Verdict]) -> None:
    """Write the files that --good and --bad name; fields are separated by tabs.

    Classes have their names where they are known: numbers hold for one order of TEXT.CLASSES only.
    """
    labels = [videos.class_names[label] if videos.class_names else label for label in videos.labels]
    good = [f"{v.path}\t{label}\n" for v, label in zip(verdicts, labels) if not v.problem]
    bad = [f"{v.path}\t{v.problem}\n" for v in verdicts if v.problem]
    for path, lines in ((args.good, good), (args.bad, bad)):
        if path:
            Path(path).write_text("".join(lines), encoding="utf-8", errors="surrogateescape")


def run(args: argparse.Namespace) -> int:
    """Check the list and print the report; returns the exit code."""
    if os.path.abspath(args.good or "-") == os.path.abspath(args.list):
        raise UsageError(f"--good {args.good} would overwrite the list; choose another name")
    # Late, here as in every tool: they bring torch in, and --help and refusals answer at once.
    from slowfast.datasets.lists.annotations import read_list
    from slowfast.datasets.preparation.verifying import check_all

    videos = read_list(
        args.list,
        prefix=args.prefix,
        separator=args.separator,
        num_classes=args.num_classes,
        any_names=True,
    )
    if videos.kind == "frames":
        raise UsageError(f"{args.list} lists frame folders; only video files can be checked")
    verdicts: list[Verdict] = []
    told = time.monotonic()
    for verdict in check_all(
        list(videos.paths), quick=args.quick, workers=args.workers, min_frames=args.min_frames
    ):
        verdicts.append(verdict)
        if verdict.problem:
            print(f"bad: {verdict.path}: {verdict.problem}")
        if time.monotonic() - told > REPORT_SECONDS:
            told = time.monotonic()
            print(f"{len(verdicts)} of {len(videos)} checked", file=sys.stderr)
    write_results(args, videos, verdicts)
    frames = [v.frames for v in verdicts if not v.problem]
    bad = len(verdicts) - len(frames)
    lengths = f"; {min(frames)} to {max(frames)} frames" if frames else ""
    print(f"{args.list}: {len(frames)} of {len(verdicts)} videos are good, {bad} bad{lengths}")
    return 3 if bad else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Check the videos of the command line; returns the exit code."""
    return run(build_parser().parse_args(argv))
