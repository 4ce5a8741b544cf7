"""Prove that label_db is whole: ``ost label-db [FOLDER ...]``; exit code 2 if it is not.

Each folder's classes, subsets and descriptors are checked (slowfast/text/label_db.py). With CLIP
weights at hand (--pretrained) the semantic density is printed as well: the mean cosine between the
text features of two classes, for names and for descriptors (OST, figure 2). Lower is better told
apart.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from slowfast.config.paths import resolve_path
from slowfast.errors import UsageError
from slowfast.text.label_db import check_classes, check_descriptors

BENCHMARKS = ("kinetics400", "kinetics600", "ucf101", "hmdb51", "ssv2", "activitynet200")


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(
        prog="ost label-db",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", nargs="*", type=Path, help="default: the six benchmarks")
    parser.add_argument("--arch", default="ViT-B-16-quickgelu", help="CLIP for the density")
    parser.add_argument("--pretrained", default="", help="its weights; empty = no density")
    parser.add_argument("--released", type=Path, metavar="OST", help="convert instead of checking")
    parser.add_argument("--out", type=Path, help="folder of the converted files")
    args = parser.parse_args(argv)
    if bool(args.released) != bool(args.out):
        raise UsageError("--released and --out need each other")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    args = parse_args(argv)
    if args.released:
        from slowfast.text.released import convert_released

        for path in convert_released(args.released, args.out, Path(resolve_path("label_db"))):
            print(path)
        return 0
    problems = report(args)
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(problems)} problems")
    return 2 if problems else 0


def report(args: argparse.Namespace) -> list[str]:
    """Print the table of all descriptor files and return the problems found."""
    folders = args.folders or _all_folders()
    table = Table("data set", "kind", "N", "classes", "longest prompt, tokens", "problems")
    if args.pretrained:
        table.add_column("density of names")
        table.add_column("density of descriptors")
    problems: list[str] = []
    for folder in folders:
        wrong = check_classes(folder)
        problems += wrong
        if wrong:
            continue
        files = list(check_descriptors(folder))
        if not files:
            problems.append(f"{folder}: no descriptors")
        for file in files:
            problems += file.problems
            row = [folder.name, file.kind, file.num, file.classes, file.longest, len(file.problems)]
            if args.pretrained and not file.problems:
                row += densities(folder, file.path, file.kind, args.arch, args.pretrained)
            table.add_row(*map(str, row))
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    return problems


def _all_folders() -> list[Path]:
    root = Path(resolve_path("label_db"))
    folders = [root / name for name in BENCHMARKS]
    if missing := [str(path) for path in folders if not path.is_dir()]:
        raise UsageError(f"no such folder: {', '.join(missing)}")
    return folders


def densities(folder: Path, path: Path, kind: str, arch: str, pretrained: str) -> list[str]:
    """Return the semantic density of class names and of a descriptor file, as text."""
    import torch

    from slowfast.models.clip.build import build_clip
    from slowfast.models.clip.text import TextBank
    from slowfast.ops.similarity import semantic_density
    from slowfast.text import expand_descriptors, get_prompts, load_classes, load_descriptors

    vocabulary, prompts = load_classes(folder / "classes.csv"), get_prompts("ost")
    texts = expand_descriptors(
        prompts,
        vocabulary,
        load_descriptors(path, vocabulary, kind=kind),
        conditioned=kind == "temporal",
    )
    tower = build_clip(arch, pretrained).text.eval()
    with torch.no_grad():
        banks = [TextBank([[name] for name in vocabulary.names]), TextBank(texts)]
        return [f"{semantic_density(bank.features(tower)):.3f}" for bank in banks]
