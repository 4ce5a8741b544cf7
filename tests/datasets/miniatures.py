"""Writes each data set's official annotation files and folder layout with a few classes.

Every function fills ``root / "annotations"`` and ``root / "videos"`` and returns ``root``. Videos
are copies of one tiny clip for each suffix.
"""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from slowfast.datasets.preparation.class_table import load_table
from tests.video_files import write_video

LABEL_DB = Path(__file__).parents[2] / "label_db"

UCF_CLASSES = {"ApplyEyeMakeup": 1, "Archery": 3, "HandstandPushups": 37}
HMDB_CLASSES = ("brush_hair", "kick", "kick_ball", "sword", "sword_exercise")
KINETICS_CLASSES = ("abseiling", "air drumming", "hurling (sport)")
ZERO_SHOT_CLASSES = ("acting in play", "adjusting glasses", "arguing")
SSV2_TEMPLATES = (
    "Holding [something] next to [something]",
    "Putting [something], [something] and [something] on the table",
    "Twisting (wringing) [something] wet until water comes out",
)
ACTIVITYNET_CLASSES = ("Applying sunscreen", "Archery")


@cache
def _clip(suffix: str) -> Path:
    codec = {".webm": "libvpx"}.get(suffix, "libx264")
    return write_video(Path(mkdtemp()) / f"clip{suffix}", 12, codec=codec)


def add_video(path: Path) -> Path:
    """Put a good video there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(_clip(path.suffix), path))


def write(path: Path, text: str) -> Path:
    """Write a text file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
    return path


def ucf101(root: Path, *, groups: int = 4) -> Path:
    """Class folders; group N of each class is the test part of split N, the rest trains."""
    lists = root / "annotations" / "ucfTrainTestlist"
    lines = "".join(f"{number} {name}\r\n" for name, number in UCF_CLASSES.items())
    write(lists / "classInd.txt", lines)
    for split in (1, 2, 3):
        train, test = [], []
        for name, number in UCF_CLASSES.items():
            stem = "HandStandPushups" if name == "HandstandPushups" else name
            for group in range(1, groups + 1):
                video = f"{name}/v_{stem}_g{group:02d}_c01.avi"
                add_video(root / "videos" / video)
                (test if group == split else train).append((video, number))
        write(lists / f"trainlist0{split}.txt", "".join(f"{v} {n}\r\n" for v, n in train))
        write(lists / f"testlist0{split}.txt", "".join(f"{v}\r\n" for v, _ in test))
    return root


def hmdb51(root: Path) -> Path:
    """Class folders; of five videos of a class three train, one tests and one is in no list."""
    folder = root / "annotations" / "testTrainMulti_7030_splits"
    for name in HMDB_CLASSES:
        videos = [f"Some,_Film#_(1)_{name}_f_cm_np1_ba_med_{i}.avi" for i in range(5)]
        for video in videos:
            add_video(root / "videos" / name / video)
        for split in (1, 2, 3):
            flags = {split: 2, 0: 0}
            lines = [f"{video} {flags.get(i, 1)} \n" for i, video in enumerate(videos)]
            write(folder / f"{name}_test_split{split}.txt", "".join(lines))
    return root


def kinetics(
    root: Path, classes: tuple[str, ...] = KINETICS_CLASSES, *, layout: str = "{split}/{label}"
) -> Path:
    """CSV tables and clips; ``layout`` says which folders a clip lies in."""
    for split, table, count in (("train", "train", 3), ("val", "validate", 1)):
        rows = ["label,youtube_id,time_start,time_end,split"]
        for number, label in enumerate(classes):
            for i in range(count):
                video = f"-{split[0]}{number}_{i}AbCdE"
                rows.append(f'"{label}",{video},{10 * i},{10 * i + 10},{split}')
                folder = root / "videos" / layout.format(split=split, label=label)
                add_video(folder / f"{video}_{10 * i:06d}_{10 * i + 10:06d}.mp4")
        write(root / "annotations" / f"{table}.csv", "\n".join(rows) + "\n")
    return root


def ssv2(root: Path) -> Path:
    """Official JSON files with the numbers of all given templates, and one flat folder of webm."""
    classes = load_table(LABEL_DB / "ssv2")
    folder = root / "annotations"
    plain = [template.replace("[", "").replace("]", "") for template in SSV2_TEMPLATES]
    numbers = {name: str(classes.names.index(name)) for name in plain}
    write(folder / "something-something-v2-labels.json", json.dumps(numbers))
    for name, first, count in (("train", 1000, 3), ("validation", 2000, 1)):
        rows = []
        for number, template in enumerate(SSV2_TEMPLATES):
            for i in range(count):
                video = first + 10 * number + i
                rows.append({"id": str(video), "label": "a thing", "template": template})
                add_video(root / "videos" / "20bn-something-something-v2" / f"{video}.webm")
        write(folder / f"something-something-v2-{name}.json", json.dumps(rows))
    return root


def activitynet(root: Path) -> Path:
    """One JSON file; each video of 0.4 seconds has two segments."""
    database = {}
    for subset, count in (("training", 2), ("validation", 1), ("testing", 1)):
        for label in ACTIVITYNET_CLASSES if subset != "testing" else ("",):
            for i in range(count):
                video = f"{subset[:2]}{label[:3]}{i}"
                segments = [{"label": label, "segment": s} for s in ([0.0, 0.2], [0.2, 0.4])]
                database[video] = {"subset": subset, "annotations": segments if label else []}
                add_video(root / "videos" / f"v_{video}.mp4")
    write(root / "annotations" / "activity_net.v1-3.min.json", json.dumps({"database": database}))
    return root
