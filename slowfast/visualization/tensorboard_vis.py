"""Scalars, confusion matrices, histograms and clips for TensorBoard, under PySlowFast's tags."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from slowfast.config import configurable
from slowfast.errors import UsageError
from slowfast.evaluation.confusion import (
    class_table,
    confusion_matrix,
    matrix_csv,
    normalize_rows,
    worst_pairs,
)
from slowfast.evaluation.results import atomic_write, read_scores
from slowfast.utils.logging import get_logger
from slowfast.utils.misc import load_class_names, look_up_classes
from slowfast.visualization.confusion_plot import plot_confusion_matrix, plot_histogram

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORST = 5
MATRIX_TAG = "Confusion Matrix"
WRONG_TAG = "Incorrectly classified videos."
PARENT_TAG = "Confusion Matrices Grouped by Parent Classes"
logger = get_logger(__name__)


@dataclass(frozen=True)
class PlotOptions:
    """One kind of picture: whether it is drawn, the true classes shown, bars per histogram."""

    enable: bool = False
    subset: Sequence[int] | None = None
    top_k: int = 10


@dataclass(frozen=True)
class ClassNames:
    """Names by id, and the ids of each parent category."""

    names: Sequence[str] = ()
    parents: Mapping[str, Sequence[int]] = field(default_factory=dict)


class TensorboardWriter:
    """Write event files; make one on the first rank only.

    ``TensorboardWriter(cfg)`` reads TENSORBOARD.*; ``class_names`` may be given beside it.

    Args:
        log_dir: folder of the event files.
        classes: names for the figures.
        matrix: options of the confusion matrices.
        histogram: options of the histograms.
        wrong: options of the wrongly classified clips.
    """

    @configurable
    def __init__(
        self,
        log_dir: str | Path,
        *,
        classes: ClassNames | None = None,
        matrix: PlotOptions = PlotOptions(),
        histogram: PlotOptions = PlotOptions(),
        wrong: PlotOptions = PlotOptions(),
    ) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.log_dir = Path(log_dir)
        self.classes = classes or ClassNames()
        self.matrix, self.histogram, self.wrong = matrix, histogram, wrong
        self.num_wrong = 0
        self.writer: Any = SummaryWriter(str(self.log_dir))
        logger.info(f"TensorBoard: tensorboard --logdir {self.log_dir}")

    @classmethod
    def from_cfg(cls, cfg: Any, class_names: Sequence[str] = ()) -> dict[str, Any]:
        """Return the arguments that TENSORBOARD.* asks for.

        Raises UsageError for a subset or categories of unknown classes, or where none has a name.
        """
        board = cfg.TENSORBOARD
        source = board.CLASS_NAMES_PATH or "TEXT.CLASSES"
        names = load_class_names(source) if board.CLASS_NAMES_PATH else list(class_names)
        kinds = ("CONFUSION_MATRIX", "HISTOGRAM", "WRONG_PRED_VIS")
        wanted = {f"{kind}.SUBSET_PATH": board[kind].SUBSET_PATH for kind in kinds}
        for key, path in {**wanted, "CATEGORIES_PATH": board.CATEGORIES_PATH}.items():
            if path and not names:
                raise UsageError(
                    f"TENSORBOARD.{key} {path} lists classes by name, and none has one here: set"
                    " TENSORBOARD.CLASS_NAMES_PATH (or TEXT.CLASSES)"
                )
        parents = None
        plots: dict[str, PlotOptions] = {}
        for kind in kinds:
            own = board[kind]
            parents, subset = look_up_classes(names, source, board.CATEGORIES_PATH, own.SUBSET_PATH)
            plots[kind] = PlotOptions(own.ENABLE, subset, own.get("TOPK", 10))
        return {
            "log_dir": Path(cfg.OUTPUT_DIR, board.LOG_DIR or f"runs-{cfg.TRAIN.DATASET}"),
            "classes": ClassNames(names, parents or {}),
            "matrix": plots["CONFUSION_MATRIX"],
            "histogram": plots["HISTOGRAM"],
            "wrong": plots["WRONG_PRED_VIS"],
        }

    def add_scalars(
        self, data_dict: Mapping[str, float | Tensor], global_step: int | None = None
    ) -> None:
        """Write numbers by tag, such as Train/loss."""
        for tag, value in data_dict.items():
            self.writer.add_scalar(tag, float(value), global_step)

    def add_figure(self, figure: Figure, tag: str, global_step: int | None = None) -> None:
        """Write a matplotlib figure."""
        self.writer.add_figure(tag, figure, global_step=global_step, close=False)

    def plot_eval(self, preds: Tensor, labels: Tensor, global_step: int | None = None) -> None:
        """Draw what TENSORBOARD.CONFUSION_MATRIX and .HISTOGRAM ask for.

        The whole matrix is also written to ``confusion.csv`` and the pairs that are confused most
        are logged, because a figure of hundreds of classes cannot be read.

        Args:
            preds: scores V x K.
            labels: int64 V.
            global_step: position on TensorBoard's axis.
        """
        if not (self.matrix.enable or self.histogram.enable):
            return
        names = self.classes.names or [str(i) for i in range(preds.shape[1])]
        counts = confusion_matrix(preds, labels, len(names))
        if self.matrix.enable:
            self._plot_matrices(counts, names, global_step)
        if self.histogram.enable:
            self._plot_histograms(normalize_rows(counts), names, global_step)

    def _plot_matrices(self, counts: Tensor, names: Sequence[str], global_step: int | None) -> None:
        atomic_write(self.log_dir / "confusion.csv", matrix_csv(counts, names))
        worst = worst_pairs(counts, names, WORST)
        shown = "\n".join(f"{c.videos:>5}  {c.true} -> {c.predicted}" for c in worst)
        logger.info(f"most confused (videos, true -> predicted):\n{shown or 'none'}")
        logger.info(f"worst classes:\n{class_table(counts, names, worst=WORST)}")
        parts: list[tuple[str, Sequence[int]]] = [(MATRIX_TAG, range(len(names)))]
        if self.matrix.subset:
            parts.append((f"{MATRIX_TAG} Subset", self.matrix.subset))
        parts += [(f"{PARENT_TAG}/{name}", ids) for name, ids in self.classes.parents.items()]
        for tag, ids in parts:
            self.add_figure(plot_confusion_matrix(counts, names, tag, ids), tag, global_step)

    def _plot_histograms(
        self, shares: Tensor, names: Sequence[str], global_step: int | None
    ) -> None:
        options = self.histogram
        k = min(options.top_k, len(names))
        for i in range(len(names)) if options.subset is None else options.subset:
            figure = plot_histogram(shares[i], names, k, names[i])
            self.add_figure(figure, f"Top {k} predictions by classes/{names[i]}", global_step)

    def plot_saved(self, path: str | Path, global_step: int | None = None) -> None:
        """Draw from a score file (TENSORBOARD.PREDICTIONS_PATH); raises UsageError."""
        self.plot_eval(*read_scores(path), global_step=global_step)

    def add_wrong_predictions(
        self, inputs: Sequence[Tensor], preds: Tensor, labels: Tensor
    ) -> None:
        """Show the clips of a batch that were classified wrongly (TENSORBOARD.WRONG_PRED_VIS).

        Args:
            inputs: one tensor B x 3 x T x H x W per pathway, in any range: it is stretched to 0..1.
            preds: scores B x K.
            labels: int64 B.
        """
        if not self.wrong.enable:
            return
        names = self.classes.names
        for i, (guess, label) in enumerate(zip(preds.argmax(dim=1).tolist(), labels.tolist())):
            if guess == label or (self.wrong.subset is not None and label not in self.wrong.subset):
                continue
            true, taken = (names[k] if k < len(names) else str(k) for k in (label, guess))
            for pathway, clips in enumerate(inputs):
                tag = f"{WRONG_TAG}/Video {self.num_wrong}, Pathway {pathway}: {true}"
                self.add_video(stretch(clips[i]).unsqueeze(0), f"{tag} (taken for {taken})")
            self.num_wrong += 1

    def add_video(
        self, video: Tensor, tag: str = "Video Input", global_step: int | None = None, fps: int = 4
    ) -> None:
        """Write a clip 1 x 3 x T x H x W with values 0..1 as a moving image."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        _, colors, _, height, width = video.shape
        image = Summary.Image(
            height=height,
            width=width,
            colorspace=colors,
            encoded_image_string=encode_gif(video[0], fps),
        )
        summary = Summary(value=[Summary.Value(tag=tag, image=image)])
        self.writer._get_file_writer().add_summary(summary, global_step)

    def flush(self) -> None:
        """Write what is still in memory."""
        self.writer.flush()

    def close(self) -> None:
        """Write everything and close the file."""
        self.writer.close()


def stretch(clip: Tensor) -> Tensor:
    """Return ``clip`` linearly mapped to 0..1 (a constant clip becomes 0)."""
    low, high = clip.min(), clip.max()
    return (clip - low) / (high - low).clamp(min=1e-12)


def encode_gif(clip: Tensor, fps: int) -> bytes:
    """Return the GIF of a clip 3 x T x H x W with values 0..1, without any video package."""
    from PIL import Image

    frames_THWC = clip.detach().cpu().clamp(0, 1).mul(255).round().byte().permute(1, 2, 3, 0)
    images = [Image.fromarray(frame.numpy()) for frame in frames_THWC]
    buffer = io.BytesIO()
    more = {"save_all": True, "append_images": images[1:], "duration": round(1000 / fps), "loop": 0}
    images[0].save(buffer, format="GIF", **more)
    return buffer.getvalue()
