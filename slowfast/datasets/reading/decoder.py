"""Frames of a video file at given indices, through PyAV.

`VideoReader` opens a file once, lists its packets without decoding (`timeline`: real frame count
and time stamps; the stated count is never trusted), and returns exactly the wanted frames, decoding
as few packets as it can. Frames are counted in presentation order, from 0.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from slowfast.datasets.reading import torchcodec
from slowfast.datasets.reading.completeness import find_damage
from slowfast.datasets.reading.packet_scan import (
    OPEN,
    UNREADABLE,
    count_is_certain,
    reason,
    scan_packets,
)
from slowfast.datasets.reading.seek_plan import SEEK_COST, PacketTable, Run, plan_runs
from slowfast.datasets.reading.timeline import Clip, Timeline
from slowfast.errors import DecodeError, UsageError
from slowfast.utils.logging import get_logger

logger = get_logger(__name__)
# One thread: the loader's workers are the parallelism. Older PyAV does not have the option.
_CONVERT = {"threads": 1} if "threads" in (VideoReformatter.reformat.__doc__ or "") else {}
# PyAV before 18 can wait for ever for threads that decode ahead; those of one picture's slices end.
_THREADS = "AUTO" if int(av.__version__.split(".")[0]) >= 18 else "SLICE"


class FrameCountError(DecodeError):
    """Decoding showed that the file holds other frames than its packets promised.

    The reader's ``timeline`` has been corrected; choose frames again and read once more.
    """


def resolve_backend(name: str) -> str:
    """Return the backend that DATA.DECODING_BACKEND asks for; call it once, before workers start.

    torchvision no longer has PySlowFast's reader: its name stands for ``pyav``, with a notice.

    Raises:
        UsageError: unknown name, or torchcodec is asked for and cannot be loaded.
    """
    if name == "torchvision":
        logger.info("DATA.DECODING_BACKEND torchvision no longer exists: pyav is used")
        return "pyav"
    if name not in ("pyav", "torchcodec"):
        raise UsageError(f"DATA.DECODING_BACKEND is {name!r}; known: pyav, torchcodec, torchvision")
    if name == "torchcodec":
        torchcodec.load_torchcodec()
    return name


class VideoReader(AbstractContextManager["VideoReader"]):
    """One open video file; use it in a ``with`` statement: frames hold memory until its end.

    Args:
        path: the file.
        backend: "pyav" or "torchcodec".
        multi_thread: let FFmpeg choose its threads (DATA_LOADER.ENABLE_MULTI_THREAD_DECODE).
        seek_cost: price of a jump to a key frame in decoded frames; see `seek_plan.plan_runs`.

    Raises:
        DecodeError: the file is missing, empty, no video, or of a codec that FFmpeg lacks.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        backend: str = "pyav",
        *,
        multi_thread: bool = False,
        seek_cost: int = SEEK_COST,
    ) -> None:
        self.path = os.fspath(path)
        self._backend = backend
        self._multi_thread = multi_thread
        self._seek_cost = seek_cost
        self._timeline: Timeline | None = None
        self._table: PacketTable | None = None
        self._fresh = True
        self._converter = VideoReformatter()
        self._container, self._stream = self._open()

    def __exit__(self, *error: object) -> None:
        self._container.close()

    @property
    def timeline(self) -> Timeline:
        """Real frame count and time stamps, found without decoding where that is certain.

        Raises:
            DecodeError: not a single frame can be decoded.
        """
        if self._timeline is None:
            scan = scan_packets(self._container, self._stream)
            self._fresh = False
            if scan.table is not None and count_is_certain(scan, self._container, self._stream):
                self._table = scan.table
                self._set_timeline(len(scan.table.frame_pts), scan.table.frame_pts)
            else:
                self._count_by_decoding()
        assert self._timeline is not None
        return self._timeline

    @property
    def num_frames(self) -> int:
        """Number of frames that decoding yields."""
        return self.timeline.num_frames

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the frames at ``indices``, uint8 T x H x W x 3 in RGB, upright.

        Args:
            indices: presentation order, any order, repeats allowed; all views of a video together
                are read in one pass.

        Raises:
            FrameCountError: a wanted frame does not come out of the decoder (damaged file).
            DecodeError: the frames cannot be decoded.
        """
        asked = np.asarray(indices, dtype=np.int64)
        n = self.num_frames
        assert asked.size, "no frames are asked for"
        assert ((asked >= 0) & (asked < n)).all(), f"indices must be within 0..{n - 1}: {asked}"
        distinct, where = np.unique(asked, return_inverse=True)
        frames = self._read_distinct(distinct)
        return frames if np.array_equal(distinct, asked) else frames[where]

    def read_clips(
        self, choose: Callable[[Timeline], Sequence[Clip]]
    ) -> tuple[list[Clip], list[np.ndarray]]:
        """Choose clips from the timeline and read all of them in one pass.

        If decoding proves the timeline wrong (a damaged file), ``choose`` is called once more with
        the corrected one, so that no frame is silently repeated or shifted.

        Args:
            choose: from the video's timeline to its clips; it must not depend on being called once.

        Returns:
            the clips, and for each its frames, uint8 T x H x W x 3.

        Raises:
            DecodeError: the file cannot be decoded.
        """
        clips = list(choose(self.timeline))
        try:
            frames = self.read(np.concatenate([clip.indices for clip in clips]))
        except FrameCountError as error:
            logger.warning("%s; its frames are chosen again", error)
            clips = list(choose(self.timeline))
            frames = self.read(np.concatenate([clip.indices for clip in clips]))
        ends = np.cumsum([len(clip.indices) for clip in clips])[:-1]
        return clips, np.split(frames, ends)

    def count_decodable(self) -> int:
        """Decode the whole file and return how many frames come out; for checks, not for reading.

        Raises:
            DecodeError: not a single frame can be decoded.
        """
        self._count_by_decoding()
        return self.num_frames

    def find_damage(self) -> str:
        """Return how much of the stated length the file lacks, in words; empty if it is whole.

        Raises:
            DecodeError: the file can no longer be opened.
        """
        self._reopen()
        return find_damage(self._container, self._stream)

    def _open(self) -> tuple[Any, Any]:
        if not os.path.isfile(self.path):
            is_folder = os.path.isdir(self.path)
            raise DecodeError(self.path, "a folder and no video" if is_folder else "no such file")
        if os.path.getsize(self.path) == 0:
            raise DecodeError(self.path, "empty file (0 bytes)")
        # FFmpeg takes the word before a colon for a protocol.
        url = f"file:{self.path}" if ":" in self.path else self.path
        try:
            container = av.open(url, **OPEN)
        except UNREADABLE as error:
            what = "cannot be read" if isinstance(error, PermissionError) else "not a video"
            raise DecodeError(self.path, f"{what} ({reason(error)})") from error
        try:
            return container, self._video_stream(container)
        except DecodeError:
            container.close()
            raise

    def _video_stream(self, container: Any) -> Any:
        cover = av.stream.Disposition.attached_pic
        streams = [s for s in container.streams.video if not s.disposition & cover]
        if not streams:
            kinds = sorted({s.type for s in container.streams}) or ["nothing"]
            raise DecodeError(self.path, f"no video stream (found: {', '.join(kinds)})")
        stream = streams[0]
        if stream.codec_context is None:
            raise DecodeError(self.path, "FFmpeg has no decoder for its video codec")
        stream.thread_type = _THREADS if self._multi_thread else "NONE"
        stream.codec_context.thread_count = 0 if self._multi_thread else 1
        return stream

    def _reopen(self) -> None:
        if not self._fresh:
            self._container.close()
            self._container, self._stream = self._open()
        self._fresh = False

    def _read_distinct(self, wanted: np.ndarray) -> np.ndarray:
        promised = self.num_frames
        if self._backend == "torchcodec":
            return torchcodec.read_frames(self.path, wanted, promised)
        if self._table is not None:
            times = self._table.frame_pts[wanted].tolist()
            frames = self._collect(times, self._decode_planned(self._table, wanted))
            if frames is not None:
                return frames
            self._count_by_decoding()
            if self.num_frames != promised:
                raise FrameCountError(
                    self.path, f"{promised} frames are listed, {self.num_frames} can be decoded"
                )
        frames = self._collect(wanted.tolist(), enumerate(self._decode_all()))
        if frames is None:
            raise DecodeError(self.path, f"frame {wanted[-1]} cannot be decoded a second time")
        return frames

    def _collect(self, keys: Sequence[int], frames: Iterable[tuple[int, Any]]) -> np.ndarray | None:
        """Return the images of ``keys`` in their order, or None when ``frames`` lack one."""
        slots = {key: i for i, key in enumerate(keys)}
        out: np.ndarray | None = None
        for key, frame in frames:
            if key not in slots:
                continue
            image = self._image(frame)
            if out is None:
                out = np.empty((len(keys), *image.shape), dtype=np.uint8)
            if image.shape != out.shape[1:]:
                raise DecodeError(
                    self.path, f"the frame size changes from {out.shape[1:3]} to {image.shape[:2]}"
                )
            out[slots.pop(key)] = image
            if not slots:
                return out
        return None

    def _image(self, frame: Any) -> np.ndarray:
        """Return a decoded frame as RGB, upright."""
        try:
            image = self._converter.reformat(frame, format="rgb24", **_CONVERT).to_ndarray()
        except UNREADABLE as error:
            raise DecodeError(self.path, f"no RGB from {frame.format.name}: {error}") from error
        return np.rot90(image, round(frame.rotation / 90) % 4)

    def _decode_planned(self, table: PacketTable, wanted: np.ndarray) -> Iterator[tuple[int, Any]]:
        """Yield frames with their presentation times: ``wanted`` ones and those on the way."""
        times = set(table.frame_pts[wanted].tolist())
        seek_cost = self._seek_cost if self._seeks_exactly else len(table.pts)
        for run in plan_runs(table, wanted.tolist(), seek_cost):
            yield from ((frame.pts, frame) for frame in self._decode_run(table, run, times))

    def _decode_run(self, table: PacketTable, run: Run, times: set[int]) -> Iterator[Any]:
        """Yield the frames of one run: feed its packets up to the last one, drain the decoder."""
        context = self._stream.codec_context
        skips = context.name == "h264" and not self._multi_thread
        try:
            for place, packet in self._packets_from(table, run):
                if skips:
                    # A picture that is neither wanted nor referred to is not decoded at all.
                    context.skip_frame = "DEFAULT" if packet.pts in times else "NONREF"
                yield from packet.decode()
                if place >= run.last:
                    break
            yield from self._stream.decode(None)
        except UNREADABLE as error:
            logger.debug("%s: %s", self.path, reason(error))
        finally:
            context.skip_frame = "DEFAULT"

    @property
    def _seeks_exactly(self) -> bool:
        """Program and transport streams have no index: jumps end anywhere near the target."""
        return self._container.format.name not in ("mpegts", "mpeg")

    def _packets_from(self, table: PacketTable, run: Run) -> Iterator[tuple[int, Any]]:
        """Yield packets with their positions, from the beginning of ``run`` or from before it.

        Containers look key frames up by presentation time; where that ends behind the key frame
        (groups shorter than the reordering), its decoding time is tried.
        """
        if not run.seek and (self._fresh or not self._seeks_exactly):
            self._reopen()
            yield from self._numbered_packets(table)
            return
        for stamps in (table.pts, table.dts):
            self._fresh = False
            self._container.seek(int(stamps[run.first]), stream=self._stream, backward=True)
            packets = self._numbered_packets(table)
            place, packet = next(packets, (-1, None))
            if 0 <= place <= run.first:
                yield place, packet
                yield from packets
                return

    def _numbered_packets(self, table: PacketTable) -> Iterator[tuple[int, Any]]:
        for packet in self._container.demux(self._stream):
            if packet.size:
                yield table.place.get(packet.pts, -1), packet

    def _decode_all(self) -> Iterator[Any]:
        """Yield every frame from the beginning; packets that cannot be decoded are passed over."""
        self._reopen()
        packets = self._container.demux(self._stream)
        packet: Any = True
        while packet is not None:
            try:
                packet = next(packets, None)
                if packet is None:
                    yield from self._stream.decode(None)
                elif packet.size:
                    yield from packet.decode()
            except UNREADABLE as error:
                logger.debug("%s: %s", self.path, reason(error))

    def _count_by_decoding(self) -> None:
        times = [frame.pts for frame in self._decode_all()]
        if not times:
            raise DecodeError(self.path, "not a single frame can be decoded")
        self._table = None
        ascending = None not in times and bool(np.all(np.diff(times) > 0))
        self._set_timeline(len(times), np.array(times, dtype=np.int64) if ascending else None)

    def _set_timeline(self, num_frames: int, pts: np.ndarray | None) -> None:
        stream = self._stream
        self._timeline = Timeline(
            num_frames=num_frames,
            fps=float(stream.average_rate or 0),
            pts=pts,
            tick=float(stream.time_base or 1),
            declared_frames=stream.frames,
            duration=stream.duration,
        )
