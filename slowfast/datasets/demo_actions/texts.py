"""Writes the class list, the split and the descriptors of the demo data set (``label_db``)."""

from __future__ import annotations

import json
from pathlib import Path

from slowfast.datasets.demo_actions.vocabulary import (
    compositions,
    spatial_descriptors,
    temporal_descriptors,
)


def texts() -> dict[str, str]:
    """Return the content of each text file by its name.

    >>> sorted(texts())[:2]
    ['classes.csv', 'descriptors/spatial_4.json']
    """
    classes = compositions()
    rows = "".join(f"{number},{c.name}\n" for number, c in enumerate(classes))
    spatial = {c.name: spatial_descriptors(c) for c in classes}
    temporal = {c.name: temporal_descriptors(c) for c in classes}
    return {
        "classes.csv": "id,name\n" + rows,
        "seen.txt": "".join(f"{c.name}\n" for c in classes if not c.is_unseen),
        "unseen.txt": "".join(f"{c.name}\n" for c in classes if c.is_unseen),
        "descriptors/spatial_4.json": json.dumps(spatial, indent=1) + "\n",
        "descriptors/temporal_4.json": json.dumps(temporal, indent=1) + "\n",
    }


def write_texts(folder: str | Path) -> None:
    """Write all text files below ``folder``."""
    for name, content in texts().items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
