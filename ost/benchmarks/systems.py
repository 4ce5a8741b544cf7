"""inference and train-step: OST as a whole, with random weights and made-up texts."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, NamedTuple

import torch
from open_clip import CustomTextCLIP
from torch import Tensor, nn

from ost.benchmarks.core import Report, Settings, race, timed
from ost.benchmarks.solver import dense_loop
from ost.benchmarks.texts import descriptor_prompts, vocabulary
from slowfast.config.load import load_cfg
from slowfast.engine.stepper import Stepper
from slowfast.errors import UsageError
from slowfast.models.clip.build import build_clip
from slowfast.models.clip.text import TextBank
from slowfast.models.encoders import FrameWise
from slowfast.models.heads.category import CategoryHead
from slowfast.models.heads.ost import OSTHead
from slowfast.models.losses import OSTContrastive
from slowfast.models.video_text import VideoTextModel
from slowfast.ops.similarity import normalize
from slowfast.structures import Encoded, ModelOutput
from slowfast.text.prompts import PROMPT_SETS, expand_names
from slowfast.text.tokenize import CONTEXT_LENGTH, tokenize

KINDS = ("spatial", "temporal")
OURS, PUBLISHED = "ours", "published OST loop"
FLOOR = "image tower and class names, open_clip"


class Bench(NamedTuple):
    """A CLIP with random weights, frames B x 3 x T x S x S, and the texts of each kind."""

    clip: CustomTextCLIP
    video_BCTHW: Tensor
    texts: dict[str, list[list[str]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that both benchmarks have."""
    add = parser.add_argument
    add("--arch", default="ViT-B-16-quickgelu", help="open_clip model name or JSON")
    add("--batch", type=int, default=8, help="videos of a batch")
    add("--frames", type=int, default=8, help="frames of a video")
    add("--classes", type=int, default=400)
    add("--descriptors", type=int, default=4, help="descriptors of a class and kind")
    help_text = "inference: classes of the published loop, the rest is extrapolated (0 = all)"
    add("--published-classes", type=int, default=20, help=help_text)
    add("--cfg", dest="cfg_files", nargs="+", default=[], metavar="FILE", help="layered YAML files")
    add("--opts", nargs=argparse.REMAINDER, default=[], help="options over --cfg; must come last")


def set_up(args: argparse.Namespace, settings: Settings) -> Bench:
    """Make the weights, the frames and the texts; a config gives arch, frames and N."""
    if args.opts and not args.cfg_files:
        raise UsageError("--opts changes a config: name one with --cfg")
    if args.cfg_files:
        cfg = load_cfg(args.cfg_files, args.opts)
        args.arch, args.frames = cfg.CLIP.ARCH, cfg.DATA.NUM_FRAMES
        args.descriptors = cfg.OST.N or args.descriptors
    torch.manual_seed(0)
    clip = build_clip(args.arch).to(settings.device)
    size = clip.visual.image_size
    side = size[0] if isinstance(size, Sequence) else size
    video = torch.randn(args.batch, 3, args.frames, side, side, device=settings.device)
    names = vocabulary(args.classes)
    texts = {kind: descriptor_prompts(names, args.descriptors, kind) for kind in KINDS}
    return Bench(clip, video, texts)


def ost_model(bench: Bench, *, in_batch: bool) -> VideoTextModel:
    """Return OST over the bench's towers."""
    banks = {kind: TextBank(own) for kind, own in bench.texts.items()}
    names = vocabulary(len(bench.texts[KINDS[0]]))
    head = OSTHead(vocabulary=names, banks=banks, in_batch=in_batch)
    model = VideoTextModel(clip=bench.clip, encoder=FrameWise(), head=head)
    return model.to(bench.video_BCTHW.device)


def category_model(bench: Bench) -> VideoTextModel:
    """Return the same towers with class names only, and the same objective."""
    names = vocabulary(len(bench.texts[KINDS[0]]))
    bank = TextBank(expand_names(PROMPT_SETS["ost"], names))
    head = CategoryHead(vocabulary=names, bank=bank, in_batch=True)
    model = VideoTextModel(clip=bench.clip, encoder=FrameWise(), head=head)
    return model.to(bench.video_BCTHW.device)


def open_clip_features(bench: Bench) -> Tensor:
    """Return unit frame features B x T x D through open_clip's own call."""
    frames = bench.video_BCTHW.transpose(1, 2).flatten(0, 1)
    features = bench.clip.encode_image(frames, normalize=True)
    return features.unflatten(0, (bench.video_BCTHW.shape[0], -1))


def padded_tokens(bench: Bench, kind: str, classes: int) -> Tensor:
    """Return the token ids of the first classes, (classes * N) x 77."""
    texts = [text for own in bench.texts[kind][:classes] for text in own]
    ids = tokenize(texts)
    ids = nn.functional.pad(ids, (0, CONTEXT_LENGTH - ids.shape[1]))
    return ids.to(bench.video_BCTHW.device)


def published_text(bench: Bench, tokens: dict[str, Tensor]) -> dict[str, Tensor]:
    """Encode texts as the published loop does for every batch: all of them, at 77 tokens."""
    return {kind: bench.clip.encode_text(ids, normalize=True) for kind, ids in tokens.items()}


