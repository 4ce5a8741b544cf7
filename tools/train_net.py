"""Training as a function, at the place where PySlowFast's scripts look for it."""

import sys

from slowfast.config.cli import console_main
from slowfast.engine.train import train

__all__ = ["train"]

if __name__ == "__main__":
    sys.argv += [] if "--opts" in sys.argv else ["--opts"]
    sys.argv += ["TEST.ENABLE", "False"]
    console_main()
