"""Fixtures and skip rules that every test shares."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from slowfast.utils.logging import reset_logging

ROOT = Path(__file__).resolve().parent.parent
PARITY = Path(os.environ.get("OST_PARITY", ROOT.parent / "shared" / "parity"))
torch.set_num_threads(1)
# They register classes when they are imported.
collect_ignore = ["extension_example.py", "assets/pyslowfast_model.py"]


@pytest.fixture(autouse=True)
def _guard_generators() -> None:
    """Give each test the same generators and leave none of its draws to the next."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _leave_no_log_handlers() -> Iterator[None]:
    """Close the log that a test's run opened, so that the next test's output is its own."""
    yield
    reset_logging()


@pytest.fixture(scope="session")
def parity() -> Callable[[str], Path]:
    """Return a function from a recorded file's name to its path; it skips where absent."""

    def find(name: str) -> Path:
        path = PARITY / name
        if not path.exists():
            reason = (
                f"recorded outputs of the published systems are not here: {path} (set OST_PARITY)"
            )
            if os.environ.get("OST_REQUIRE_PARITY"):
                pytest.fail(reason)
            pytest.skip(reason)
        return path

    return find


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, in one place."""
    for item in items:
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def demo_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw one video of each class for each list of the demo's data, once for all tests."""
    from slowfast.datasets.demo_actions import Sizes, demo_actions

    return demo_actions(tmp_path_factory.mktemp("demo_actions") / "data", sizes=Sizes(1, 1, 1))
