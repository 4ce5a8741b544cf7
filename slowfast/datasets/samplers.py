"""Which clips make a batch, on any number of processes.

B clips of a batch on one process, W processes, rank r.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from slowfast.errors import UsageError
from slowfast.utils.rng import generator

_SHUFFLE = 0x5A  # keeps the order's generator apart from those of the samples


class TrainBatchSampler(Sampler[list[int]]):
    """Batches of a permutation that is a function of (seed, epoch) alone.

    Global batch b is entries b B W ... (b + 1) B W - 1 of the permutation, and rank r takes the
    r-th part of B of it: W processes see the same global batches as one process with B W clips.

    Args:
        num_items: length of the data set.
        batch_size: B.
        seed: of the permutation.
        rank: r.
        world_size: W.
        shuffle: False keeps the order of the list.
        drop_last: leave an incomplete last global batch out; otherwise it is dealt out as evenly
            as it goes, which may leave nothing for the last ranks.

    Raises:
        UsageError: there is not one whole global batch.

    >>> sampler = TrainBatchSampler(10, 2, seed=1, shuffle=False, rank=1, world_size=2)
    >>> list(sampler)
    [[2, 3], [6, 7]]
    """

    def __init__(
        self,
        num_items: int,
        batch_size: int,
        *,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        shuffle: bool = True,
        drop_last: bool = True,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"TRAIN.BATCH_SIZE gives {batch_size} clips a process: expected >= 1")
        if drop_last and num_items < batch_size * world_size:
            raise UsageError(
                f"{num_items} training videos do not fill one batch of {batch_size * world_size};"
                " lower TRAIN.BATCH_SIZE"
            )
        self.num_items = num_items
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.epoch = 0
        self._skipped = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation of this epoch."""
        self.epoch = epoch

    def skip(self, num_batches: int) -> None:
        """Leave out the first ``num_batches`` batches of the next pass, and of that one only."""
        self._skipped = num_batches

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch."""
        share = self.batch_size * self.world_size
        return self.num_items // share if self.drop_last else -(-self.num_items // share)

    def __iter__(self) -> Iterator[list[int]]:
        first, self._skipped = self._skipped, 0
        order = np.arange(self.num_items)
        if self.shuffle:
            order = generator(self.seed, self.epoch, _SHUFFLE).permutation(self.num_items)
        share = self.batch_size * self.world_size
        for batch in range(first, len(self)):
            whole = order[batch * share : (batch + 1) * share]
            mine = whole[self.rank * self.batch_size : (self.rank + 1) * self.batch_size]
            if len(mine):
                yield mine.tolist()


class ExactBatchSampler(Sampler[list[int]]):
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
        self._skipped = 0

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: the order is always that of the list."""

    def skip(self, num_batches: int) -> None:
        """Leave out the first ``num_batches`` batches of the next pass, and of that one only."""
        self._skipped = num_batches

    def __len__(self) -> int:
        """Return the number of batches of a whole pass on this process."""
        return -(-len(self.videos) // self.videos_per_batch)

    def __iter__(self) -> Iterator[list[int]]:
        first, self._skipped = self._skipped, 0
        k = self.clips_per_video
        for batch in range(first, len(self)):
            some = self.videos[batch * self.videos_per_batch : (batch + 1) * self.videos_per_batch]
            yield [i for v in some for i in range(v * k, min((v + 1) * k, self.num_items))]
