"""PySlowFast's import path for ``slowfast.checkpoint.compat``."""

from slowfast.checkpoint.compat import get_last_checkpoint as get_last_checkpoint
from slowfast.checkpoint.compat import get_path_to_checkpoint as get_path_to_checkpoint
from slowfast.checkpoint.compat import has_checkpoint as has_checkpoint
from slowfast.checkpoint.compat import is_checkpoint_epoch as is_checkpoint_epoch
from slowfast.checkpoint.compat import load_checkpoint as load_checkpoint
from slowfast.checkpoint.compat import load_test_checkpoint as load_test_checkpoint
from slowfast.checkpoint.compat import load_train_checkpoint as load_train_checkpoint
from slowfast.checkpoint.compat import make_checkpoint_dir as make_checkpoint_dir
from slowfast.checkpoint.compat import save_checkpoint as save_checkpoint
