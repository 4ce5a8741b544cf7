"""Everything that a resumed run needs to go on as if it had never stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from slowfast.utils import distributed as du
from slowfast.utils.logging import get_logger
from slowfast.utils.rng import RngState

logger = get_logger(__name__)


@dataclass
class Progress:
    """Where the training stands: the next micro-step is ``iteration`` of ``epoch`` (from 0)."""

    epoch: int = 0
    iteration: int = 0
    iters: int = 0

    def state_dict(self) -> dict[str, int]:
        """Return the position and the micro-steps of an epoch, which say what it means."""
        return {"epoch": self.epoch, "iteration": self.iteration, "iters": self.iters}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go to a saved position; one within an epoch is scaled if epochs have another length now.

        The number of micro-steps changes with the batch size or the list of videos; the position
        then moves to the same share of the epoch, which is said aloud.
        """
        self.epoch, self.iteration = state["epoch"], state["iteration"]
        before = state.get("iters", self.iters)
        if self.iteration and before != self.iters:
            self.iteration = min(self.iters - 1, self.iteration * self.iters // max(1, before))
            logger.warning(
                f"an epoch had {before} iterations when this checkpoint was saved and has "
                f"{self.iters} now; going on at iteration {self.iteration}, not bit-exactly"
            )


class RankState:
    """What differs between ranks: random generators, and unreadable videos.

    ``broken`` are those that this rank's loader replaced in the current epoch: path to reason.
    """

    def __init__(self) -> None:
        self.broken: dict[str, str] = {}

    def note(self, broken: list[tuple[str, str]]) -> None:
        """Take in a batch's ``meta["broken"]``."""
        self.broken.update((str(path), str(reason)) for path, reason in broken)

    def broken_of_all(self) -> dict[str, str]:
        """Return the broken videos of all ranks, sorted by path; every rank calls it."""
        found = [pair for part in du.all_gather_object(self.broken) for pair in part.items()]
        return dict(sorted(found))

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the state of every rank, in rank order; every rank calls it."""
        mine = {"generators": RngState().state_dict(), "broken": dict(self.broken)}
        return du.all_gather_object(mine)

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Take this rank's part; with another number of ranks the generators start anew."""
        if len(states) != du.get_world_size():
            logger.warning(
                f"this checkpoint was saved by {len(states)} processes and is resumed by "
                f"{du.get_world_size()}: random generators start anew, not bit-exactly"
            )
            return
        mine = states[du.get_rank()]
        RngState().load_state_dict(mine["generators"])
        self.broken = dict(mine["broken"])


@contextmanager
def generators_kept() -> Iterator[None]:
    """Leave every random generator as it was, whatever the block draws.

    An evaluation must not change the training that follows it: a resumed run may repeat it.
    """
    before = RngState().state_dict()
    try:
        yield
    finally:
        RngState().load_state_dict(before)
