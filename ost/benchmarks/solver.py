"""solver: many small transport problems at once, against one after the other and a dense loop."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ost.benchmarks.core import Report, Settings, importable, peak_memory, race, timed
from slowfast.ops.similarity import cosines, normalize
from slowfast.ops.sinkhorn import sinkhorn

EPSILON, MAX_ITER, TOLERANCE = 0.1, 100, 1e-2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this benchmark."""
    add = parser.add_argument
    add("--videos", type=int, default=64)
    add("--classes", type=int, default=400)
    add("--frames", type=int, default=32)
    add("--descriptors", type=int, default=4)
    add("--features", nargs="+", default=["clip", "isotropic"], choices=["clip", "isotropic"])
    add("--pot-problems", type=int, default=300, help="problems that POT solves, then extrapolated")
    add("--chunks", type=int, nargs="*", default=[256, 2048], help="chunk sizes to show memory of")


def unit_features(kind: str, args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Return unit frame features B x T x D and text features K x N x D.

    "isotropic": directions without any structure in 64 dimensions, cosines about -0.6 to 0.6.
    "clip": 512 dimensions in which all frames share a direction, all texts another, a video its
    own; cosines about 0.05 to 0.35, as CLIP's are.
    """
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    B, T, K, N = args.videos, args.frames, args.classes, args.descriptors
    if kind == "isotropic":
        return normalize(noise(B, T, 64)), normalize(noise(K, N, 64))
    D = 512
    shared, frame, text = noise(D), noise(D), noise(D)
    video_BTD = 0.55 * shared + 0.7 * frame + 0.6 * noise(B, 1, D) + 0.4 * noise(B, T, D)
    text_KND = 0.55 * shared + 0.7 * text + 0.6 * noise(K, 1, D) + 0.5 * noise(K, N, D)
    return normalize(video_BTD), normalize(text_KND)


def dense_loop(cost_PTN: Tensor, *, copy: bool) -> tuple[Tensor, int]:
    """Solve all problems with batched matrix products until their mean change is small.

    The batch-wide rule of the released code, looked at on the host after each iteration.

    Args:
        cost_PTN: contiguous.
        copy: transpose the kernel into new memory in each iteration, as that code does.
    """
    pairs, rows, columns = cost_PTN.shape
    kernel = torch.exp(-cost_PTN / EPSILON)
    row = cost_PTN.new_ones(pairs, rows, 1)
    column = cost_PTN.new_ones(pairs, columns, 1)
    count, change = 0, float("inf")
    while count < MAX_ITER and change >= TOLERANCE:
        before, count = row, count + 1
        row = (1 / rows) / torch.matmul(kernel, column)
        turned = kernel.mT.contiguous() if copy else kernel.mT
        column = (1 / columns) / torch.matmul(turned, row)
        change = (row - before).abs().mean().item()
    return row * kernel * column.mT, count


def pot_loop(cost_PTN: Tensor, problems: int) -> None:
    """Solve the first ``problems`` one after the other with POT, in its default float type."""
    ot = importlib.import_module("ot")
    rows, columns = cost_PTN.shape[1:]
    for cost in cost_PTN[:problems].double().cpu().numpy():
        ot.sinkhorn(
            [1 / rows] * rows, [1 / columns] * columns, cost, EPSILON,
            numItermax=MAX_ITER, stopThr=TOLERANCE, warn=False,
        )  # fmt: skip


def run(args: argparse.Namespace, settings: Settings) -> Report:
    """Measure every kind of features."""
    sizes = f"{args.videos} x {args.classes} problems of {args.frames} x {args.descriptors}"
    shown: dict[str, Any] = {"problems": sizes, "device": settings.device}
    shown |= {"threads": torch.get_num_threads(), "repeats": settings.repeats}
    report = Report("solver", shown)
    for kind in args.features:
        video, text = (x.to(settings.device) for x in unit_features(kind, args))
        # The layout in which the head hands its costs over; the dense loop gets what suits it.
        cost = 1 - cosines(video, text)
        flat = cost.flatten(0, 1).contiguous()
        own = sinkhorn(cost, epsilon=EPSILON, max_iter=MAX_ITER, tolerance=TOLERANCE)
        plan, count = dense_loop(flat, copy=False)
        gap = float((sinkhorn(cost, stop_rule="batch").plan.flatten(0, 1) - plan).abs().max())
        calls: dict[str, Callable[[], Any]] = {
            "ours": partial(sinkhorn, cost),
            "ours, batch rule": partial(sinkhorn, cost, stop_rule="batch"),
            "dense loop": partial(dense_loop, flat, copy=False),
            "dense loop, copying": partial(dense_loop, flat, copy=True),
        }
        rounds = race(calls, settings)
        number = min(args.pot_problems, len(flat))
        if importable(report, "ot"):
            pot_loop(flat, 1)
            seconds = timed(partial(pot_loop, flat, number))
            rounds["POT, one by one"] = [seconds * len(flat) / number]
        notes = {
            "ours": f"{float(own.iterations.float().mean()):.2f} iterations in the mean, "
            f"{int(own.iterations.max())} at most",
            "ours, batch rule": f"{count} iterations; plans within {gap:.0e} of the dense loop's",
            "dense loop": f"{count} iterations for all",
            "POT, one by one": f"extrapolated from {number} of {len(flat)} problems",
        }
        low, high = (1 - cost).aminmax()
        case = f"{kind}, cosines {float(low):.2f}..{float(high):.2f}"
        report.add(case, rounds, items=len(flat), unit="problems", notes=notes)
        _memory(report, settings, kind, cost, flat, args.chunks)
    report.summarize("dense loop", goal=3)
    report.summarize("POT, one by one", goal=1000)
    return report


def _memory(
    report: Report,
    settings: Settings,
    kind: str,
    cost: Tensor,
    flat: Tensor,
    chunks: list[int],
) -> None:
    plans = cost.numel() * cost.element_size() / 2**20
    calls: dict[str, Callable[[], Any]] = {"default chunk": partial(sinkhorn, cost)}
    calls |= {f"chunk {c}": partial(sinkhorn, cost, chunk=c) for c in chunks}
    calls["dense loop"] = partial(dense_loop, flat, copy=False)
    found = [f"{name} {peak_memory(call, settings.device):.0f}" for name, call in calls.items()]
    report.notes.append(
        f"{kind}: MiB above the start, {plans:.0f} of them the plans: {', '.join(found)}"
    )
