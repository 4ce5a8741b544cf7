"""From a data set's official annotation files and its videos to the lists that runs read.

`ost prepare` is the command line; `docs/data.md` says what it expects and writes.
"""

from slowfast.datasets.preparation.pipeline import Request, prepare

__all__ = ["Request", "prepare"]
