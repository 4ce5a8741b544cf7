"""Published figures as facts with their source, and which of them belong beside an own result.

They come from ``label_db/published_results.yaml``, whose head explains its form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from slowfast.errors import UsageError

TEST_SET_TOLERANCE = 0.1  # share of videos that a copy of a test list may have lost
TABLE_KEYS = {"source", "protocol", "columns", "common", "data", "rows"}
TOPS = ("top1", "top5", "half_top1", "half_top5")
COLUMNS = {*TOPS, *(f"{name}_std" for name in TOPS), "map", "base", "novel", "hm"}


@dataclass(frozen=True)
class Published:
    """One row of a published table for one data set; percent. Empty facts are not stated."""

    source: str
    protocol: str
    dataset: str
    method: str
    figures: Mapping[str, float]
    arch: str = ""
    frames: str = ""
    views: str = ""
    averaging: str = ""
    deviation: str = ""
    test_set: str = ""
    labels: str = ""
    clip_ratio: float | None = None
    start: str = ""
    descriptors: str = ""
    variant: str = ""
    via: str = ""

    @property
    def label(self) -> str:
        """Return what stands beside the figures wherever they are shown."""
        return f"published ({self.source}{', ' + self.via if self.via else ''})"


HELD = ("source", "protocol", "dataset", "figures")
# What a row of the file may state besides.
FACTS = [f.name for f in fields(Published) if f.name not in HELD]


@dataclass(frozen=True)
class PublishedTables:
    """All published figures.

    Args:
        entries: one for each row and data set.
        methods: name of the method by model name of this project.
        test_sets: by data set, then by the name of one of its test sets: video counts of its lists.
    """

    entries: Sequence[Published] = ()
    methods: Mapping[str, str] = field(default_factory=dict)
    test_sets: Mapping[str, Mapping[str, Sequence[int]]] = field(default_factory=dict)

    def method_of(self, model: str) -> str:
        """Return the published name of a registered model, or the model's own name."""
        return self.methods.get(model, model)

    def test_set_of(self, dataset: str, listed: int) -> str:
        """Return the name of the test set whose list is nearest to ``listed`` videos.

        Empty where none has about that many (10 % fewer or more), or the data set has only one.
        """
        best, name = TEST_SET_TOLERANCE, ""
        for candidate, counts in self.test_sets.get(dataset, {}).items():
            for count in counts:
                if (distance := abs(listed - count) / count) < best:
                    best, name = distance, candidate
        return name

    def closest(self, wanted: Published) -> list[Published]:
        """Return the figures to show beside a result: those that share most of its settings.

        ``wanted`` is the result in the form of a published row; what is not known of it is empty.

        Method, protocol, data set and variant must be the same; start and test set too where both
        are known. Of these, the ones that agree in most of arch, frames, views, labels, share of
        the original CLIP and whose descriptors.
        """
        fitting = [entry for entry in self.entries if _fits(entry, wanted)]
        if not fitting:
            return []
        best = max(_agreement(entry, wanted) for entry in fitting)
        return [entry for entry in fitting if _agreement(entry, wanted) == best]

    def check_method(self, method: str) -> None:
        """Raise UsageError for a method of which no table has a figure."""
        known = sorted({entry.method for entry in self.entries})
        if method not in known:
            raise UsageError(f"no published figures of {method!r}; known: {', '.join(known)}")


def _fits(entry: Published, wanted: Published) -> bool:
    same = ("method", "protocol", "dataset", "variant")
    if any(getattr(entry, name) != getattr(wanted, name) for name in same):
        return False
    pairs = ((entry.start, wanted.start), (entry.test_set, wanted.test_set))
    return all(one == other for one, other in pairs if one and other)


def _agreement(entry: Published, wanted: Published) -> int:
    names = ("arch", "frames", "views", "labels", "clip_ratio", "descriptors")
    return sum(getattr(entry, name) == getattr(wanted, name) for name in names)


def parse_published(data: Any, *, source: str = "published results") -> PublishedTables:
    """Check the content of a file of published results and return it.

    Args:
        data: the parsed YAML.
        source: the file's name, for messages.

    Raises:
        UsageError: something is missing, unknown or of another length than its columns.
    """
    if not isinstance(data, Mapping) or not {"methods", "test_sets", "tables"} <= set(data):
        raise UsageError(f"{source}: expected the keys methods, test_sets and tables")
    entries: list[Published] = []
    for number, table in enumerate(data["tables"], 1):
        where = f"{source}: table {number} ({table.get('source', 'no source')})"
        entries += _parse_table(table, where)
    methods = {model: method for method, models in data["methods"].items() for model in models}
    return PublishedTables(entries, methods, data["test_sets"])


def _parse_table(table: Mapping[str, Any], where: str) -> Iterator[Published]:
    missing = TABLE_KEYS - {"common", "data"} - set(table)
    if missing or set(table) - TABLE_KEYS:
        raise UsageError(
            f"{where}: needs source, protocol, columns, rows and may have common, data; found "
            f"{', '.join(table)}"
        )
    columns = [str(column) for column in table["columns"]]
    strange = [name for name in columns if name not in COLUMNS and not name.isdecimal()]
    if strange:
        raise UsageError(f"{where}: unknown columns {', '.join(strange)}")
    for row in table["rows"]:
        stated = {key: value for key, value in row.items() if key in FACTS}
        for dataset in (key for key in row if key not in FACTS):
            figures = _figures(columns, row[dataset], f"{where}: {dataset} of {row}")
            of_dataset = table.get("data", {}).get(dataset, {})
            facts = {**table.get("common", {}), **of_dataset, **stated}
            if "method" not in facts or set(facts) - set(FACTS):
                raise UsageError(f"{where}: a row needs a method and may have {', '.join(FACTS)}")
            texts: dict[str, Any] = {
                k: v if k == "clip_ratio" else str(v) for k, v in facts.items()
            }
            yield Published(table["source"], table["protocol"], dataset, figures=figures, **texts)


def _figures(columns: Sequence[str], values: Any, where: str) -> dict[str, float]:
    if not isinstance(values, list) or not 0 < len(values) <= len(columns):
        raise UsageError(f"{where}: expected a list of up to {len(columns)} numbers")
    numbers = {name: value for name, value in zip(columns, values) if value is not None}
    if not all(isinstance(value, int | float) and 0 <= value <= 100 for value in numbers.values()):
        raise UsageError(f"{where}: expected percentages, found {values}")
    return {name: float(value) for name, value in numbers.items()}
