"""Import people's files, so that the classes and options they register are found."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from slowfast.errors import UsageError

ENTRY_POINTS = "slowfast.extensions"


def locate(name: str, folder: Path | None = None) -> str:
    """Return an extension's absolute path if it is a file, else its module name.

    Args:
        name: a module (``my.package``) or a file (``my_model.py``).
        folder: where to look for a file before the working directory.
    """
    if not name.endswith(".py"):
        return name
    path = Path(name).expanduser()
    candidates = [folder / path, path] if folder else [path]
    return str(next((p for p in candidates if p.exists()), path).resolve())


def import_extensions(names: Iterable[str]) -> None:
    """Import modules and files; what was imported before is not imported again.

    A process that was spawned must call this again with ``cfg.EXTENSIONS``.

    Raises:
        UsageError: there is no such module or file. What fails inside it is raised as it is.
    """
    for name in names:
        if name.endswith(".py"):
            _import_file(Path(name))
        elif name not in sys.modules:
            _import_module(name)


def _import_module(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(f"EXTENSIONS: no module named {name}; is it installed?") from error
        raise


def _import_file(path: Path) -> None:
    path = path.resolve()
    if not path.is_file():
        raise UsageError(f"EXTENSIONS: no file {path}; expected a .py file or a module name")
    name = f"slowfast_extension_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def installed_extensions() -> Sequence[str]:
    """Return the modules that installed packages announce under ``slowfast.extensions``."""
    return [point.module for point in importlib.metadata.entry_points(group=ENTRY_POINTS)]
