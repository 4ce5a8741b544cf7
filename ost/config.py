"""Show a composed config and which file or override set each value.

Usage: ost config --cfg FILE [FILE ...] [--set | --diff] [--opts KEY VALUE ...]
"""

from __future__ import annotations

from collections.abc import Sequence

from slowfast.config.cli import build_parser, given_flags, parse_args
from slowfast.config.load import load_cfg_with_sources
from slowfast.config.show import annotated_yaml, diff_yaml


def main(argv: Sequence[str] | None = None) -> int:
    """Print every config of the command line; returns the exit code."""
    parser = build_parser()
    parser.prog, parser.description, parser.epilog = "ost config", __doc__, None
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--set", action="store_true", help="only what a file or an override set")
    which.add_argument("--diff", action="store_true", help="what differs from the defaults")
    args = parse_args(argv, parser)
    for path in args.cfg_files:
        cfg, sources = load_cfg_with_sources(
            path, args.opts, extensions=args.extensions, flags=given_flags(args)
        )
        text = diff_yaml(cfg) if args.diff else annotated_yaml(cfg, sources, only_set=args.set)
        print(f"# {path}\n{text}", end="")
    return 0
