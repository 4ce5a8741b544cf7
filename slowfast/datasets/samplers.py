"""Which clips make a batch, on any number of processes.

B clips of a batch on one process, W processes, rank r.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from torch.utils.data import Sampler

from slowfast.errors import UsageError
from slowfast.utils.rng import generator

MOST_LOST = 0.05  # of an epoch, that TRAIN.DROP_LAST auto leaves out
_SHUFFLE = 0x5A  # keeps the order's generator apart from those of the samples


class _Batches(Sampler[list[int]]):
    """The batches of ``batches()``, of which one pass may leave out the first."""

    epoch = 0
    _skipped = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch, where there is more than that of the list."""
        self.epoch = epoch

    def skip(self, num_batches: int) -> None:
        """Leave out the first ``num_batches`` batches of the next pass, and of that one only."""
        self._skipped = num_batches

    def batches(self) -> Iterator[list[int]]:
        """Yield this process's batches of a whole pass."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[list[int]]:
        # A generator: loaders with processes ask for an iterator twice and use the second.
        first, self._skipped = self._skipped, 0
        yield from islice(self.batches(), first, None)


class LastBatch(NamedTuple):
    """An epoch's incomplete last batch: its clips on each process (0: left out), and why so."""

    share: int
    reason: str


LEFT_OUT = LastBatch(0, "")


def last_batch(
    num_items: int, batch: int, world_size: int, *, drop: str, least: int = 1, whole: str = ""
) -> LastBatch:
    """Return what becomes of the clips that do not fill a batch of ``batch`` on each process.

    All processes get the same number of them, so that the mean of their gradients stays that of
    the clips; fewer than ``world_size`` clips more are left out for it.

    Args:
        num_items: clips of an epoch.
        batch: B, clips of a batch on one process.
        world_size: W.
        drop: TRAIN.DROP_LAST.
        least: fewest clips of a batch on one process.
        whole: why batches should be whole, if they should.

    >>> last_batch(22, 16, 1, drop="auto").share, last_batch(105, 100, 1, drop="auto").share
    (6, 0)
    """
    rest = num_items % (batch * world_size)
    share = rest // world_size
    if share < least:
        each = f"clip{'' if least == 1 else 's'} for each of {world_size} processes"
        return LastBatch(0, f"it has not {least} {each}" if rest else "")
    if drop == "auto" and whole:
        return LastBatch(0, whole)
    if drop == "True" or (drop == "auto" and rest <= MOST_LOST * num_items):
        return LastBatch(0, f"TRAIN.DROP_LAST {drop}")
    return LastBatch(share, f"TRAIN.DROP_LAST {drop}")


class TrainBatchSampler(_Batches):
    """Batches of a permutation that is a function of (seed, epoch) alone.

    Global batch b is entries b B W ... (b + 1) B W - 1 of the permutation, and rank r takes the
    r-th part of B of it: W processes see the same global batches as one process with B W clips.
    What is left over makes a last global batch of W times ``last.share`` clips.

    Args:
        num_items: length of the data set.
        batch_size: B.
        seed: of the permutation.
        rank: r.
        world_size: W.
        last: what becomes of an incomplete last batch.

    Raises:
        UsageError: there is not one global batch.

    >>> one, other = (list(TrainBatchSampler(9, 2, seed=1, rank=r, world_size=2)) for r in (0, 1))
    >>> [first + second for first, second in zip(one, other)] == list(
    ...     TrainBatchSampler(9, 4, seed=1)
    ... )
    True
    """

    def __init__(
        self,
        num_items: int,
        batch_size: int,
        *,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        last: LastBatch = LEFT_OUT,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"TRAIN.BATCH_SIZE gives {batch_size} clips a process: expected >= 1")
        if num_items < batch_size * world_size and not last.share:
            raise UsageError(
                f"{num_items} training videos do not fill one batch of {batch_size * world_size}"
                f"{last.reason and f', and a smaller one is left out ({last.reason})'};"
                " lower TRAIN.BATCH_SIZE"
            )
        self.num_items = num_items
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.last = last

    @property
    def _sizes(self) -> list[int]:
        """Clips of each batch on one process."""
        whole = self.num_items // (self.batch_size * self.world_size)
        return [self.batch_size] * whole + [self.last.share] * (self.last.share > 0)

    @property
    def num_used(self) -> int:
        """Clips of an epoch on all processes, without those that are left out."""
        return sum(self._sizes) * self.world_size

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch."""
        return len(self._sizes)

    def batches(self) -> Iterator[list[int]]:
        """Yield this process's part of each global batch."""
        order = generator(self.seed, self.epoch, _SHUFFLE).permutation(self.num_items)
        start = 0
        for size in self._sizes:
            first = start + self.rank * size
            yield order[first : first + size].tolist()
            start += size * self.world_size


class ExactBatchSampler(_Batches):
    """Every clip exactly once over all processes, the clips of a video together.

    Rank r takes the whole videos r, r + W, r + 2 W ...; nothing is padded and nothing dropped, so
    ranks may differ by one video, and a rank may have none. A batch holds as many whole videos as
    fit into ``batch_size`` clips, at least one.

    Args:
        num_items: number of clips.
        clips_per_video: clips of a video, adjacent in the data set.
        batch_size: most clips of a batch.
        rank: r.
        world_size: W.

    >>> list(ExactBatchSampler(6, 2, batch_size=5, rank=0, world_size=2))
    [[0, 1, 4, 5]]
    """

    def __init__(
        self,
        num_items: int,
        clips_per_video: int,
        batch_size: int,
        *,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.num_items = num_items
        self.clips_per_video = clips_per_video
        self.videos_per_batch = max(1, batch_size // clips_per_video)
        num_videos = -(-num_items // clips_per_video)
        self.videos = range(rank, num_videos, world_size)

    def __len__(self) -> int:
        """Return the number of batches of a whole pass on this process."""
        return -(-len(self.videos) // self.videos_per_batch)

    def batches(self) -> Iterator[list[int]]:
        """Yield batches of whole videos."""
        n, k = self.videos_per_batch, self.clips_per_video
        for first in range(0, len(self.videos), n):
            some = self.videos[first : first + n]
            yield [i for v in some for i in range(v * k, min((v + 1) * k, self.num_items))]
