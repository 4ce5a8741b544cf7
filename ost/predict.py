"""Label videos with any classes: ``ost predict --cfg FILE VIDEO... [--opts KEY VALUE ...]``.

Prints one line a video, or one JSON object with --json. Scores are relative to the listed classes:
the same video gets another score from another list, and 1.000 from a list of one class. A video
that is not whole is labelled by what is there, with a warning.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(
        prog="ost predict",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("videos", nargs="+", help="video files")
    parser.add_argument("--cfg", required=True, help="config of a model and its test")
    parser.add_argument("--topk", type=int, default=5, help="classes to show for each video")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs")
    args = parser.parse_args(argv)
    if args.topk < 1:
        parser.error(f"--topk {args.topk}: expected 1 or more")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 3 if some video could not be read."""
    return 3 if show(parse_args(argv)) else 0


def show(args: argparse.Namespace) -> int:
    """Print the predictions and return how many videos could not be read."""
    from slowfast.config.load import load_cfg
    from slowfast.engine.predict import predict
    from slowfast.engine.weights import load_test_weights, say_what_is_tested
    from slowfast.models.build import build_model

    cfg = load_cfg(args.cfg, args.opts)
    model = build_model(cfg)
    say_what_is_tested(cfg, model, load_test_weights(cfg, model))
    failed = 0
    for found in predict(cfg, model, args.videos, topk=args.topk):
        failed += bool(found.error)
        if found.warning:
            print(f"warning: {found.path}: {found.warning}", file=sys.stderr, flush=True)
        if args.json:
            print(json.dumps(found._asdict()), flush=True)
        elif found.error:
            print(f"{found.path}: {found.error}", file=sys.stderr, flush=True)
        else:
            pairs = zip(found.labels, found.scores)
            print(f"{found.path}: " + ", ".join(f"{n} {s:.3f}" for n, s in pairs), flush=True)
    return failed
