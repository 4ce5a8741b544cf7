"""An unpickler that rebuilds tensors, plain containers and yacs configs, and calls nothing else.

The published savers of OST and ViFi-CLIP put their live config object into the file, which
``torch.load(weights_only=True)`` refuses even when the class is allow-listed. ``torch.load`` takes
a module in place of ``pickle``; ``PICKLE_MODULE`` is one whose unpickler admits a short list of
names and refuses every other one before it is looked up, so that a file cannot run code.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from types import SimpleNamespace
from typing import IO, Any

import numpy as np
import torch

NUMBER_KINDS = "biuf"  # bool, signed, unsigned, float: the only scalars that are rebuilt


class RefusedGlobal(pickle.UnpicklingError):
    """A pickle names something that is not on the list; ``name`` is its dotted path."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class ForeignConfig(dict[str, Any]):
    """Stands for a config node of another code base: its entries, without its methods."""


class _ScalarType:
    """Stands for ``numpy.dtype``: the type code alone."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code = code

    def __setstate__(self, state: Any) -> None:
        """Leave byte order and the rest of the state aside; every known file is little-endian."""


def _scalar(kind: _ScalarType, data: Any = b"") -> bool | int | float:
    """Rebuild a NumPy number as Python's (NumPy's own function can unpickle objects)."""
    dtype = np.dtype(kind.code).newbyteorder("<")
    if dtype.kind not in NUMBER_KINDS or not isinstance(data, bytes) or len(data) != dtype.itemsize:
        raise RefusedGlobal(f"numpy scalar of type {kind.code!r}")
    return np.frombuffer(data, dtype=dtype)[0].item()


def _encode(text: str, encoding: str) -> bytes:
    """Rebuild bytes as pickle's protocol 2 writes them."""
    if encoding not in ("latin1", "latin-1"):
        raise RefusedGlobal(f"_codecs.encode with {encoding!r}")
    return text.encode("latin-1")


ADMITTED: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "builtins.set": set,
    "__builtin__.set": set,
    "torch._utils._rebuild_tensor_v2": torch._utils._rebuild_tensor_v2,  # type: ignore[attr-defined]
    "torch._utils._rebuild_parameter": torch._utils._rebuild_parameter,  # type: ignore[attr-defined]
    "numpy.dtype": _ScalarType,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "_codecs.encode": _encode,
    "yacs.config.CfgNode": ForeignConfig,
    "fvcore.common.config.CfgNode": ForeignConfig,
}


class RestrictedUnpickler(pickle.Unpickler):
    """``pickle.Unpickler`` that finds the names of ``ADMITTED`` and torch's storages only."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for ``module.name``; raises RefusedGlobal."""
        full = f"{module}.{name}"
        if full in ADMITTED:
            return ADMITTED[full]
        if module in ("torch", "torch.storage") and name.endswith("Storage"):
            found = getattr(torch, name, None) or getattr(torch.storage, name, None)
            if isinstance(found, type):
                return found
        raise RefusedGlobal(full)


def _load(file: IO[bytes], **options: Any) -> Any:
    return RestrictedUnpickler(file, **options).load()


PICKLE_MODULE = SimpleNamespace(
    __name__="slowfast.checkpoint.safe_pickle", Unpickler=RestrictedUnpickler, load=_load
)
