"""Make a file of constant classifier rows for CLASSIFIER.KIND file.

ost classifier lda --cfg FILE --output rows.npz [--per-class 60] [--opts KEY VALUE ...]
ost classifier text --classes FILE --output rows.npz --open-clip ARCH --pretrained TAG
ost classifier text --classes FILE --output rows.npz --transformers NAME_OR_FOLDER
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slowfast.errors import UsageError

if TYPE_CHECKING:
    from slowfast.models.classifiers import ClassifierFile


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(
        prog="ost classifier",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="{lda,text}")
    lda = kinds.add_parser("lda", help="discriminant analysis of CLIP's features of listed videos")
    lda.add_argument("--cfg", required=True, help="config whose list, classes and CLIP are used")
    lda.add_argument(
        "--split", choices=("train", "val", "test"), default="train", help="which list"
    )
    lda.add_argument("--per-class", type=int, default=0, help="videos of each class; 0 = all")
    lda.add_argument("--seed", type=int, default=0, help="of their draw")
    text = kinds.add_parser("text", help="features of the bare class names by a text encoder")
    text.add_argument("--classes", required=True, help="file of class names, as TEXT.CLASSES")
    which = text.add_mutually_exclusive_group(required=True)
    which.add_argument("--open-clip", metavar="ARCH", help="the text tower of this CLIP.ARCH")
    which.add_argument("--transformers", metavar="SOURCE", help="a Hugging Face folder or name")
    text.add_argument("--pretrained", default="", help="tag or weights file of --open-clip")
    for kind in (lda, text):
        kind.add_argument("--output", type=Path, required=True, help="file to write (.npz)")
        kind.add_argument("--force", action="store_true", help="overwrite an existing file")
    lda.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    make(build_parser().parse_args(argv))
    return 0


def make(args: argparse.Namespace) -> None:
    """Make the rows, write them and say what they are."""
    from slowfast.models.classifiers import write_classifier
    from slowfast.utils.logging import setup_logging

    if args.output.suffix != ".npz":
        raise UsageError(f"--output {args.output}: the name must end in .npz")
    if args.output.exists() and not args.force:
        raise UsageError(f"--output {args.output} exists: name another file, or add --force")
    setup_logging()
    classifier = _from_videos(args) if args.kind == "lda" else _from_names(args)
    write_classifier(args.output, classifier)
    classes, width = classifier.rows.shape
    print(f"wrote {args.output}: {classes} rows of width {width} ({classifier.source})")


def _from_videos(args: argparse.Namespace) -> ClassifierFile:
    from slowfast.studies.classifier import load_feature_cfg, make_lda

    if args.per_class < 0:
        raise UsageError(f"--per-class {args.per_class}: it must be at least 0")
    cfg = load_feature_cfg(args.cfg, args.opts, split=args.split)
    return make_lda(cfg, per_class=args.per_class, seed=args.seed)


def _from_names(args: argparse.Namespace) -> ClassifierFile:
    from slowfast.models.classifiers import ClassifierFile
    from slowfast.models.classifiers.texts import open_clip_rows, transformers_rows
    from slowfast.text import load_classes

    names = load_classes(args.classes).names
    if args.open_clip:
        rows = open_clip_rows(names, args.open_clip, args.pretrained)
        source = f"open_clip {args.open_clip} {args.pretrained}, names of {args.classes}"
    else:
        rows = transformers_rows(names, args.transformers)
        source = f"transformers {args.transformers}, names of {args.classes}"
    return ClassifierFile(rows, names, "text", source)
