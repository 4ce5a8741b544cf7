"""Make the lists of a data set from its official annotation files and its videos.

    ost prepare ucf101 --annotations ucfTrainTestlist --videos UCF-101 --out data/ucf101
    ost prepare kinetics600 --annotations k600 --videos k600/videos --splits val --out data/k600
    ost prepare hmdb51 --videos hmdb51 --published val1.txt --labels published --out data/hmdb51

Finds every listed video in folders of any layout, checks that it opens and decodes, proves labels
against folder and file names, and writes lists of `path label` with a report. Exit code 3 when a
listed video is missing or broken (the lists then hold the good ones). See docs/data.md.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slowfast.config.paths import SHIPPED

DATASETS = ("kinetics400", "kinetics600", "ucf101", "hmdb51", "ssv2", "activitynet200")
ALL_SHOTS = (1, 2, 4, 8, 16)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="ost prepare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("dataset", choices=DATASETS)
    add("--videos", type=Path, required=True, help="folder of the videos, of any layout")
    add("--out", type=Path, required=True, help="folder of the lists and the report")
    add("--annotations", type=Path, help="folder of the official annotation files")
    add("--label-db", type=Path, default=SHIPPED / "label_db",
        help="folder with classes and subsets (%(default)s)")  # fmt: skip
    add("--labels", choices=("right", "published"), default="right",
        help="published: class names as the ViFi-CLIP line has them (HMDB-51)")  # fmt: skip
    add("--splits", nargs="+", choices=("train", "val", "test"), default=("train", "val", "test"),
        help="only these (all that there are)")  # fmt: skip
    add("--partial", action="store_true", help="the annotations cover only some of the classes")
    _add_checking(parser)
    _add_derived(parser)
    return parser


def _add_checking(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("checking").add_argument
    add("--check", choices=("quick", "full", "none"), default="quick",
        help="quick: first and last frame decode; full: every frame (%(default)s)")  # fmt: skip
    add("--workers", type=int, default=os.cpu_count() or 1, help="processes (%(default)s)")
    add("--allow-missing", action="store_true", help="exit code 0 with missing or broken videos")
    add("--progress", choices=("auto", "rich", "plain", "none"), default="auto")


def _add_derived(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("few shots and zero shots").add_argument
    add("--shots", type=int, nargs="*", metavar="K",
        help="draw K training videos per class; without numbers 1 2 4 8 16")  # fmt: skip
    add("--seeds", type=int, nargs="+", default=(1, 2, 3), metavar="S", help="one list per seed")
    add("--zero-shot-from", choices=("train", "val", "test"), default="val",
        help="Kinetics-600: list that the zero-shot splits are cut from (%(default)s)")  # fmt: skip
    add = parser.add_argument_group("published lists").add_argument
    add("--published", type=Path, metavar="LIST",
        help="read this list instead; --annotations then only proves its labels")  # fmt: skip
    add("--published-style", default="auto", choices=("auto", "vifi_clip", "text4vis", "stdd"))
    add("--subset", default="", help="classes that its labels count: base, zero_shot_split1, ...")
    add("--name", default="", help="name of the written list (default: that of the published one)")
    add = parser.add_argument_group("ActivityNet").add_argument
    add("--trim", type=Path, metavar="FOLDER", help="cut labelled segments into files there")
    add("--trim-splits", nargs="+", choices=("train", "val"), default=("train",),
        help="whose segments (train)")  # fmt: skip
    add("--trim-shortest", type=float, default=0.0, metavar="SECONDS",
        help="leave out shorter segments; the published lists have none under 8 frames at 1 fps: 8 "
        "(%(default)s)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Prepare what the command line asks for; returns the exit code."""
    # Late, so that --help and wrong options answer at once.
    from slowfast.datasets.preparation import Request, prepare
    from slowfast.utils.logging import setup_logging

    setup_logging()
    given = vars(args).items()
    options: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in given}
    del options["allow_missing"]
    options["shots"] = () if args.shots is None else tuple(args.shots) or ALL_SHOTS
    report = prepare(Request(**options))
    print(report.as_text(), end="")
    print(f"\nlists and report.json are in {args.out}")
    if report.complete or args.allow_missing:
        return 0
    bad = len(report.missing) + len(report.ambiguous) + len(report.broken)
    print(
        f"error: {bad} listed videos are missing or broken; the lists hold the others "
        "(--allow-missing accepts that)",
        file=sys.stderr,
    )
    return 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool and return its exit code."""
    return run(build_parser().parse_args(argv))
