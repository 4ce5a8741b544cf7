"""Where a file named in a config is, and what it is called."""

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


def weights_name(path: str | Path) -> str:
    """Return what stands for weights in names of folders and in tables.

    Checkpoints of all runs are named alike: theirs is the name of the run's folder and the epoch.

    >>> weights_name("k400-vitb-16-f8.pt")
    'k400-vitb-16-f8'
    >>> weights_name("runs/ost/few_shot/ssv2/checkpoints/checkpoint_epoch_00010.pyth")
    'ssv2_epoch_00010'
    """
    file = Path(path)
    if file.parent.name != "checkpoints" or not file.parent.parent.name:
        return file.stem
    return f"{file.parent.parent.name}_{file.stem.removeprefix('checkpoint_')}"
