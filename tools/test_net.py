"""The multi-view test as a function, at the place where PySlowFast's scripts look for it."""

import sys

from slowfast.config.cli import console_main
from slowfast.engine.test import test

__all__ = ["test"]

if __name__ == "__main__":
    sys.argv += [] if "--opts" in sys.argv else ["--opts"]
    sys.argv += ["TRAIN.ENABLE", "False"]
    console_main()
