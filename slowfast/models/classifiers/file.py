"""One file with the rows of a classifier and what they are."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from slowfast.config.paths import find_file
from slowfast.errors import UsageError
from slowfast.evaluation.results import atomic_write
from slowfast.text import ClassVocabulary
from slowfast.text.labels import shorten

FIELDS = ("rows", "names", "kind", "source")


@dataclass(frozen=True)
class ClassifierFile:
    """Rows float32 K x W, one for each of the K names.

    Args:
        rows: finite and none of them zero; W need not be CLIP's joint dimension.
        names: whose they are.
        kind: "lda" or "text".
        source: how they were made, for people.

    Raises UsageError for rows that cannot be a classifier.
    """

    rows: Tensor
    names: tuple[str, ...]
    kind: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        ClassVocabulary(self.names)
        if self.rows.ndim != 2 or len(self.rows) != len(self.names):
            raise UsageError(f"rows of shape {tuple(self.rows.shape)} for {len(self.names)} names")
        usable_K = self.rows.isfinite().all(dim=1) & (self.rows != 0).any(dim=1)
        if bad := [name for name, usable in zip(self.names, usable_K.tolist()) if not usable]:
            raise UsageError(f"rows that are zero, NaN or infinite: {shorten(bad)}")

    def rows_of(self, vocabulary: ClassVocabulary) -> Tensor:
        """Return the rows of the given classes in their order; raises UsageError for a gap."""
        where = {name: row for row, name in enumerate(self.names)}
        if missing := [name for name in vocabulary.names if name not in where]:
            raise UsageError(f"no rows for {shorten(missing)}")
        return self.rows[[where[name] for name in vocabulary.names]]


def write_classifier(path: str | Path, classifier: ClassifierFile) -> Path:
    """Write an ``.npz`` beside its place and move it there; return the path."""
    content = io.BytesIO()
    np.savez(
        content,
        rows=classifier.rows.float().numpy(),
        names=np.array(classifier.names),
        kind=np.array(classifier.kind),
        source=np.array(classifier.source),
    )
    return atomic_write(path, content.getvalue())


def read_classifier(path: str | Path) -> ClassifierFile:
    """Read what ``write_classifier`` wrote; raises UsageError that names the file."""
    path = find_file(path, "file of classifier rows (CLASSIFIER.FILE; ost classifier makes one)")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            rows, names, kind, source = (arrays[field] for field in FIELDS)
        return ClassifierFile(
            torch.from_numpy(rows).float(), tuple(names.tolist()), str(kind), str(source)
        )
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
    ) as error:
        raise UsageError(
            f"{path}: not a file of ost classifier, an .npz of {', '.join(FIELDS)}"
        ) from error
