"""Data sets that are made on the spot: the registry of their generators."""

from __future__ import annotations

from slowfast.utils.registry import Registry

GENERATOR_REGISTRY = Registry(
    "GENERATOR",
    contract="obj(folder, *, seed, workers, report) -> folder; writes videos and list files there, "
    "continues what was interrupted and leaves alone what is complete",
)
