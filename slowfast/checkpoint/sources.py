"""Weights with a record of the file they came from, for tools that make files of files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

import slowfast
from slowfast.checkpoint.adapters import Adapted, adapt
from slowfast.checkpoint.checkpointer import write_atomically
from slowfast.checkpoint.reader import read_checkpoint
from slowfast.errors import UsageError


@dataclass(frozen=True)
class Source:
    """One file that went into a result: which bytes, read as what, and its share."""

    path: str
    sha256: str
    kind: str
    weight: float
    epoch: int | None = None


def read_adapted(path: str | Path, kind: str = "auto") -> Adapted:
    """Read a file of any known system into our key space; raises UsageError."""
    return adapt(read_checkpoint(path).state, kind)


def sha256(path: str | Path) -> str:
    """Return the hash of a file's bytes."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def digest_of_file(path: str | Path) -> str:
    """Return 12 hex digits of the hash of a file's bytes; empty where there is no such file."""
    return sha256(path)[:12] if Path(path).is_file() else ""


def check_target(target: Path, sources: Sequence[str | Path], *, force: bool) -> None:
    """Refuse to overwrite; before anything is read.

    Raises:
        UsageError: the target exists and ``force`` is off, or it is one of the sources.
    """
    if any(target.resolve() == Path(source).resolve() for source in sources):
        raise UsageError(f"{target}: is one of the sources; write the result elsewhere")
    if target.is_dir():
        raise UsageError(f"{target}: a folder, expected the name of a file to write")
    if target.exists() and not force:
        raise UsageError(f"{target}: exists; choose another name, or overwrite it with --force")


def write_result(
    target: Path, state: Mapping[str, Tensor], method: Mapping[str, Any], sources: Sequence[Source]
) -> None:
    """Write ``{"model_state": ..., "made_from": ...}``, which TEST.CHECKPOINT_FILE_PATH accepts.

    Raises:
        SlowFastError: the file system refuses; nothing is left behind.
    """
    record = {
        **method,
        "sources": [asdict(source) for source in sources],
        "slowfast": slowfast.__version__,
    }
    write_atomically({"model_state": dict(state), "made_from": record}, target)


def write_bare(target: Path, state: Mapping[str, Tensor]) -> None:
    """Write weights alone: safetensors if the name ends so, else a torch file.

    Raises:
        SlowFastError: the file system refuses; nothing is left behind.
    """
    if target.suffix != ".safetensors":
        write_atomically(dict(state), target)
        return
    tensors = {key: tensor.contiguous() for key, tensor in state.items()}
    write_atomically(tensors, target, lambda content, file: file.write(save(content)))
