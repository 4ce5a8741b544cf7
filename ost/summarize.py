"""Gather the results.json files of runs into tables, beside published figures.

    ost summarize runs/ost/zero_shot
    ost summarize runs/hmdb51 --by labels --format markdown --out tables.md
    ost summarize runs/few_shot --method OST --method ViFi-CLIP --format latex

One table for each protocol. A row is the mean over the splits and seeds of runs that are otherwise
equal; the row after it has the published figures of the nearest setting, with their source, from
label_db/published_results.yaml. Runs that were scored with other lists of class names or on other
test videos never share a mean: they are refused, or shown apart with --by.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from slowfast.config.paths import resolve_path
from slowfast.errors import DataError, UsageError
from slowfast.evaluation.published import PublishedTables, parse_published
from slowfast.evaluation.result_entry import OWN, parse_result
from slowfast.evaluation.summary import BY, gather
from slowfast.evaluation.tables import FORMATS, STD, build_grid, to_csv

PUBLISHED = "label_db/published_results.yaml"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="ost summarize",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("runs", nargs="+", type=Path, metavar="RUN", help="folder of runs, or a results.json")
    add("--format", choices=[*FORMATS, "csv"], default="console")
    add("--protocol", action="append", default=[], help="only this one (may be repeated)")
    add(
        "--by",
        action="append",
        default=[],
        choices=BY,
        help="a row for each of these, instead of a mean or a refusal (may be repeated)",
    )
    add(
        "--method",
        action="append",
        default=[],
        help="whose published figures to show (may be repeated); default: each row's own method",
    )
    add("--std", choices=list(STD), default="sample", help="deviation shown; csv has both")
    add("--digits", type=int, default=1, help="behind the point (default 1)")
    add("--published", default=PUBLISHED, help="file of published figures (%(default)s)")
    add("--out", type=Path, help="write here instead of to the terminal")
    return parser


def find_results(runs: Sequence[Path]) -> Iterator[Path]:
    """Yield the results.json files of all runs, each once, in the order of their paths.

    A test with several view counts leaves one in each folder ``views_<clips>x<crops>`` and a copy
    of the last above them: the copy is left out.
    """
    seen = set()
    for run in runs:
        found = [run] if run.is_file() else sorted(run.rglob("results.json"))
        if not found:
            what = "no results.json below it" if run.is_dir() else "no such folder or file"
            raise DataError(f"{run}: {what}; name the OUTPUT_DIR of a test, or a folder above it")
        for path in found:
            if path.resolve() not in seen and not any(path.parent.glob("views_*/results.json")):
                seen.add(path.resolve())
                yield path


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a results.json; DataError if it is damaged."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error}); test again") from error
    if not isinstance(data, dict):
        raise DataError(f"{path}: expected the object that a test writes; test again")
    return data


def read_published(path: str) -> PublishedTables:
    """Return the published figures of a YAML file."""
    place = resolve_path(path)
    try:
        return parse_published(yaml.safe_load(place.read_text(encoding="utf-8")), source=path)
    except (OSError, yaml.YAMLError) as error:
        line = str(error).replace("\n", " ")
        raise UsageError(f"{path}: cannot be read as published results: {line}") from error


def summarize(args: argparse.Namespace) -> str:
    """Return the text that the arguments ask for."""
    published = read_published(args.published)
    for method in args.method:
        published.check_method(method)
    contents = [(path, read_json(path)) for path in find_results(args.runs)]
    if args.protocol:
        contents = [item for item in contents if (item[1].get("protocol") or OWN) in args.protocol]
    if not contents:
        raise DataError(f"no result of protocol {', '.join(args.protocol)} in the given runs")
    results = [parse_result(path, data, published) for path, data in contents]
    tables = gather(results, by=args.by, published=published, methods=args.method)
    if args.format == "csv":
        return to_csv(tables)
    show = FORMATS[args.format]
    grids = [build_grid(table, std=args.std, digits=args.digits) for table in tables]
    return "\n".join(show(grid) for grid in grids)


def main(argv: Sequence[str] | None = None) -> int:
    """Print or write the tables; returns the exit code."""
    args = build_parser().parse_args(argv)
    text = summarize(args)
    if args.out is None:
        print(text, end="")
    else:
        from slowfast.evaluation.results import atomic_write

        atomic_write(args.out, text)
    return 0
