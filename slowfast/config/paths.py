"""Where a file named in a config is."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def resolve_path(path: str | Path) -> Path:
    """Return where ``path`` is: as given, else under the folder that holds the package.

    Recipes name files of ``label_db/`` and ``configs/`` so, and work from any working directory. A
    path that exists in neither place is returned as given, for the reader to refuse.
    """
    given = Path(path).expanduser()
    if given.is_absolute() or given.exists():
        return given
    beside = REPOSITORY / given
    return beside if beside.exists() else given
