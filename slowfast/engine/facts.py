"""What a result must say about itself so that it can be compared with others, or be refused."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SHOTS = re.compile(r"few_shot_(\d+)|(\d+)[-_]?shot", re.IGNORECASE)


def describe_test(cfg: Any, paths: Sequence[str]) -> dict[str, Any]:
    """Return the facts of a test that ``results.json`` holds beside its accuracies.

    Keys: ``dataset`` (folder of TEXT.CLASSES, as ``ucf101`` of ``label_db/ucf101/classes.csv``;
    TEST.DATASET without that file), the files of classes, of the subset and of descriptors,
    ``test_list`` and ``test_videos`` (see ``digest_of_videos``), the training list with its
    ``shots``, ``seed``, and which model, with which ``encoder`` and ``head`` if not its own, what
    stands in their options, which of its towers are tuned by which ``loss``, with how many frames
    and how much of the original CLIP.

    Args:
        cfg: reads the sections that say so.
        paths: of the listed videos, empty where the data set does not tell them.
    """
    text, ost = cfg.TEXT, cfg.OST
    data_name = Path(text.CLASSES).parent.name or cfg.TEST.DATASET
    return {
        "model": cfg.MODEL.MODEL_NAME,
        "encoder": cfg.MODEL.ENCODER,
        "head": cfg.MODEL.HEAD_NAME,
        "temporal": "joint" if cfg.TEXT4VIS.JOINT else cfg.TEXT4VIS.TEMPORAL,
        "frame_head": cfg.TEXT4VIS.HEAD,
        "trunk": cfg.TRUNK.ARCH,
        "classifier": cfg.CLASSIFIER.KIND,
        "classifier_file": cfg.CLASSIFIER.FILE,
        "loss": cfg.MODEL.LOSS_FUNC,
        "arch": cfg.CLIP.ARCH,
        "trainable": cfg.CLIP.TRAINABLE,
        "num_frames": cfg.DATA.NUM_FRAMES,
        "dataset": data_name,
        "classes": text.CLASSES,
        "subset": text.SUBSET,
        "descriptors": [text.SPATIAL, text.TEMPORAL],
        "templates": text.TEMPLATES,
        "matching": ost.MATCHING,
        "kinds": list(ost.KINDS),
        "condition": list(ost.CONDITION),
        "test_list": cfg.DATA.TEST_FILE,
        "test_videos": digest_of_videos(paths),
        "train_list": cfg.DATA.TRAIN_FILE,
        "shots": shots_of(cfg.DATA.TRAIN_FILE),
        "seed": cfg.RNG_SEED,
        "start": cfg.TRAIN.CHECKPOINT_FILE_PATH,
        "clip_ratio": cfg.TEST.CLIP_RATIO,
    }


def shots_of(train_list: str) -> int | None:
    """Return the number of training videos per class that the list's name states, if any.

    >>> shots_of("lists/train_16shot_seed1.csv"), shots_of("train1_few_shot_2.txt"), shots_of("")
    (16, 2, None)
    """
    match = SHOTS.search(Path(train_list).stem)
    return int(match[1] or match[2]) if match else None


def digest_of_videos(paths: Sequence[str]) -> str:
    """Return 12 hex digits that are the same for lists of the same videos, else empty.

    Folder, order and the file's ending do not count: copies of a data set differ in these.

    >>> digest_of_videos(["val/b.mp4", "a.avi"]) == digest_of_videos(["/x/a.mp4", "/x/b.mp4"])
    True
    """
    if not len(paths):
        return ""
    names = sorted(Path(path).stem for path in paths)
    return hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()[:12]
