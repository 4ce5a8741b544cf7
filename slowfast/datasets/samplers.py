"""Which clips make a batch, on any number of processes.

B clips of a batch on one process, W processes, rank r.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from torch.utils.data import Sampler

from slowfast.errors import UsageError
from slowfast.utils.rng import generator

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


class TrainBatchSampler(_Batches):
    """Batches of a permutation that is a function of (seed, epoch) alone.

    Global batch b is entries b B W ... (b + 1) B W - 1 of the permutation, and rank r takes the
    r-th part of B of it: W processes see the same global batches as one process with B W clips. An
    incomplete last global batch is left out.

    Args:
        num_items: length of the data set.
        batch_size: B.
        seed: of the permutation.
        rank: r.
        world_size: W.

    Raises:
        UsageError: there is not one whole global batch.

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
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"TRAIN.BATCH_SIZE gives {batch_size} clips a process: expected >= 1")
        if num_items < batch_size * world_size:
            raise UsageError(
                f"{num_items} training videos do not fill one batch of {batch_size * world_size};"
                " lower TRAIN.BATCH_SIZE"
            )
        self.num_items = num_items
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch."""
        return self.num_items // (self.batch_size * self.world_size)

    def batches(self) -> Iterator[list[int]]:
        """Yield this process's part of each global batch."""
        order = generator(self.seed, self.epoch, _SHUFFLE).permutation(self.num_items)
        for batch in range(len(self)):
            first = (batch * self.world_size + self.rank) * self.batch_size
            yield order[first : first + self.batch_size].tolist()


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
