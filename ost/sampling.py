"""Show which frames of a video every view takes.

ost sampling clip.mp4 --frames 8 --rate 16 --clips 3
ost sampling --length 300 --fps 30 --frames 8 --rate 8 --clips 3 --compat openvclip
ost sampling clip.mp4 --sampling segment --compat ost --random 2
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from slowfast.errors import UsageError

if TYPE_CHECKING:
    from slowfast.datasets.reading.timeline import Clip, Timeline
    from slowfast.datasets.sampling.rules import FrameRule

BAR = 60


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="ost sampling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("video", nargs="?", default="", help="video file; or give --length and --fps")
    add("--length", type=int, default=0, help="frames of an imaginary video")
    add("--fps", type=float, default=30.0, help="its frame rate")
    add("--no-duration", action="store_true", help="its container states no duration (mkv)")
    add("--sampling", default="dense", help="DATA.SAMPLING: dense or segment")
    add("--compat", default="", help="DATA.SAMPLING_COMPAT: a published rule by name")
    add("--frames", type=int, default=8, help="DATA.NUM_FRAMES")
    add("--rate", type=int, default=8, help="DATA.SAMPLING_RATE")
    add("--target-fps", type=float, default=30.0, help="DATA.TARGET_FPS")
    add("--offset", action="store_true", help="DATA.USE_OFFSET_SAMPLING")
    known = ("corrected", "legacy")
    add("--timestamps", default="corrected", choices=known, help="DATA.TIMESTAMPS")
    add("--clips", type=int, default=1, help="TEST.NUM_ENSEMBLE_VIEWS")
    add("--random", type=int, default=0, help="show this many random training clips as well")
    add("--seed", type=int, default=1, help="of the random clips")
    return parser


def timeline_of(args: argparse.Namespace) -> Timeline:
    """Return the clock of the file, or of the imaginary video."""
    from slowfast.datasets.reading.decoder import VideoReader
    from slowfast.datasets.reading.timeline import constant_rate_timeline

    if args.video:
        with VideoReader(args.video) as reader:
            return reader.timeline
    if args.length < 1 or args.fps <= 0:
        raise UsageError("name a video, or give --length (1 or more) and --fps (above 0)")
    return constant_rate_timeline(
        args.length, args.fps, pts_per_frame=512, duration_known=not args.no_duration
    )


def describe(timeline: Timeline) -> str:
    """Return one line about the video."""
    rate = "variable" if timeline.variable_rate else "constant"
    stated = timeline.declared_frames or "not stated"
    ticks = timeline.duration
    duration = "not stated" if ticks is None else f"{ticks * timeline.tick:.2f} s"
    return (
        f"{timeline.num_frames} frames (stated: {stated}), {timeline.rate:.3f} fps, {rate} rate, "
        f"duration {duration}"
    )


def drawing(clip: Clip, num_frames: int) -> str:
    """Return a bar of the whole video with a mark where a frame is taken.

    >>> import numpy as np
    >>> from slowfast.datasets.reading.timeline import Clip
    >>> drawing(Clip(np.array([0, 50, 99]), 0.0, 99.0), 100).count("#")
    3
    """
    marks = {int(index * BAR / num_frames) for index in clip.indices}
    return "".join("#" if place in marks else "." for place in range(BAR))


def rows(rule: FrameRule, timeline: Timeline, args: argparse.Namespace) -> list[tuple[str, Clip]]:
    """Return every view with its name."""
    from slowfast.datasets.sampling.rules import RANDOM_CLIP
    from slowfast.utils.rng import generator

    found = []
    for k in range(args.clips):
        clip = rule.clip(timeline, clip=k, num_clips=args.clips, rng=generator(args.seed, k))
        found.append((f"clip {k}", clip))
    for i in range(args.random):
        clip = rule.clip(timeline, clip=RANDOM_CLIP, rng=generator(args.seed, i))
        found.append((f"random {i}", clip))
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Print the frames of every view; returns the exit code."""
    args = build_parser().parse_args(argv)
    # Late, here as in every tool: they bring torch in, and --help answers at once.
    from slowfast.datasets.sampling.rules import find_rule

    rule = find_rule(args.sampling, args.compat)(
        num_frames=args.frames,
        sampling_rate=args.rate,
        target_fps=args.target_fps,
        use_offset=args.offset,
        corrected=args.timestamps == "corrected",
    )
    timeline = timeline_of(args)
    name = args.compat or args.sampling
    print(f"{args.video or 'imaginary video'}: {describe(timeline)}; rule {name}")
    for name, clip in rows(rule, timeline, args):
        print(f"{name:9} {drawing(clip, timeline.num_frames)}")
        print(f"{'':9} {' '.join(map(str, clip.indices.tolist()))}")
    return 0
