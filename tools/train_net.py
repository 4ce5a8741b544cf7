"""``ost train``, and training as a function at the place where PySlowFast's scripts look for it."""

from ost.cli import run_tool
from slowfast.engine.train import train

__all__ = ["train"]

if __name__ == "__main__":
    run_tool("train")
