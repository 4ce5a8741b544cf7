"""Train and test what a config says (TRAIN.ENABLE, TEST.ENABLE)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from slowfast.config.cli import build_parser, load_all, parse_args
from slowfast.config.inputs import check_files


def main(argv: Sequence[str], *, name: str = "run", opts: Sequence[str] = ()) -> int:
    """Run every config of the command line and return the exit code.

    Args:
        argv: words behind the tool's name.
        name: the tool's name.
        opts: keys and values that win over those of the command line.
    """
    parser = build_parser()
    parser.prog = f"ost {name}"
    if not argv:
        parser.print_help(sys.stderr)
        return 2
    args = parse_args(argv, parser)
    args.opts += opts
    cfgs = load_all(args)
    for cfg in cfgs:
        check_files(cfg)
    # Late, so that --help and a mistake in a config answer at once.
    from slowfast.engine.run import run

    for cfg in cfgs:
        run(cfg, args.init_method)
    return 0
