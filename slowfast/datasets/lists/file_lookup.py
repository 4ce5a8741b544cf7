"""Find listed files without asking the disk for each: a listing per folder, a walk per root."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from slowfast.errors import DataError


def absent(paths: Iterable[str]) -> list[int]:
    """Return the positions of ``paths`` that do not exist; every parent folder is listed once."""
    listings: dict[str, set[str]] = {}
    gone: list[int] = []
    for position, path in enumerate(paths):
        folder, name = os.path.split(path.rstrip("/"))
        if folder not in listings:
            listings[folder] = _names(folder or ".")
        if name not in listings[folder]:
            gone.append(position)
    return gone


def _names(folder: str) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()


def find_by_name(paths: Sequence[str], positions: Sequence[int], root: str) -> dict[int, str]:
    """Look for the files at ``positions`` by their base names anywhere under ``root``.

    Of several files of that name, the one whose path ends with the listed path is taken. A file
    that stands for an entry of its own (``paths`` at other positions) stands for no other: names
    such as ``0001`` occur in every class folder.

    Returns:
        by position the path that has the same base name, where there is one.

    Raises:
        DataError: several files fit a listed name.
    """
    gone = {i: os.path.basename(paths[i].rstrip("/")) for i in positions}
    wanted = set(gone.values())
    own = {
        os.path.realpath(path)
        for i, path in enumerate(paths)
        if i not in gone and os.path.basename(path.rstrip("/")) in wanted
    }
    places: dict[str, list[str]] = {}
    for folder, folders, files in walk(root):
        for name in wanted.intersection((*files, *folders)):
            places.setdefault(name, []).append(os.path.join(folder, name))
    found: dict[int, str] = {}
    for i, name in gone.items():
        fits = [place for place in places.get(name, []) if os.path.realpath(place) not in own]
        if len(fits) > 1:
            fits = _longest_match(paths[i], fits)
        if len(fits) > 1:
            raise DataError(
                f"{paths[i]} does not exist, and {len(fits)} files of that name do: "
                f"{fits[0]}, {fits[1]}{', ...' if len(fits) > 2 else ''}; "
                "list it with its folder, or set DATA.PATH_PREFIX"
            )
        if fits:
            found[i] = fits[0]
    return found


def _longest_match(path: str, fits: list[str]) -> list[str]:
    """Keep those of ``fits`` that share the most trailing folders with ``path``."""
    parts = path.split("/")[::-1]

    def shared(other: str) -> int:
        pairs = zip(parts, other.split("/")[::-1])
        return next((i for i, (a, b) in enumerate(pairs) if a != b), len(parts))

    best = max(shared(fit) for fit in fits)
    return [fit for fit in fits if shared(fit) == best]


def walk(root: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield as os.walk does, folders sorted; links to folders are followed, but each one once.

    What macOS and Jupyter leave beside videos (``is_clutter``) is left out.
    """
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not is_clutter(name))
        yield folder, folders, [name for name in files if not is_clutter(name)]


def is_clutter(name: str) -> bool:
    """Whether a file or folder is hidden (``._a.mp4``, ``.ipynb_checkpoints``) or ``__MACOSX``."""
    return name.startswith(".") or name == "__MACOSX"
