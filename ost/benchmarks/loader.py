"""loader: what loading clips costs, stage by stage, and what opening a video once saves.

With --cfg it is PySlowFast's loader benchmark: BENCHMARK.NUM_EPOCHS passes over the training
loader, a line every BENCHMARK.LOG_PERIOD batches. Without, a test of several views is measured on
generated clips.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import mean, median, pstdev
from typing import Any

import numpy as np
import torch

from ost.benchmarks.clips import make_clips
from ost.benchmarks.core import Report, Row, Settings, race
from slowfast.config.load import load_cfg
from slowfast.datasets.build import build_dataset
from slowfast.datasets.collate import Sample, collate
from slowfast.datasets.lists.video_list import VideoList
from slowfast.datasets.loader import construct_loader, shuffle_dataset
from slowfast.datasets.sampling.dense import Dense
from slowfast.datasets.sampling.rules import RANDOM_CLIP
from slowfast.datasets.sampling.views import Views
from slowfast.datasets.transforms.slowfast import SlowFastTransform, SpatialSampling
from slowfast.datasets.video import VideoDataset
from slowfast.errors import UsageError
from slowfast.utils.misc import cpu_mem_usage
from slowfast.utils.rng import generator

STAGES = ("open", "decode", "transform", "collate")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this benchmark."""
    add = parser.add_argument
    add("--cfg", dest="cfg_files", nargs="+", default=[], metavar="FILE", help="layered YAML files")
    add("--frames", type=int, default=8, help="frames of a clip (without --cfg)")
    add("--rate", type=int, default=8, help="frames from one sampled frame to the next")
    add("--clips", type=int, default=4, help="clips of a video")
    add("--crops", type=int, default=3, help="crops of a clip")
    add("--crop-size", type=int, default=224)
    add("--gops", type=int, nargs="+", default=[12, 250], help="key frame distances")
    add("--seconds", type=float, default=10.0, help="length of a generated clip")
    add("--size", type=int, nargs=2, default=[320, 240], help="its width and height")
    add("--samples", type=int, default=16, help="clips whose stages are timed")
    add("--opts", nargs=argparse.REMAINDER, default=[], help="options over --cfg; must come last")


def stage_seconds(dataset: VideoDataset, index: int) -> tuple[dict[str, float], Sample]:
    """Load one random clip as training does; returns the seconds of each stage and the sample."""
    marks = [time.perf_counter()]
    with dataset.open(index % len(dataset.videos)) as reader:
        # Reading the clock opens the stream and lists its packets; folders of frames have none.
        getattr(reader, "timeline", None)
        marks.append(time.perf_counter())
        rng = generator(dataset.seed, index)
        clips, frames = reader.read_clips(
            lambda timeline: [dataset.rule.clip(timeline, clip=RANDOM_CLIP, rng=rng)]
        )
        marks.append(time.perf_counter())
    video = dataset.transform.random(frames[0], rng)
    marks.append(time.perf_counter())
    label = int(np.argmax(dataset.videos.labels[index % len(dataset.videos)]))
    times = np.array([[clips[0].start, clips[0].end, 0.0]])
    sample: Sample = ([video], label, index, times, {})
    collate([sample])
    marks.append(time.perf_counter())
    return dict(zip(STAGES, np.diff(marks))), sample


def add_stages(report: Report, dataset: Any, number: int) -> None:
    """Add where the time of one training clip goes, median of ``number`` clips."""
    if not isinstance(dataset, VideoDataset):
        report.notes.append(f"no stages: {type(dataset).__name__} is a data set of its own kind")
        return
    stage_seconds(dataset, 0)
    found = [stage_seconds(dataset, index)[0] for index in range(number)]
    total = median(sum(one.values()) for one in found)
    for stage in STAGES:
        seconds = median(one[stage] for one in found)
        share = f"{100 * seconds / total:.0f} % of {1e3 * total:.1f} ms"
        report.rows.append(Row("one training clip, one process", stage, seconds, note=share))


