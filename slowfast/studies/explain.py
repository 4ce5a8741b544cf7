"""What OST sees in one video: its frames, the recognised class and the transport plans.

Shapes: T frames, N descriptors.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from slowfast.datasets.build import build_dataset
from slowfast.datasets.video import VideoDataset
from slowfast.engine.setup import prepare
from slowfast.engine.weights import load_test_weights, say_what_is_tested
from slowfast.errors import UsageError
from slowfast.models.build import build_model, unwrap
from slowfast.text import load_classes, load_descriptors
from slowfast.visualization.transport_plan import (
    PlanPanel,
    draw_transport_plans,
    frame_shares,
    save_figure,
)


class Explanation(NamedTuple):
    """One video taken apart.

    ``frames`` are the T decoded frames that the model looked at and ``seconds`` their times;
    ``panels`` hold the plans between them and the descriptors of the recognised class;
    ``score`` is that class's share of the softmax over the ``num_classes`` in question.
    """

    path: str
    label: str
    recognised: str
    score: float
    num_classes: int
    frames: NDArray[np.uint8]
    seconds: list[float]
    panels: list[PlanPanel]

    @property
    def sharpness(self) -> float:
        """How decided the plans are: the mean over frames of the largest share, in [0, 1]."""
        return float(np.mean([frame_shares(p.plan_TN).max(axis=1).mean() for p in self.panels]))


class Explainer:
    """Explain test videos with the weights that ``cfg`` tests.

    Args:
        cfg: of a test of a model whose head is OST's (TEST.CHECKPOINT_FILE_PATH names weights).

    Raises:
        UsageError: another head, or a data set that does not read listed videos.
    """

    def __init__(self, cfg: Any) -> None:
        prepare(cfg)
        dataset = build_dataset(cfg.TEST.DATASET, cfg, "test")
        if not isinstance(dataset, VideoDataset):
            raise UsageError(f"TEST.DATASET {cfg.TEST.DATASET}: expected a list of videos")
        model: Any = unwrap(build_model(cfg)).eval()
        if not hasattr(getattr(model, "head", None), "explain") or cfg.OST.MATCHING == "category":
            raise UsageError(
                f"MODEL.MODEL_NAME {cfg.MODEL.MODEL_NAME}, OST.MATCHING {cfg.OST.MATCHING}: plans "
                "are made by OST's head between frames and descriptors"
            )
        say_what_is_tested(cfg, model, load_test_weights(cfg, model))
        self.dataset, self.model = dataset, model
        self.descriptors = _descriptors_by_name(cfg, model.head.banks)

    @torch.no_grad()
    def __call__(self, position: int) -> Explanation:
        """Explain the video at ``position`` of the test list; raises DecodeError."""
        frames, seconds = self._read(position)
        transform: Any = self.dataset.transform
        # Text4Vis counts its crops left, right, centre
        (clip_CTHW,) = transform.crops(frames, [getattr(transform, "centre", 1)])
        device = next(self.model.parameters()).device
        encoded = self.model.encoder(self.model.clip, clip_CTHW[None].to(device))
        names = self.model.head.vocabulary.names
        scores = self.model.head.explain(self.model.clip, encoded)
        best = int(scores.logits[0].argmax())
        panels = [
            PlanPanel(kind, self.descriptors[kind][names[best]], plan[0, best].cpu().numpy())
            for kind, plan in scores.plans.items()
        ]
        label = int(self.dataset.videos.labels[position])
        return Explanation(
            str(self.dataset.videos.paths[position]),
            names[label],
            names[best],
            float(scores.logits[0].softmax(dim=0)[best]),
            len(names),
            frames,
            seconds,
            panels,
        )

    def _read(self, position: int) -> tuple[NDArray[np.uint8], list[float]]:
        """Return the frames T x H x W x 3 of the video's middle view and their times."""
        rates: list[float] = []

        def choose(timeline: Any) -> list[Any]:
            rates.append(timeline.rate)
            return [self.dataset.rule.clip(timeline, clip=0, num_clips=1)]

        with self.dataset.open(position) as reader:
            (clip,), (frames,) = reader.read_clips(choose)
        return frames, [float(index) / rates[-1] for index in clip.indices]


def _descriptors_by_name(cfg: Any, kinds: Any) -> dict[str, dict[str, Sequence[str]]]:
    classes = load_classes(cfg.TEXT.CLASSES)
    files = {"spatial": cfg.TEXT.SPATIAL, "temporal": cfg.TEXT.TEMPORAL}
    read = {k: load_descriptors(files[k], classes, kind=k, num=cfg.OST.N) for k in kinds}
    return {kind: dict(zip(classes.names, texts)) for kind, texts in read.items()}


def confident_videos(predictions: str | Path, count: int) -> list[int]:
    """Return the ids of the ``count`` rightly recognised videos with the highest scores.

    Args:
        predictions: the file of a test.
    """
    rows = [json.loads(line) for line in Path(predictions).read_text("utf-8").splitlines()]
    right = [row for row in rows if row.get("top", [None])[0] == row.get("label_name")]
    right.sort(key=lambda row: -row["scores"][0])
    return [row["id"] for row in right[:count]]


def draw_explanation(explanation: Explanation, path: str | Path, *, note: str = "") -> Path:
    """Write the picture of an explanation; raises UsageError without matplotlib.

    Args:
        note: what to say of the classes, such as ", none of them seen in training".
    """
    right = explanation.recognised == explanation.label
    subtitle = (
        f"{Path(explanation.path).name}: "
        f"{'recognised' if right else f'in truth {explanation.label}, taken for this'} "
        f"with score {explanation.score:.2f} among {explanation.num_classes} classes{note}"
    )
    figure = draw_transport_plans(
        explanation.frames,
        explanation.panels,
        title=explanation.recognised,
        subtitle=subtitle,
        seconds=explanation.seconds,
    )
    return save_figure(figure, path)
