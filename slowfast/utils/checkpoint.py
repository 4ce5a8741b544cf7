"""PySlowFast's import path for ``slowfast.checkpoint.compat``."""

from slowfast.checkpoint.compat import (
    get_last_checkpoint,
    get_path_to_checkpoint,
    has_checkpoint,
    load_checkpoint,
    load_test_checkpoint,
    make_checkpoint_dir,
    save_checkpoint,
)

__all__ = [
    "get_last_checkpoint",
    "get_path_to_checkpoint",
    "has_checkpoint",
    "load_checkpoint",
    "load_test_checkpoint",
    "make_checkpoint_dir",
    "save_checkpoint",
]
