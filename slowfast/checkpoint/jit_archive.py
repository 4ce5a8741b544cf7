"""Weights out of a TorchScript archive, such as OpenAI's CLIP files, without running its code.

``torch.jit.load`` would compile the archive's program. The weights need none of it: they are the
tensors of the pickled attribute tree ``data.pkl``, whose bytes lie in the archive as ``data/N``.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from slowfast.checkpoint.safe_pickle import RefusedGlobal

STORAGE_TYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class ScriptObject:
    """Stands for an instance of a class of the archive's program: its attributes alone."""

    attributes: dict[str, Any]

    def __setstate__(self, state: Any) -> None:
        self.attributes = state if isinstance(state, dict) else {}


def _rebuild_tensor(storage: Tensor, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    # as_strided refuses what reaches beyond the storage
    return torch.as_strided(storage, tuple(size), tuple(stride), offset).clone()


def _keep(value: Any, *_: Any) -> Any:
    return value


class _ArchiveUnpickler(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(archive.open(f"{root}data.pkl"))
        self.archive = archive
        self.root = root
        self.storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "__torch__":
            return ScriptObject
        if module == "torch" and name in STORAGE_TYPES:
            return STORAGE_TYPES[name]
        if module == "torch.jit._pickle":  # marks of typed lists and dicts
            return _keep
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise RefusedGlobal(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Tensor:
        _, dtype, key, _, count = pid
        if key not in self.storages:
            data = bytearray(self.archive.read(f"{self.root}data/{key}"))
            self.storages[key] = (
                torch.frombuffer(data, dtype=dtype, count=count)
                if count
                else torch.empty(0, dtype=dtype)
            )
        return self.storages[key]


def is_jit_archive(archive: zipfile.ZipFile) -> bool:
    """Return whether a zip file holds a TorchScript program and not just pickled objects."""
    return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_jit_archive(archive: zipfile.ZipFile) -> dict[str, Tensor]:
    """Return the tensors of a TorchScript archive by dotted attribute path.

    These are its parameters and buffers, and tensors kept as plain attributes beside them (CLIP's
    causal masks), which ``state_dict`` would not list.

    Raises:
        RefusedGlobal: the attribute tree names something else than tensors and modules.
        KeyError: a part of the archive is missing.
    """
    program = next(name for name in archive.namelist() if name.endswith("/constants.pkl"))
    root = program.removesuffix("constants.pkl")
    tree = _ArchiveUnpickler(archive, root).load()
    return dict(_tensors(tree, ""))


def _tensors(value: Any, path: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, ScriptObject):
        for name, part in value.attributes.items():
            yield from _tensors(part, f"{path}.{name}" if path else name)
