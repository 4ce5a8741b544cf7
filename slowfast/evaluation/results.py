"""The files that a run leaves behind; each is written beside its place and then renamed.

``results.json`` says under which protocol how many of the listed videos were scored and how well,
``predictions.jsonl`` holds one line per video, ``env.json`` and the config files say what ran.
"""

from __future__ import annotations

import io
import json
import math
import os
import pickle
import platform
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slowfast import __version__
from slowfast.errors import SlowFastError, UsageError
from slowfast.evaluation.metrics import (
    clamp_k,
    class_accuracy,
    mean_average_precision,
    topk_accuracies,
)
from slowfast.evaluation.multiview import VideoScores

PACKAGES = ("torch", "torchvision", "open_clip_torch", "av", "numpy", "opencv-python-headless")


def atomic_write(path: str | Path, content: str | bytes) -> Path:
    """Write ``content`` so that a reader sees the old file or the whole new one, and return path.

    Raises SlowFastError with one line (disk full, no permission); nothing is left behind then.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise SlowFastError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def to_plain(value: Any) -> Any:
    """Return ``value`` in JSON's types: tensors and tuples as lists, NaN and infinity as None."""
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        return to_plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def write_json(path: str | Path, data: Mapping[str, Any]) -> Path:
    """Write ``data`` as indented JSON; see ``to_plain`` for what becomes of tensors and NaN."""
    text = json.dumps(to_plain(data), indent=2, ensure_ascii=False, allow_nan=False)
    return atomic_write(path, text + "\n")


def summarize(
    videos: VideoScores, class_names: Sequence[str] = (), ks: Sequence[int] = (1, 5)
) -> dict[str, Any]:
    """Return the accuracies (percent) and counts of a test, ready for ``results.json``.

    Args:
        videos: what the ensemble gathered.
        class_names: names by id; ids are used when empty.
        ks: top-k accuracies to report as ``top<k>``; k above the number of classes counts as that.

    Keys: ``top<k>``, ``mean_class`` and ``per_class`` (None for a class without videos), or ``map``
    for multi-hot labels; ``num_videos_listed``, ``num_videos_scored``, ``failed``, ``incomplete``.
    """
    scores, labels = videos.of_scored()
    num_classes = scores.shape[1]
    names = names_for(class_names, num_classes)
    out: dict[str, Any] = {
        "num_videos_listed": len(videos.counts),
        "num_videos_scored": len(labels),
        "num_views": videos.num_views,
        "failed": [video._asdict() for video in videos.failed],
        "incomplete": videos.incomplete,
        "num_classes": num_classes,
    }
    if labels.ndim == 2:
        return {**out, "map": mean_average_precision(scores, labels)}
    if not len(labels):
        return {**out, **{f"top{k}": math.nan for k in ks}, "mean_class": math.nan, "per_class": {}}
    for k, value in zip(ks, topk_accuracies(scores, labels, ks)):
        out[f"top{k}"] = float(value)
    per_class = class_accuracy(scores, labels, num_classes)
    return {
        **out,
        "mean_class": float(per_class.nanmean()),
        "per_class": dict(zip(names, per_class.tolist())),
    }


def names_for(class_names: Sequence[str], num_classes: int) -> Sequence[str]:
    """Return the names of a table's classes, numbers if there are none; UsageError for others."""
    if not class_names:
        return [str(k) for k in range(num_classes)]
    if num_classes and len(class_names) != num_classes:  # 0: no video could be read
        raise UsageError(
            f"{len(class_names)} class names for scores of {num_classes} classes: "
            "the model and TEXT.CLASSES must name the same classes"
        )
    return class_names


def write_predictions(
    path: str | Path,
    videos: VideoScores,
    paths: Sequence[str] = (),
    class_names: Sequence[str] = (),
    top_k: int = 5,
) -> Path:
    """Write one JSON line per listed video: id, path, label, the best classes with their scores.

    A video that failed has ``"failed": reason`` and no classes. ``label_name`` is left out for
    multi-hot labels.
    """
    names = names_for(class_names, videos.scores.shape[1])
    values, classes = videos.scores.topk(clamp_k(top_k, videos.scores.shape[1]), dim=1)
    failed = {video.video: video for video in videos.failed}
    known = set(videos.scored.tolist())
    lines = []
    for video in range(len(videos.counts)):
        row: dict[str, Any] = {"id": video, "path": paths[video] if len(paths) else ""}
        row |= _label(videos.labels[video], names)
        if video in failed:
            lost = failed[video]
            row |= {"path": lost.path, "label": lost.label, "failed": lost.reason}
        elif video not in known:
            row |= {"failed": "no view was delivered"}
        else:
            row |= {
                "top": [names[k] for k in classes[video].tolist()],
                "scores": [round(value, 7) for value in values[video].tolist()],
            }
        lines.append(json.dumps(to_plain(row), ensure_ascii=False))
    return atomic_write(path, "\n".join(lines) + "\n")


def _label(label: torch.Tensor, names: Sequence[str]) -> dict[str, Any]:
    if label.ndim:
        return {"label": label.nonzero().flatten().tolist()}
    known = 0 <= int(label) < len(names)
    return {"label": int(label), "label_name": names[int(label)] if known else None}


def write_scores(path: str | Path, videos: VideoScores) -> Path:
    """Write scores V x K and labels in the form that the ending of ``path`` names.

    ``.npz``: arrays scores, labels, counts, scored (ids); ``.pt`` / ``.pth``: the same as tensors;
    any other ending: PySlowFast's pickle of ``[scores, labels]``, two CPU tensors.
    """
    path = Path(path)
    table = {
        "scores": videos.scores,
        "labels": videos.labels,
        "counts": videos.counts,
        "scored": videos.scored,
    }
    buffer = io.BytesIO()
    if path.suffix == ".npz":
        arrays: dict[str, Any] = {name: value.numpy() for name, value in table.items()}
        np.savez_compressed(buffer, **arrays)
    elif path.suffix in (".pt", ".pth"):
        torch.save(table, buffer)
    else:
        pickle.dump([videos.scores, videos.labels], buffer)
    return atomic_write(path, buffer.getvalue())


def read_scores(path: str | Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scores and labels of a file by ``write_scores`` (never runs code from the file).

    Raises UsageError for a file of another kind, PySlowFast's pickle included: that form can hold
    any code and is written for other people's tools only.
    """
    path = Path(path)
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as table:
                return torch.from_numpy(table["scores"]), torch.from_numpy(table["labels"])
        table = torch.load(path, map_location="cpu", weights_only=True)
        return table["scores"], table["labels"]
    except (
        OSError,
        KeyError,
        ValueError,
        TypeError,
        RuntimeError,
        pickle.UnpicklingError,
    ) as error:
        raise UsageError(
            f"{path}: expected a score file (.npz or .pt with scores and labels), "
            f"found none ({str(error).splitlines()[0][:120]})"
        ) from error


def environment_facts() -> dict[str, Any]:
    """Return versions and machine: what is needed to understand a difference between two runs."""
    versions = {"slowfast": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = ""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "versions": versions,
        "cuda": torch.version.cuda or "",
        "machine": {
            "host": socket.gethostname(),
            "platform": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            "cpus": os.cpu_count(),
            "gpus": gpus,
        },
        "command": sys.argv,
    }
