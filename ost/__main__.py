"""``python -m ost``: the command ``ost`` where its script is not on the path."""

import sys

from ost.cli import main

if __name__ == "__main__":
    sys.exit(main())
