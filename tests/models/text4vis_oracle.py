"""Text4Vis's image tower and temporal head, written out in loops over formulas, in float64.

Nothing of the package is used, and no module of open_clip: only tensors by their names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

State = Mapping[str, Tensor]


def layer_norm(x: Tensor, state: State, name: str, eps: float) -> Tensor:
    centred = x - x.mean(dim=-1, keepdim=True)
    variance = centred.square().mean(dim=-1, keepdim=True)
    weight, bias = state[f"{name}.weight"].double(), state[f"{name}.bias"].double()
    return centred / (variance + eps).sqrt() * weight + bias


def linear(x: Tensor, state: State, name: str) -> Tensor:
    return x @ state[f"{name}.weight"].double().T + state[f"{name}.bias"].double()


def attention(x_LW: Tensor, state: State, name: str, heads: int) -> Tensor:
    packed = x_LW @ state[f"{name}.in_proj_weight"].double().T
    query, key, value = (packed + state[f"{name}.in_proj_bias"].double()).chunk(3, dim=-1)
    size, parts = x_LW.shape[-1] // heads, []
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        weights = (query[:, part] @ key[:, part].T / math.sqrt(size)).softmax(dim=-1)
        parts.append(weights @ value[:, part])
    return linear(torch.cat(parts, dim=-1), state, f"{name}.out_proj")


def mlp(x: Tensor, state: State, name: str) -> Tensor:
    hidden = linear(x, state, f"{name}.c_fc")
    return linear(hidden * torch.sigmoid(1.702 * hidden), state, f"{name}.c_proj")


def shifted(values: list[Tensor], fold: int) -> list[Tensor]:
    """Shift arrays (... x channels) of T times: the first fold from t + 1, the next from t - 1."""
    count, result = len(values), []
    for t in range(count):
        new = values[t].clone()
        for c in range(fold):
            new[..., c] = values[t + 1][..., c] if t + 1 < count else 0
        for c in range(fold, 2 * fold):
            new[..., c] = values[t - 1][..., c] if t > 0 else 0
        result.append(new)
    return result


def filtered(values: list[Tensor], weight_W13: Tensor) -> list[Tensor]:
    """Filter vectors over three times, each channel by its own taps."""
    count, result = len(values), []
    for t in range(count):
        new = torch.zeros_like(values[t])
        for tap in range(3):
            if 0 <= t + tap - 1 < count:
                new += weight_W13[:, 0, tap].double() * values[t + tap - 1]
        result.append(new)
    return result


def on_class_tokens(frames: list[Tensor], change: Callable[[list[Tensor]], list[Tensor]]) -> list:
    new = change([tokens[0] for tokens in frames])
    return [torch.cat([first[None], tokens[1:]]) for first, tokens in zip(new, frames)]


def control(frames: list[Tensor], state: State, block: str, temporal: str) -> list[Tensor]:
    width = frames[0].shape[-1]
    if temporal == "tokenshift":
        return on_class_tokens(frames, lambda v: shifted(v, width // 4))
    if temporal == "tokent1d":
        weight = state[f"{block}.control_point.conv.weight"]
        return on_class_tokens(frames, lambda v: filtered(v, weight))
    return frames


def tower(
    state: State, video_TCHW: Tensor, *, heads: int, temporal: str = "off", joint: bool = False
) -> Tensor:
    """Return the features of one video: T x D, or 1 x D with ``joint``."""
    kernel = state["conv1.weight"].double()
    patch, width = kernel.shape[-1], kernel.shape[0]
    frames = []
    for image in video_TCHW.double():
        tokens = [state["class_embedding"].double()]
        for top in range(0, image.shape[1], patch):
            for left in range(0, image.shape[2], patch):
                cut = image[:, top : top + patch, left : left + patch]
                tokens.append((kernel * cut).flatten(1).sum(dim=1))
        frames.append(torch.stack(tokens) + state["positional_embedding"].double())
    if joint:
        times = state["time_embedding"].double()
        sequence = [frames[0][0]]
        for n in range(1, len(frames[0])):
            sequence += [frame[n] + times[t] for t, frame in enumerate(frames)]
        frames = [torch.stack(sequence)]
    frames = [layer_norm(x, state, "ln_pre", 1e-5) for x in frames]
    depth = 1 + max(int(key.split(".")[2]) for key in state if key.startswith("transformer."))
    for number in range(depth):
        block = f"transformer.resblocks.{number}"
        if temporal == "tsm":
            patches = shifted([x[1:] for x in frames], width // 8)
            frames = [torch.cat([x[:1], rest]) for x, rest in zip(frames, patches)]
        frames = control(frames, state, block, temporal)
        frames = [
            x
            + attention(layer_norm(x, state, f"{block}.ln_1", 1e-5), state, f"{block}.attn", heads)
            for x in frames
        ]
        frames = control(frames, state, block, temporal)
        frames = [
            x + mlp(layer_norm(x, state, f"{block}.ln_2", 1e-5), state, f"{block}.mlp")
            for x in frames
        ]
    first = torch.stack([layer_norm(x[0], state, "ln_post", 1e-5) for x in frames])
    return first @ state["proj"].double()


def temporal_head(state: State, features_TD: Tensor, *, heads: int) -> Tensor:
    """Return blocks(f + P) + f of one video."""
    given = features_TD.double()
    x = given + state["frame_position_embeddings.weight"][: len(given)].double()
    for number in range(6):
        block = f"transformer.resblocks.{number}"
        normed = layer_norm(x, state, f"{block}.ln_1", 1e-12)
        x = x + attention(normed, state, f"{block}.attn", heads)
        x = x + mlp(layer_norm(x, state, f"{block}.ln_2", 1e-12), state, f"{block}.mlp")
    return x + given
