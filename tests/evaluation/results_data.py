"""Contents of results.json files for the tests of summaries."""

from __future__ import annotations


def content(**changes):
    """Return what a zero-shot test of OST on UCF-101's split 1 writes, with ``changes``."""
    data = {
        "protocol": "zero_shot",
        "split": "1",
        "model": "OST",
        "arch": "ViT-B-16-quickgelu",
        "num_frames": 32,
        "dataset": "ucf101",
        "classes": "label_db/ucf101/classes.csv",
        "subset": "",
        "variant": [],
        "test_list": "val1.txt",
        "test_videos": "",
        "train_list": "",
        "shots": None,
        "seed": 1,
        "start": "",
        "clip_ratio": 0.2,
        "weights": "k400.pyth x 0.8 + openai x 0.2",
        "num_clips": 1,
        "num_crops": 1,
        "ensemble": "sum of prob",
        "num_videos_listed": 3783,
        "num_videos_scored": 3783,
        "top1": 60.0,
        "top5": 90.0,
    }
    return {**data, **changes}
