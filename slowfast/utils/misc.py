"""Small facts about a model, the machine and a run, under PySlowFast's names."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from slowfast.errors import UsageError
from slowfast.utils.logging import get_logger

GIB = 1024**3
logger = get_logger(__name__)


def check_nan_losses(loss: Tensor | float, detail: str = "") -> None:
    """Raise RuntimeError, with ``detail``, when ``loss`` is NaN. Waits for the device."""
    if math.isnan(float(loss)):
        raise RuntimeError(f"the loss is NaN{': ' + detail if detail else ''}")


def params_count(model: nn.Module, ignore_bn: bool = False) -> int:
    """Return the number of parameters; with ``ignore_bn`` those of batch norms do not count."""
    if not ignore_bn:
        return sum(p.numel() for p in model.parameters())
    return sum(
        p.numel()
        for module in model.modules()
        if not isinstance(module, nn.modules.batchnorm._NormBase)
        for p in module.parameters(recurse=False)
    )


def gpu_mem_usage() -> float:
    """Return the peak of allocated device memory in GiB (0 without CUDA)."""
    return torch.cuda.max_memory_allocated() / GIB if torch.cuda.is_available() else 0.0


def cpu_mem_usage() -> tuple[float, float]:
    """Return used and total memory of the machine in GiB."""
    memory = psutil.virtual_memory()
    return (memory.total - memory.available) / GIB, memory.total / GIB


def is_eval_epoch(cfg: Any, cur_epoch: int, multigrid_schedule: None = None) -> bool:
    """Return whether an evaluation follows epoch ``cur_epoch`` (from 0); it does after the last.

    ``multigrid_schedule`` is PySlowFast's third argument; only None is known here.
    """
    assert multigrid_schedule is None, "multigrid schedules are not part of this project"
    return is_due(cur_epoch, cfg.TRAIN.EVAL_PERIOD, cfg.SOLVER.MAX_EPOCH)


def is_due(cur_epoch: int, period: int, max_epoch: int) -> bool:
    """Return whether something that happens every ``period`` epochs follows ``cur_epoch``.

    It follows the last epoch in any case; a period of 0 means only then.

    >>> [is_due(epoch, 2, 5) for epoch in range(5)]
    [False, True, False, True, True]
    """
    done = cur_epoch + 1
    return done == max_epoch or (period > 0 and done % period == 0)


def _read_json(path: str | Path) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}: not JSON (line {error.lineno}: {error.msg})") from error


def load_class_names(path: str | Path) -> list[str]:
    """Return the class names by id from JSON: {name: id} (PySlowFast) or {"id": name} (its forks).

    Raises UsageError when the file is neither, or its ids are not 0 .. n - 1.
    """
    table = _read_json(path)
    if not isinstance(table, dict) or not table:
        raise UsageError(
            f'{path}: expected {{"name": id}} or {{"id": "name"}}, found no such table'
        )
    pairs = [(number, name) for name, number in table.items()]
    if not all(isinstance(number, int) for number, _ in pairs):
        pairs = list(table.items())
    by_id = {str(number): str(name) for number, name in pairs}
    ids = [str(number) for number in range(len(table))]
    if set(ids) != set(by_id):
        raise UsageError(f"{path}: expected the ids 0 to {len(table) - 1}, each once")
    return [by_id[number] for number in ids]


def get_class_names(
    path: str | Path,
    parent_path: str | Path | None = None,
    subset_path: str | Path | None = None,
) -> tuple[list[str], dict[str, list[int]] | None, list[int] | None]:
    """Return names by id, ids by parent category, and ids of a subset, as PySlowFast does.

    Args:
        path: JSON of class names; see ``load_class_names``.
        parent_path: JSON {parent: [class names]}, or nothing.
        subset_path: text, one class name a line, or nothing.

    Raises UsageError for a name that ``path`` does not hold.
    """
    names = load_class_names(path)
    return names, *look_up_classes(names, path, parent_path, subset_path)


def look_up_classes(
    names: Sequence[str],
    path: str | Path,
    parent_path: str | Path | None = None,
    subset_path: str | Path | None = None,
) -> tuple[dict[str, list[int]] | None, list[int] | None]:
    """Return ids by parent category and ids of a subset; arguments as of ``get_class_names``.

    Raises UsageError for a name that is not among ``names``, which are those of ``path``.
    """
    ids = {name: i for i, name in enumerate(names)}

    def look_up(wanted: Sequence[str], source: str | Path) -> list[int]:
        unknown = [name for name in wanted if name not in ids]
        if unknown:
            raise UsageError(f"{source}: {unknown[0]!r} is no class of {path}")
        return [ids[name] for name in wanted]

    parents = None
    if parent_path:
        table = _read_json(parent_path)
        parents = {parent: look_up(children, parent_path) for parent, children in table.items()}
    subset = None
    if subset_path:
        try:
            lines = Path(subset_path).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise UsageError(f"{subset_path}: cannot be read ({error.strerror})") from error
        subset = look_up([line.strip() for line in lines if line.strip()], subset_path)
    return parents, subset


class _Call(nn.Module):
    """A function of tensors as a module, because fvcore counts modules."""

    def __init__(self, owner: nn.Module, call: Callable[..., Any]) -> None:
        super().__init__()
        self.owner = owner
        self.call = call

    def forward(self, *inputs: Tensor) -> Any:
        """Return what the function returns."""
        return self.call(*inputs)


def count_flops(owner: nn.Module, call: Callable[..., Any], inputs: Sequence[Tensor]) -> float:
    """Return the multiply-adds of ``call(*inputs)`` in 1e9; 0.0 where they cannot be counted.

    A model that cannot be traced must not stop a run: whatever goes wrong becomes one notice.

    Args:
        owner: the module whose parameters ``call`` uses; it is traced in eval mode.
        call: a function of tensors, such as ``owner`` itself or one of its towers.
        inputs: its arguments. Operators that fvcore does not know count as 0, quietly.
    """
    training = [module for module in owner.modules() if module.training]
    try:
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(_Call(owner.eval(), call), tuple(inputs))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        analysis.tracer_warnings("none")
        with torch.no_grad():
            return float(analysis.total()) / 1e9
    except Exception as error:  # noqa: BLE001 - a figure for the log is worth no run
        reason = str(error).strip().splitlines() or [type(error).__name__]
        logger.info(f"FLOPs were not counted: {reason[0][:200]}")
        return 0.0
    finally:
        for module in training:
            module.training = True


def log_model_info(model: nn.Module, cfg: Any, use_train_input: bool = True) -> tuple[float, int]:
    """Log what a model is made of and return (multiply-adds in 1e9, parameters), as PySlowFast.

    ``use_train_input`` changes nothing: the clip that is counted has the size that CLIP's tower
    takes, in training as in the test.
    """
    from slowfast.engine.setup import describe_model  # compat: people import it from here

    return describe_model(cfg, model), params_count(model)


def launch_job(cfg: Any, init_method: str | None, func: Callable[..., Any]) -> Any:
    """Run ``func(cfg)`` on every process of the job: PySlowFast's name for ``launch``."""
    from slowfast.launch.launch import launch  # compat: people import it from here

    return launch(cfg, func, init_method)
