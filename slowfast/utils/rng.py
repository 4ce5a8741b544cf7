"""Seeding, and the state of every random generator as one object."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int, *, rank: int = 0) -> None:
    """Seed Python's, NumPy's and torch's generators with ``seed + rank``."""
    value = seed + rank
    random.seed(value)
    np.random.seed(value % 2**32)  # noqa: NPY002 - people's extension files draw from the global generator
    torch.manual_seed(value)


def generator(*key: int) -> np.random.Generator:
    """Return a generator that is a function of ``key`` alone, such as (seed, epoch, index).

    >>> int(generator(1, 2, 3).integers(1000)) == int(generator(1, 2, 3).integers(1000))
    True
    """
    return np.random.default_rng([int(k) % 2**32 for k in key])


class RngState:
    """All generators of this process as something that a checkpoint can hold."""

    def state_dict(self) -> dict[str, Any]:
        """Return the states in types that ``torch.load(weights_only=True)`` accepts."""
        numpy_state: Any = np.random.get_state()  # noqa: NPY002
        name, keys, pos, has_gauss, cached = numpy_state
        version, internal, gauss = random.getstate()
        return {
            "python": [version, list(internal), gauss],
            "numpy": [
                name,
                torch.from_numpy(keys.astype(np.int64)),
                int(pos),
                int(has_gauss),
                float(cached),
            ],
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put every generator back to where it was."""
        version, internal, gauss = state["python"]
        random.setstate((version, tuple(internal), gauss))
        name, keys, pos, has_gauss, cached = state["numpy"]
        np.random.set_state((name, keys.numpy().astype(np.uint32), pos, has_gauss, cached))  # noqa: NPY002
        torch.set_rng_state(state["torch"])
        if state["cuda"] and torch.cuda.device_count() == len(state["cuda"]):
            torch.cuda.set_rng_state_all(state["cuda"])
