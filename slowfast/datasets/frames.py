"""Videos that lie as one image a frame in a folder.

Lists: ``folder frames label`` (Text4Vis), frame names from DATA.FRAME_TEMPLATE counted from 1.
A video is as long as its list says, or as its folder holds images (DATA.FRAME_COUNT).
Images are always given in RGB; PySlowFast's reader of such folders gives BGR.
"""

from __future__ import annotations

import errno
import os
import re
import string
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from slowfast.config.configurable import configurable
from slowfast.datasets import from_config
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.reading.timeline import Clip, Timeline, constant_rate_timeline
from slowfast.datasets.video import Reader, VideoDataset
from slowfast.errors import DecodeError, UsageError
from slowfast.utils.logging import get_logger

logger = get_logger(__name__)
FIRST_FRAME = 1


def count_frames(folder: str | os.PathLike[str], template: str) -> int:
    """Return how many frames lie in ``folder``: files that ``template`` could have named, from 1.

    Text4Vis counts every file of the folder instead, so that a stray one (an optical flow image, a
    system's index file) shifts all frames; on folders that hold nothing else both agree.

    Raises:
        DecodeError: the folder cannot be listed, or holds no such file.
    """
    number = _name_pattern(template)
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise DecodeError(str(folder), f"the folder cannot be listed: {error.strerror}") from error
    found = [(name, match) for name in names if (match := number.fullmatch(name))]
    count = sum(
        int(match[1]) >= FIRST_FRAME and template.format(int(match[1])) == name
        for name, match in found
    )
    if not count:
        first = template.format(FIRST_FRAME)
        raise DecodeError(str(folder), f"none of its {len(names)} files is named like {first}")
    return count


def _name_pattern(template: str) -> re.Pattern[str]:
    """Return a pattern whose one group is the number in a name that ``template`` makes."""
    pattern = "".join(
        re.escape(text) + ("" if field is None else r"(\d+)")
        for text, field, _, _ in string.Formatter().parse(template)
    )
    return re.compile(pattern)


def read_image(path: str | os.PathLike[str]) -> np.ndarray | None:
    """Return an image as uint8 H x W x 3 in BGR, or None where it cannot be read."""
    # not cv2.imread: it prints its own warning, and fails on names outside the locale
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError:
        return None
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.imdecode(data, flags) if len(data) else None


class FolderReader:
    """The frames of one folder.

    Args:
        folder: where the images lie.
        num_frames: how many there are.
        template: file name with one number field, such as ``img_{:05d}.jpg``.
        fps: the rate that dense sampling is to assume.
    """

    def __init__(self, folder: str, num_frames: int, template: str, fps: float) -> None:
        self.folder = Path(folder)
        self.template = template
        self.timeline = constant_rate_timeline(num_frames, fps)

    def read_clips(
        self, choose: Callable[[Timeline], Sequence[Clip]]
    ) -> tuple[list[Clip], list[np.ndarray]]:
        """Return the chosen clips and their frames; every image is read once.

        Raises:
            DecodeError: no frames, an image is missing or unreadable, or sizes differ.
        """
        if not self.timeline.num_frames:
            raise DecodeError(str(self.folder), "the list says that it holds 0 frames")
        clips = list(choose(self.timeline))
        wanted, where = np.unique(np.concatenate([c.indices for c in clips]), return_inverse=True)
        images = [self._read(int(index)) for index in wanted]
        sizes = {image.shape[:2] for image in images}
        if len(sizes) > 1:
            raise DecodeError(str(self.folder), f"its frames have several sizes: {sorted(sizes)}")
        frames = np.stack(images)
        ends = np.cumsum([len(clip.indices) for clip in clips])[:-1]
        return clips, [frames[part] for part in np.split(where, ends)]

    def _read(self, index: int) -> np.ndarray:
        path = self.folder / self.template.format(index + FIRST_FRAME)
        image = read_image(path)
        if image is None:
            reason = f"{path.name} is no readable image"
            if not path.exists():
                lacks = os.strerror(errno.ENOENT)
                reason = f"{path.name}: {lacks} (DATA.FRAME_TEMPLATE {self.template})"
            raise DecodeError(str(self.folder), reason)
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


@DATASET_REGISTRY.register(names=["Framefolder", "Ssv2"])
class Framefolder(VideoDataset):
    """Clips of videos that lie as folders of images.

    Args:
        template: see FolderReader.
        count_files: a video is as long as its folder holds images, not as the list says.
        options: as in VideoDataset; its list holds folders and their frame counts.

    Raises:
        UsageError: the template has not exactly one number field.
    """

    @configurable
    def __init__(self, *, template: str, count_files: bool = False, **options: Any) -> None:
        super().__init__(**options)
        if _fields(template) != 1:
            raise UsageError(
                f"DATA.FRAME_TEMPLATE is {template!r}: expected one number field, as in"
                " img_{:05d}.jpg"
            )
        self.template = template
        self.count_files = count_files

    @classmethod
    def from_cfg(cls, cfg: Any, split: str) -> dict[str, Any]:
        """Return the arguments that ``cfg`` gives for ``split`` (train, val or test)."""
        arguments = from_config.dataset_arguments(cfg, split, kind="frames")
        if arguments.pop("swap_channels"):
            logger.info("DATA.REVERSE_INPUT_CHANNEL: frame folders are read as RGB, nothing to do")
        counting = cfg.DATA.FRAME_COUNT == "folder"
        return {**arguments, "template": cfg.DATA.FRAME_TEMPLATE, "count_files": counting}

    def open(self, video: int) -> AbstractContextManager[Reader]:
        """Open a folder by its position in the list."""
        return self._folder(video)

    @contextmanager
    def _folder(self, video: int) -> Iterator[Reader]:
        assert self.videos.num_frames is not None
        folder = str(self.videos.paths[video])
        listed = int(self.videos.num_frames[video])
        length = count_frames(folder, self.template) if self.count_files else listed
        yield FolderReader(folder, length, self.template, self.rule.target_fps)


def _fields(template: str) -> int:
    """Return how many number fields ``template`` has; 0 also if it cannot be filled."""
    try:
        first, second = template.format(1), template.format(2)
    except (IndexError, KeyError, ValueError):
        return 0
    return int(first != second)