def published_scores(video_BTD: Tensor, features: dict[str, Tensor], number: int) -> Tensor:
    """Return B x K logits: pooled and transported scores, one solver call for all pairs."""
    total = torch.zeros((), device=video_BTD.device)
    for text_MD in features.values():
        text_KND = text_MD.float().unflatten(0, (-1, number))
        video = video_BTD.float()
        similarity = torch.einsum("btd,knd->bktn", video, text_KND)
        plan, _ = dense_loop((1 - similarity).flatten(0, 1).contiguous())
        transported = (plan.view_as(similarity) * similarity).sum(dim=(-2, -1))
        total = total + transported + video.mean(dim=1) @ text_KND.mean(dim=1).mT
    return 0.5 * 100 * total


def run_inference(args: argparse.Namespace, settings: Settings) -> Report:
    """Measure one batch of videos against all classes."""
    bench = set_up(args, settings)
    model = ost_model(bench, in_batch=False).eval()
    part = min(args.published_classes or args.classes, args.classes)
    scale = args.classes / part
    tokens = {kind: padded_tokens(bench, kind, part) for kind in KINDS}
    shown = {key: getattr(args, key) for key in ("arch", "batch", "frames", "classes")}
    shown |= {"device": settings.device, "bf16": settings.amp}
    report = Report("inference", shown | {"threads": torch.get_num_threads()})
    with torch.inference_mode(), settings.autocast():
        first = timed(lambda: model(bench.video_BCTHW))
        random_text = normalize(torch.randn(args.classes, bench.clip.visual(_one(bench)).shape[1]))
        random_text = random_text.to(bench.video_BCTHW.device)
        calls: dict[str, Callable[[], Any]] = {
            OURS: lambda: model(bench.video_BCTHW),
            FLOOR: lambda: open_clip_features(bench).mean(dim=1).float() @ random_text.mT,
            PUBLISHED: lambda: published_text(bench, tokens),
        }
        rounds = race(calls, settings)
        solved = _solver_parts(args, bench, model, tokens, settings)
    solver, head = (median(seconds) for seconds in solved)
    text_seconds = [seconds * scale for seconds in rounds[PUBLISHED]]
    rounds[PUBLISHED] = [i + t + solver for i, t in zip(rounds[FLOOR], text_seconds)]
    part_note = f" (from {part} of {args.classes} classes)" if part < args.classes else ""
    notes = {
        OURS: f"texts encoded before, once: {max(0.0, first - median(rounds[OURS])):.1f} s",
        PUBLISHED: f"sum of its parts: image tower, {median(text_seconds):.1f} s of texts"
        f"{part_note}, {1e3 * solver:.0f} ms of solver",
    }
    report.add("one batch", rounds, (args.batch, "videos"), notes)
    report.notes.append(f"OST's head (cosines, solver, scores) takes {1e3 * head:.1f} ms of ours")
    report.summarize(PUBLISHED, goal=10)
    report.summarize(FLOOR, goal=0.97)
    return report


def _solver_parts(
    args: argparse.Namespace,
    bench: Bench,
    model: VideoTextModel,
    tokens: dict[str, Tensor],
    settings: Settings,
) -> tuple[list[float], list[float]]:
    """Return the seconds of the published scores, and of our head, with all features given."""
    number, rows = args.descriptors, args.classes * args.descriptors
    video_BTD = open_clip_features(bench)
    few = published_text(bench, tokens)
    features = {k: v.repeat(-(-rows // len(v)), 1)[:rows] for k, v in few.items()}
    calls = {
        "scores": lambda: published_scores(video_BTD, features, number),
        "head": lambda: model.score(Encoded(video_BTD, {})),
    }
    rounds = race(calls, settings)
    return rounds["scores"], rounds["head"]


def _one(bench: Bench) -> Tensor:
    return bench.video_BCTHW[:1, :, 0]


def run_train_step(args: argparse.Namespace, settings: Settings) -> Report:
    """Measure one optimizer step of OST's objective and of class names with the same one."""
    bench = set_up(args, settings)
    labels = torch.arange(args.batch, device=settings.device) % args.classes
    ours, names = ost_model(bench, in_batch=True), category_model(bench)
    calls = {
        "ours, OST": _step(ours, bench.video_BCTHW, labels, settings),
        "class names": _step(names, bench.video_BCTHW, labels, settings),
    }
    shown = {key: getattr(args, key) for key in ("arch", "batch", "frames", "descriptors")}
    shown |= {"device": settings.device, "bf16": settings.amp, "repeats": settings.repeats}
    report = Report("train-step", shown | {"threads": torch.get_num_threads()})
    rounds = race(calls, settings)
    report.add("forward, backward, AdamW", rounds, (args.batch, "videos"))
    ratio = next(row.ratio for row in report.rows if row.ratio is not None)
    report.notes.append(f"an OST step takes {1 / ratio:.3f}x a step with class names (goal 1.04x)")
    return report


def _step(
    model: VideoTextModel, video_BCTHW: Tensor, labels_B: Tensor, settings: Settings
) -> Callable[[], Any]:
    loss = OSTContrastive()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-8)
    dtype = torch.bfloat16 if settings.amp else None
    stepper = Stepper(model, optimizer, amp_dtype=dtype)

    def compute() -> tuple[dict[str, Tensor], ModelOutput]:
        output = model(video_BCTHW, labels_B)
        return loss.directions(output.logits, output.extras["labels"]), output

    def step() -> None:
        model.train()
        stepper.micro_step(compute, iteration=0, iters=1)

    return step
