"""Where a file named in a config is, and what it is called.

The recipes in ``configs/`` and the class lists in ``label_db/`` come with the package, and can be
named from any working directory. A file of the user's at the same path wins.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from slowfast.errors import UsageError

PACKAGE = Path(__file__).resolve().parents[1]
# A wheel has both folders inside the package; in a checkout they are beside it.
SHIPPED = PACKAGE if (PACKAGE / "configs").is_dir() else PACKAGE.parent


def resolve_path(path: str | Path) -> Path:
    """Return where ``path`` is: as given, else among the files that come with the package.

    A path that exists in neither place is returned as given, for the reader to refuse.
    """
    given = Path(path).expanduser()
    shipped = SHIPPED / given
    return shipped if shipped.exists() and not given.exists() else given


def find_file(path: str | Path, what: str) -> Path:
    """Return where the file ``path`` is, as ``resolve_path`` does.

    Args:
        path: as the user named it.
        what: what it should be, with its option.

    Raises:
        UsageError: there is none; says where it was looked for, and what has a similar name.
    """
    found, given = resolve_path(path), Path(path).expanduser()
    if not found.is_file():
        places = dict.fromkeys(map(str, (given.parent.resolve(), (SHIPPED / given).parent)))
        names = [*_files(given.parent, "*"), *_files(SHIPPED, "label_db/**/*", inside=SHIPPED)]
        near = _nearest(given.as_posix(), names)
        raise UsageError(f"{path}: no such {what} in {' or '.join(places)}{near}")
    return found


def find_config(name: str | Path, folder: Path | None = None) -> Path:
    """Return the config that ``--cfg`` or ``_BASE_`` means.

    Args:
        name: a file; of those that come with the package, ``configs/`` and ``.yaml`` may be left
            out: ``OST/zero_shot/ucf101``.
        folder: where relative names are looked for first (default: the working directory).

    Raises:
        UsageError: there is none; says where it was looked for, and what has a similar name.
    """
    given, shipped = (folder or Path()) / Path(name).expanduser(), SHIPPED / "configs"
    for place in (given, SHIPPED / name, shipped / name):
        for path in (place, Path(f"{place}.yaml")):
            if path.exists() and not path.is_dir():
                return path
    wanted = given.as_posix().removeprefix("configs/").removesuffix(".yaml")
    names = [*_files(given.parent, "*.yaml"), *_files(shipped, "[!_]*/**/*.yaml", inside=shipped)]
    near = _nearest(wanted, [found.removesuffix(".yaml") for found in names])
    raise UsageError(f"no config {name} in {given.parent.resolve()} or {shipped}{near}")


def _files(folder: Path, pattern: str, inside: Path | None = None) -> list[str]:
    """Return the names of files below ``folder``, as they are or relative to ``inside``."""
    found = (path for path in sorted(folder.glob(pattern)) if path.is_file())
    return [(path.relative_to(inside) if inside else path).as_posix() for path in found]


def _nearest(wanted: str, names: Sequence[str]) -> str:
    """Return "; nearest: ..." for what ends in, or is spelled like, ``wanted``; or no text.

    >>> _nearest("ucf10", ["OST/zero_shot/ucf101", "ucf101", "ssv2"])
    '; nearest: ucf101'
    >>> _nearest("UCF101", ["OST/zero_shot/ucf101"])
    '; nearest: OST/zero_shot/ucf101'
    """
    known = {name.lower(): name for name in names}
    ends = [key for key in known if key.endswith(f"/{wanted.lower()}")]
    close = difflib.get_close_matches(wanted.lower(), known, n=3)
    near = [known[key] for key in dict.fromkeys([*ends, *close])]
    return f"; nearest: {', '.join(near[:3])}" if near else ""


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