def made_dataset(args: argparse.Namespace, paths: list[Path], *, expanded: bool) -> VideoDataset:
    """Return the generated clips as a data set: PySlowFast's transforms, dense sampling."""
    size = args.crop_size
    short = size if expanded else round(size * 8 / 7)
    sampling = SpatialSampling(size, short, short, flip=not expanded)
    return VideoDataset(
        VideoList([str(path) for path in paths], np.zeros(len(paths), np.int64)),
        rule=Dense(num_frames=args.frames, sampling_rate=args.rate),
        transform=SlowFastTransform(sampling, (0.45,) * 3, (0.225,) * 3),
        views=Views(args.clips, args.crops, expanded=True) if expanded else Views(random=True),
    )


def run(args: argparse.Namespace, settings: Settings) -> Report:
    """Run PySlowFast's benchmark of a config, or the multi-view one."""
    if args.opts and not args.cfg_files:
        raise UsageError("--opts changes a config: name one with --cfg")
    return run_config(args) if args.cfg_files else run_views(args, settings)


def run_views(args: argparse.Namespace, settings: Settings) -> Report:
    """Measure a test of several views of each generated clip, and one clip's stages."""
    shown = {"test": f"{args.clips} clips x {args.crops} crops", "frames": args.frames}
    shown |= {"rate": args.rate, "crop": args.crop_size, "repeats": settings.repeats}
    report = Report("loader", shown | {"threads": torch.get_num_threads()})
    views = args.clips * args.crops
    with tempfile.TemporaryDirectory() as folder:
        made = make_clips(Path(folder), args.gops, seconds=args.seconds, size=tuple(args.size))
        dataset = made_dataset(args, list(made.values()), expanded=True)
        for video, name in enumerate(made):
            indices = [video * views + i for i in range(views)]
            calls: dict[str, Callable[[], Any]] = {
                "ours, one open": partial(dataset.__getitems__, indices),
                "ours, one open per view and crop": partial(
                    lambda ds, wanted: [ds[index] for index in wanted], dataset, indices
                ),
            }
            report.add(name, race(calls, settings), (1, "videos"))
        add_stages(report, made_dataset(args, list(made.values()), expanded=False), args.samples)
    report.summarize("ours, one open per view and crop", goal=6)
    return report


def run_config(args: argparse.Namespace) -> Report:
    """Iterate the training loader of a config for BENCHMARK.NUM_EPOCHS epochs."""
    cfg = load_cfg(args.cfg_files, args.opts)
    report = Report(
        "loader",
        {"cfg": " ".join(args.cfg_files), "workers": cfg.DATA_LOADER.NUM_WORKERS}
        | {"batch": cfg.TRAIN.BATCH_SIZE, "epochs": cfg.BENCHMARK.NUM_EPOCHS},
    )
    loader, epochs = construct_loader(cfg, "train"), []
    for epoch in range(cfg.BENCHMARK.NUM_EPOCHS):
        if cfg.BENCHMARK.SHUFFLE or epoch == 0:
            shuffle_dataset(loader, epoch)
        start, clips, period = time.perf_counter(), 0, (time.perf_counter(), 0)
        for number, batch in enumerate(loader, start=1):
            clips += len(batch[2])
            if number % cfg.BENCHMARK.LOG_PERIOD == 0 or number == len(loader):
                period = _log(epoch, number, len(loader), clips, period)
        seconds = time.perf_counter() - start
        epochs.append(seconds)
        rate = f"{clips / seconds:,.4g} clips/s"
        report.rows.append(Row("passes over the loader", f"epoch {epoch}", seconds, rate))
    if epochs:
        report.notes.append(
            f"an epoch takes {mean(epochs):.2f} s, deviation {pstdev(epochs):.2f} s"
        )
        report.notes.append(f"epoch 0 is {epochs[0] / epochs[-1]:.2f}x the last one")
    add_stages(report, build_dataset(cfg.TRAIN.DATASET, cfg, "train"), args.samples)
    return report


def _log(
    epoch: int, number: int, total: int, clips: int, before: tuple[float, int]
) -> tuple[float, int]:
    """Print one line about the batches since ``before`` (time, clips); returns the new state."""
    now = time.perf_counter()
    seconds, used = now - before[0], cpu_mem_usage()
    print(
        f"epoch {epoch}, batch {number} of {total}: {clips - before[1]} clips in {seconds:.2f} s "
        f"({(clips - before[1]) / seconds:.1f} clips/s), RAM {used[0]:.1f} of {used[1]:.1f} GB"
    )
    return now, clips
