"""Make a data set of drawn actions: ``ost demo-data [--out FOLDER] [--seed N]``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

SIZES = {"train": 12, "test_seen": 2, "test_unseen": 12}  # the generator's own, without torch


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this tool."""
    parser = argparse.ArgumentParser(
        prog="ost demo-data",
        description="Write short H.264 videos of drawn actions and the lists that name them. What "
        "is complete is left alone; what was interrupted is continued.",
    )
    parser.add_argument(
        "--out", default="data/demo_actions", help="folder of the data set (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the drawings (%(default)s)")
    for name, count in SIZES.items():
        words = name.replace("_", " ")
        flag = f"--{name.replace('_', '-')}"
        text = f"videos of each class in {words} (%(default)s)"
        parser.add_argument(flag, type=int, default=count, metavar="N", help=text)
    parser.add_argument(
        "--workers", type=int, default=0, help="threads; 0 = one for each processor"
    )
    parser.add_argument(
        "--texts", metavar="FOLDER", help="write class list, split and descriptors there, no videos"
    )
    return parser


def show(done: int, total: int) -> None:
    """Say every now and then how far it is."""
    if done % 100 == 0 or done == total:
        print(f"{done} of {total} videos", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool and return its exit code."""
    args = build_parser().parse_args(argv)
    from slowfast.datasets.demo_actions import Sizes, write_texts
    from slowfast.datasets.generators import GENERATOR_REGISTRY

    if args.texts:
        write_texts(args.texts)
        print(f"wrote the texts of the demo data set to {args.texts}")
        return 0
    sizes = Sizes(args.train, args.test_seen, args.test_unseen)
    generate = GENERATOR_REGISTRY.get("demo_actions")
    folder = generate(args.out, seed=args.seed, sizes=sizes, workers=args.workers, report=show)
    print(f"{folder} is complete")
    return 0
