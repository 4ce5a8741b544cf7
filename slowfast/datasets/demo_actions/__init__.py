"""A small data set of drawn actions, written as H.264 files by a generator."""

from slowfast.datasets.demo_actions.vocabulary import Composition, compositions, write_texts
from slowfast.datasets.demo_actions.writer import Sizes, demo_actions

__all__ = ["Composition", "Sizes", "compositions", "demo_actions", "write_texts"]
