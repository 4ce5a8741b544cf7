"""Label videos that stand in no list: the multi-view test's reading and scoring, file by file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from slowfast.datasets.collate import collate
from slowfast.datasets.from_config import dataset_arguments
from slowfast.datasets.lists.video_list import VideoList
from slowfast.datasets.reading.decoder import VideoReader
from slowfast.datasets.video import VideoDataset
from slowfast.engine.batches import as_batch
from slowfast.engine.scoring import Scorer, chunks, reported
from slowfast.engine.setup import class_names, warn_of_one_class
from slowfast.errors import UsageError
from slowfast.evaluation.results import names_for
from slowfast.models.build import unwrap


class Prediction(NamedTuple):
    """The best classes of one video, best first; ``error`` says why there are none.

    ``warning`` says what makes them doubtful: a file that is not whole.
    """

    path: str
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    error: str = ""
    warning: str = ""


def predict(
    cfg: Any, model: nn.Module, paths: Sequence[str], *, topk: int = 5
) -> Iterator[Prediction]:
    """Yield the ``topk`` best classes of each video, in order.

    Frames, views, crops and their ensemble are those of the test that ``cfg`` describes
    (DATA, TEST); the classes are the model's (TEXT.CLASSES). Scores are means over views in
    TEST.ENSEMBLE_SPACE, of features the probabilities that their mean gets. A file that cannot be
    read yields a prediction with ``error``. Scores are relative to the list: a single class always
    gets 1.0, which is said in a warning.

    Raises:
        UsageError: the model does not know names for its classes, or for another number of them.
    """
    model = unwrap(model)
    names = class_names(cfg, model)
    if not names:
        raise UsageError(
            "this model has no class names: set TEXT.CLASSES or TENSORBOARD.CLASS_NAMES_PATH"
        )
    warn_of_one_class(names)
    videos = VideoList([str(path) for path in paths], np.zeros(len(paths), dtype=np.int64))
    dataset = VideoDataset(**dataset_arguments(cfg, "test", videos=videos))
    views = dataset.num_clips_per_video
    scorer = Scorer.from_cfg(cfg, model)
    for video, path in enumerate(videos.paths):
        first = video * views
        batch = as_batch(collate(dataset.__getitems__(range(first, first + views))))
        if failed := batch.meta.get("failed"):
            yield Prediction(path, (), (), failed[0][3])
            continue
        ensemble = scorer.ensemble(1, views)
        for part in chunks(batch, cfg.TEST.BATCH_SIZE):
            ensemble.update(scorer(part), part.labels, part.index - first)
        gathered = scorer.finish(ensemble.gather())
        scores = reported(gathered, scorer.space, multi_label=scorer.multi_label).scores[0]
        best = torch.topk(scores, min(topk, len(scores)))
        named = names_for(names, len(scores))
        labels = tuple(named[int(i)] for i in best.indices)
        with VideoReader(path) as reader:
            warning = reader.find_damage()
        yield Prediction(path, labels, tuple(best.values.tolist()), warning=warning)
