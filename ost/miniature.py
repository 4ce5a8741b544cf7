"""Make miniatures of the benchmark data sets, to rehearse protocols: ``ost miniature FOLDER``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from slowfast.config.paths import SHIPPED
from slowfast.datasets.demo_actions.miniature import LAYOUTS, Sizes, make_miniature


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this tool."""
    parser = argparse.ArgumentParser(
        prog="ost miniature",
        description="Write FOLDER/<data set>/annotations and FOLDER/<data set>/videos in the "
        "layout and naming of the real data sets, with a few classes and tiny videos. The next "
        "step is ost prepare --partial.",
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER")
    add("datasets", nargs="*", metavar="DATASET", help=f"of {', '.join(LAYOUTS)} (default: all)")
    for name, count in Sizes()._asdict().items():
        add(f"--{name}", type=int, default=count, metavar="N", help="(%(default)s)")
    add("--seed", type=int, default=0, help="of the drawings and weights (%(default)s)")
    add(
        "--clip",
        type=Path,
        metavar="FILE",
        help="also write random weights of the CLIP of --arch there, in open_clip's form",
    )
    add(
        "--released",
        type=Path,
        metavar="FOLDER",
        help="also write our descriptors there, in the form of OST's repository",
    )
    add("--arch", type=Path, default=SHIPPED / "configs/demo/clip_tiny.json", metavar="JSON")
    return parser


def write_clip(path: Path, arch: Path, seed: int) -> None:
    """Write weights of a CLIP that nobody trained: they stand for the original CLIP's."""
    import open_clip
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        clip = open_clip.CLIP(**json.loads(arch.read_text()))
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(clip.state_dict(), path)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool and return its exit code."""
    args = build_parser().parse_args(argv)
    sizes = Sizes(args.classes, args.train, args.test)
    for dataset in args.datasets or LAYOUTS:
        count = make_miniature(
            args.folder / dataset,
            dataset,
            label_db=SHIPPED / "label_db",
            sizes=sizes,
            seed=args.seed,
        )
        print(f"{args.folder / dataset}: {count} videos")
    if args.released:
        from slowfast.text.released import write_released

        write_released(args.released, SHIPPED / "label_db")
        print(f"{args.released}: descriptors")
    if args.clip:
        write_clip(args.clip, args.arch, args.seed)
        print(f"{args.clip}: random weights")
    return 0
