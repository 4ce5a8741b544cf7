"""What a study finds of an earlier call: its results with the settings that made them, and logs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slowfast.errors import UsageError

Settings = Mapping[str, Any] | Sequence[str]


def read_record(path: Path, settings: Settings) -> dict[str, Any] | None:
    """Return the content of a file that was written with its ``settings``; None without the file.

    Raises:
        UsageError: it was made with other settings; says which differ.
    """
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if found["settings"] != settings:
        old, new = (_told(each) for each in (found["settings"], settings))
        before = " ".join(word for word in old if word not in new) or "fewer settings"
        now = " ".join(word for word in new if word not in old) or "fewer settings"
        raise UsageError(
            f"{path} was made with other settings ({before}; now: {now}); choose another "
            "--output, or --fresh to replace it"
        )
    return found


def _told(settings: Settings) -> list[str]:
    if isinstance(settings, Mapping):
        return [f"{name} {value}" for name, value in settings.items()]
    return list(settings)


def epoch_lines(stats: Path) -> list[dict[str, Any]]:
    """Return the fields of the training epochs in a run's ``json_stats.log``."""
    lines = [json.loads(line.partition(": ")[2]) for line in stats.read_text().splitlines()]
    return [line for line in lines if line["_type"] == "train_epoch"]
