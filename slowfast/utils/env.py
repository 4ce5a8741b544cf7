"""One place for paths that may be remote, and PySlowFast's set-up function."""

from __future__ import annotations

from iopath.common.file_io import HTTPURLHandler, PathManagerFactory

from slowfast.utils.logging import setup_logging

pathmgr = PathManagerFactory.get(key="slowfast")
pathmgr.register_handler(HTTPURLHandler(), allow_override=True)
checkpoint_pathmgr = PathManagerFactory.get(key="slowfast_checkpoint")
checkpoint_pathmgr.register_handler(HTTPURLHandler(), allow_override=True)


def setup_environment() -> None:
    """Give the project's logger a console, as scripts that call it first expect."""
    setup_logging()
