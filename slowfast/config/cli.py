"""PySlowFast's flags, which ``ost run`` and other tools take; importing it needs no torch."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from slowfast.config import coerce
from slowfast.config.load import load_cfg
from slowfast.config.node import CfgNode

_OPTION = re.compile(r"[A-Z][A-Z0-9_]*(\.\w+)*")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of PySlowFast's flags, for tools that add some of their own."""
    parser = argparse.ArgumentParser(
        description="Train and test what a config says (TRAIN.ENABLE, TEST.ENABLE).",
        epilog="Several --cfg files are separate jobs, run in turn. Exit codes: 0 done, "
        "1 failed, 2 wrong usage or config, 3 data problem, 130 interrupted after saving.",
    )
    parser.add_argument(
        "--cfg",
        dest="cfg_files",
        metavar="FILE",
        nargs="+",
        default=[],
        help="YAML config files; option pairs may follow them",
    )
    parser.add_argument("--init_method", help="rendezvous of the processes: tcp://HOST:PORT")
    parser.add_argument("--num_shards", type=int, metavar="N", help="number of machines")
    parser.add_argument("--shard_id", type=int, metavar="I", help="index of this machine, from 0")
    parser.add_argument(
        "--extension",
        dest="extensions",
        metavar="FILE",
        action="append",
        default=[],
        help="module or .py file to import first (repeatable)",
    )
    parser.add_argument(
        "--opts",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="KEY VALUE",
        help="overrides of every file; must come last",
    )
    return parser


def parse_args(
    argv: Sequence[str] | None = None, parser: argparse.ArgumentParser | None = None
) -> argparse.Namespace:
    """Return the flags: ``cfg_files``, ``opts``, ``init_method``, ``num_shards``, ``shard_id``, ...

    PySlowFast's old form, option pairs right behind the files, is accepted with a notice.

    Args:
        argv: words after the program's name (default: the process's).
        parser: one from ``build_parser`` with more flags.
    """
    parser = parser or build_parser()
    args = parser.parse_args(argv)
    if not args.cfg_files:
        parser.error("name at least one config: --cfg FILE [--opts KEY VALUE ...]")
    args.cfg_files, pairs = _split_old_form(args.cfg_files)
    if pairs:
        coerce.notice(f"option pairs belong behind --opts now: --cfg ... --opts {pairs[0]} ...")
    args.opts = [*pairs, *args.opts]
    return args


def _split_old_form(words: list[str]) -> tuple[list[str], list[str]]:
    """Split ``X.yaml KEY VALUE ...`` at the first word that is no file but looks like an option."""
    for at, word in enumerate(words):
        if at > 0 and _OPTION.fullmatch(word) and not Path(word).exists():
            return words[:at], words[at:]
    return words, []


def given_flags(args: argparse.Namespace) -> dict[str, int]:
    """Return NUM_SHARDS and SHARD_ID as far as the command line gives them."""
    flags = {"NUM_SHARDS": args.num_shards, "SHARD_ID": args.shard_id}
    return {key: value for key, value in flags.items() if value is not None}


def load_all(args: argparse.Namespace) -> list[CfgNode]:
    """Return one config for each file, so that a mistake in the last one shows at once."""
    return [
        load_cfg(path, args.opts, extensions=args.extensions, flags=given_flags(args))
        for path in args.cfg_files
    ]
