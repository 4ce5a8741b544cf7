"""What the preparation of a data set found, as JSON and as text."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

SHOWN = 10


@dataclass
class ListFacts:
    """One list: videos ``listed`` in the annotation, ``written``, the official number (0 = none is
    known), distinct classes, number of classes counted, and SHA-256 of the written file."""

    listed: int
    written: int
    official: int
    classes: int
    num_classes: int
    sha256: str = ""


@dataclass
class Report:
    """Everything that a reader of a result wants to know about its data."""

    dataset: str
    labels: str
    classes: str
    videos: str
    annotations: dict[str, str] = field(default_factory=dict)
    lists: dict[str, ListFacts] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)
    unlisted: int = 0
    missing: list[str] = field(default_factory=list)
    ambiguous: dict[str, list[str]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    duplicates: list[str] = field(default_factory=list)
    overlaps: dict[str, int] = field(default_factory=dict)
    proof: dict[str, Any] = field(default_factory=dict)
    check: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every listed video is there and good."""
        return not (self.missing or self.ambiguous or self.broken)

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {**asdict(self), "complete": self.complete}

    def as_text(self) -> str:
        """Return the report for people; long parts are cut, the JSON has all of them."""
        lines = [
            f"{self.dataset}: labels {self.labels} ({self.classes})",
            f"videos below {self.videos}: "
            + (", ".join(f"{count} {how}" for how, count in self.found.items()) or "none found")
            + f"; {self.unlisted} in no list",
            f"checked ({self.check['mode']}): {self.check['checked']} now, "
            f"{self.check['remembered']} remembered",
            f"entries whose label is proven by names: {self.proof['proven']}; whose names say "
            f"nothing: {self.proof['silent']}",
            "",
            f"{'list':34} {'listed':>8} {'written':>8} {'official':>8}  classes",
        ]
        for name, facts in self.lists.items():
            official = str(facts.official or "-")
            lines.append(f"{name + '.csv':34} {facts.listed:8} {facts.written:8} {official:>8}  "
                         f"{facts.classes} of {facts.num_classes}")  # fmt: skip
        lines += self._details()
        return "\n".join(lines) + "\n"

    def _details(self) -> list[str]:
        parts = {
            "missing": self.missing,
            "broken": [f"{path}: {reason}" for path, reason in self.broken.items()],
            "several files fit": [f"{n}: {', '.join(p)}" for n, p in self.ambiguous.items()],
            "listed twice": self.duplicates,
            "titles that speak for another class": self.proof["odd"],
            "videos in training and test": [f"{k}: {v}" for k, v in self.overlaps.items()],
            "notes": self.notes,
        }
        lines: list[str] = []
        for title, items in parts.items():
            if items:
                lines += ["", f"{title}: {len(items)}"]
                lines += [f"  {item}" for item in items[:SHOWN]]
                lines += [f"  and {len(items) - SHOWN} more"] if len(items) > SHOWN else []
        return lines
