"""solver: many small transport problems at once, against POT's batches and a dense loop."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ost.benchmarks.core import Report, Settings, importable, peak_memory, race
from slowfast.ops.similarity import cosines, normalize
from slowfast.ops.sinkhorn import sinkhorn

EPSILON, MAX_ITER, TOLERANCE = 0.1, 100, 1e-2
SAMPLE = 200  # problems whose exact plans judge the others


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this benchmark."""
    add = parser.add_argument
    add("--videos", type=int, default=64)
    add("--classes", type=int, default=400)
    add("--frames", type=int, default=32)
    add("--descriptors", type=int, default=4)
    add("--features", nargs="+", default=["clip", "isotropic"], choices=["clip", "isotropic"])


def unit_features(kind: str, args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Return unit frame features B x T x D and text features K x N x D.

    "isotropic": directions without any structure in 64 dimensions, cosines about -0.6 to 0.6.
    "clip": 512 dimensions in which all frames share a direction, all texts another, a video its
    own; cosines about 0.05 to 0.35, as CLIP's are.
    """
    noise = partial(torch.randn, generator=torch.Generator().manual_seed(0))
    B, T, K, N = args.videos, args.frames, args.classes, args.descriptors
    if kind == "isotropic":
        return normalize(noise(B, T, 64)), normalize(noise(K, N, 64))
    D = 512
    shared, frame, text = noise(D), noise(D), noise(D)
    video_BTD = 0.55 * shared + 0.7 * frame + 0.6 * noise(B, 1, D) + 0.4 * noise(B, T, D)
    text_KND = 0.55 * shared + 0.7 * text + 0.6 * noise(K, 1, D) + 0.5 * noise(K, N, D)
    return normalize(video_BTD), normalize(text_KND)


def dense_loop(cost_PTN: Tensor) -> tuple[Tensor, int]:
    """Solve all problems with batched matrix products until their mean change is small.

    The batch-wide rule of the released code, looked at on the host after each iteration.
    """
    pairs, rows, columns = cost_PTN.shape
    kernel = torch.exp(-cost_PTN / EPSILON)
    row = cost_PTN.new_ones(pairs, rows, 1)
    column = cost_PTN.new_ones(pairs, columns, 1)
    count, change = 0, float("inf")
    while count < MAX_ITER and change >= TOLERANCE:
        before, count = row, count + 1
        row = (1 / rows) / torch.matmul(kernel, column)
        column = (1 / columns) / torch.matmul(kernel.mT, row)
        change = (row - before).abs().mean().item()
    return row * kernel * column.mT, count


def pot_batch(cost_PTN: Tensor, method: str, tolerance: float) -> Tensor:
    """Solve all problems with ``ot.batch.solve_batch``; returns the plans P x T x N."""
    batch = importlib.import_module("ot.batch")
    solved = batch.solve_batch(
        cost_PTN, EPSILON, max_iter=1000, tol=tolerance, method=method, grad="detach"
    )
    return solved.plan


def equal_tolerance(sample: Tensor, exact: Tensor, method: str, error: float) -> float:
    """Return the loosest tolerance (a power of ten) with which POT's plans are as good as ours."""
    for power in range(1, 8):
        plan = pot_batch(sample, method, 10.0**-power)
        if float((plan - exact).abs().mean()) <= error:
            break
    return 10.0**-power


def run(args: argparse.Namespace, settings: Settings) -> Report:
    """Measure every kind of features."""
    sizes = f"{args.videos} x {args.classes} problems of {args.frames} x {args.descriptors}"
    shown: dict[str, Any] = {"problems": sizes, "device": settings.device}
    shown |= {"threads": torch.get_num_threads(), "repeats": settings.repeats}
    report = Report("solver", shown)
    methods = ("sinkhorn", "log_sinkhorn") if importable(report, "ot.batch") else ()
    for kind in args.features:
        video, text = (x.to(settings.device) for x in unit_features(kind, args))
        # The layout in which the head hands its costs over; the others get what suits them.
        cost = 1 - cosines(video, text)
        flat = cost.flatten(0, 1).contiguous()
        own = sinkhorn(cost, epsilon=EPSILON, max_iter=MAX_ITER, tolerance=TOLERANCE)
        some = slice(None, None, -(-len(flat) // SAMPLE))
        exact = sinkhorn(flat[some].double(), epsilon=EPSILON, max_iter=2000, tolerance=0).plan
        error = float((own.plan.flatten(0, 1)[some] - exact).abs().mean())
        plan, count = dense_loop(flat)
        gap = float((sinkhorn(cost, stop_rule="batch").plan.flatten(0, 1) - plan).abs().max())
        calls: dict[str, Callable[[], Any]] = {
            "ours": partial(sinkhorn, cost),
            "ours, batch rule": partial(sinkhorn, cost, stop_rule="batch"),
            "dense loop": partial(dense_loop, flat),
        }
        notes = {
            "ours": f"{float(own.iterations.float().mean()):.2f} iterations in the mean, "
            f"{int(own.iterations.max())} at most; entries of plans off by {error:.0e} in the mean",
            "ours, batch rule": f"{count} iterations; plans within {gap:.0e} of the dense loop's",
        }
        for method in methods:
            tolerance = equal_tolerance(flat[some], exact, method, error)
            calls[f"POT, {method}"] = partial(pot_batch, flat, method, tolerance)
            found = float((pot_batch(flat[some], method, tolerance) - exact).abs().mean())
            notes[f"POT, {method}"] = f"tolerance {tolerance:g}: off by {found:.0e}"
        low, high = (1 - cost).aminmax()
        case = f"{kind}, cosines {float(low):.2f}..{float(high):.2f}"
        report.add(case, race(calls, settings), (len(flat), "problems"), notes)
        grown = ", ".join(f"{n} {peak_memory(c, settings.device):.0f}" for n, c in calls.items())
        plans = cost.numel() * cost.element_size() / 2**20
        report.notes.append(f"{kind}: MiB above the start, {plans:.0f} of them plans: {grown}")
    report.summarize("dense loop", goal=3)
    for method in methods:
        report.summarize(f"POT, {method}", goal=1)
    return report
