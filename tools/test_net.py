"""``ost test``, and the multi-view test as a function where PySlowFast's scripts look for it."""

from ost.cli import run_tool
from slowfast.engine.test import test

__all__ = ["test"]

if __name__ == "__main__":
    run_tool("test")
