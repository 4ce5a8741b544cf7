"""pytorchvideo's builders of video networks, imported where they are needed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from slowfast.errors import UsageError


def import_networks(wanted: str) -> Any:
    """Return the module ``pytorchvideo.models`` with its hub and builders.

    Args:
        wanted: the option (and value) that needs it, for the message.

    Raises:
        UsageError: pytorchvideo is not installed.
    """
    try:
        with warnings.catch_warnings():
            # Its own use of torch.jit, which nobody here can change.
            warnings.simplefilter("ignore", FutureWarning)
            # Its hub imports every builder.
            import pytorchvideo.models.hub
    except ImportError as error:
        raise UsageError(
            f"{wanted} needs pytorchvideo ({error}): pip install 'pytorchvideo'"
        ) from None
    return pytorchvideo.models


def create_network(
    builder: Callable[..., nn.Module], arguments: Mapping[str, Any], source: str
) -> nn.Module:
    """Return ``builder(**arguments)``, with random weights.

    Args:
        builder: a ``create_...`` function of pytorchvideo.
        arguments: its keyword arguments.
        source: where they come from, for the message.

    Raises:
        UsageError: the builder does not take them.
    """
    try:
        return builder(**arguments)
    except (AssertionError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{source}: not usable by {builder.__name__}: {error}") from None
