"""The demo: the main job on an embedded default.

Make the data, train OST on the seen classes and its category-name baseline beside it, test both
on videos of seen and of unseen classes, draw one video's transport plans. Every training and test
is a config of ``configs/demo`` run by ``slowfast.engine.run``, as ``ost run`` does it; a
run that was killed continues where it stopped when it is called again.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from slowfast.checkpoint.checkpointer import Checkpointer
from slowfast.datasets.demo_actions import Sizes
from slowfast.engine.run import run
from slowfast.evaluation.results import write_json
from slowfast.studies.demo_data import Say, demo_config, draw_demo_data
from slowfast.studies.explain import Explainer, confident_videos, draw_explanation
from slowfast.studies.records import epoch_lines, read_record
from slowfast.text import load_classes

PARTS = ("unseen", "seen")
CANDIDATES = 12  # videos among which the one to draw is chosen


class Method(NamedTuple):
    """A row of the table: which trained weights, and how they match videos with texts."""

    title: str
    weights: str
    matching: str


METHODS = {
    "names": Method("category names, same weights", "ost", "category"),
    "names_own": Method("category names, trained on their own", "category", "category"),
    "pooled": Method("pooled descriptors", "ost", "pooled"),
    "ost": Method("OST", "ost", "od_solver"),
}


@dataclass(frozen=True)
class Demo:
    """What to run.

    Args:
        output: folder of all results, one below it for each seed.
        data: folder of the data set.
        seeds: of the trainings; the data set is the same for all.
        sizes: clips per class.
        opts: overrides for every config, keys and values in turn.
        fresh: forget what an earlier run of the same seeds left.
        say: shows a line to the user.
    """

    output: Path = Path("runs/demo")
    data: Path = Path("data/demo_actions")
    seeds: Sequence[int] = (1,)
    sizes: Sizes = field(default_factory=Sizes)
    opts: Sequence[str] = ()
    fresh: bool = False
    say: Say = lambda line: None


class SeedResult(NamedTuple):
    """Top-1 in percent by part ("unseen", "seen") and method, and the last epoch's losses."""

    seed: int
    top1: dict[str, dict[str, float]]
    loss: dict[str, float]


class DemoResult(NamedTuple):
    """All seeds, the chance level of each part in percent, and the picture (None without one)."""

    seeds: list[SeedResult]
    chance: dict[str, float]
    picture: Path | None


def run_demo(demo: Demo) -> DemoResult:
    """Run what is not done yet and return all results.

    Raises:
        DataError: the data folder holds something else.
        UsageError: the results of a seed were made with other settings, or impossible settings.
        Interrupted: SIGINT or SIGTERM; the same call continues.
    """
    if demo.fresh:
        for seed in demo.seeds:
            shutil.rmtree(seed_folder(demo, seed), ignore_errors=True)
    draw_demo_data(demo.data, demo.sizes, output=demo.output, say=demo.say)
    results = [_finished(demo, seed) or _run_seed(demo, seed) for seed in demo.seeds]
    picture = seed_folder(demo, demo.seeds[0]) / "transport_plan.png"
    drawn = picture if picture.is_file() else _draw(demo, demo.seeds[0], picture)
    chance = {
        part: 100 / len(load_classes(_config(demo, f"test_{part}").TEXT.SUBSET)) for part in PARTS
    }
    return DemoResult(results, chance, drawn)


def seed_folder(demo: Demo, seed: int) -> Path:
    """Return where the results of ``seed`` are."""
    return demo.output / f"seed_{seed}"


def table(result: DemoResult) -> list[tuple[str, dict[str, str]]]:
    """Return the rows to print: a title, and the text of each part.

    Over several seeds it is the mean, with the figure of each seed behind it.
    """
    rows = [("chance", {part: f"{level:.1f}" for part, level in result.chance.items()})]
    for key, method in METHODS.items():
        rows.append((method.title, {part: _figure(result, part, key) for part in PARTS}))
    return rows


def _figure(result: DemoResult, part: str, method: str) -> str:
    values = [seed.top1[part][method] for seed in result.seeds]
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{statistics.mean(values):.1f}  ({', '.join(f'{value:.1f}' for value in values)})"


def _settings(demo: Demo) -> dict[str, Any]:
    """Return what the results of a seed depend on."""
    return {"opts": list(demo.opts), "sizes": demo.sizes._asdict()}


def _finished(demo: Demo, seed: int) -> SeedResult | None:
    """Return the results of a seed that has been run to its end; None if there is work left."""
    path = seed_folder(demo, seed) / "demo.json"
    found = read_record(path, _settings(demo))
    if found is None:
        write_json(path, {"settings": _settings(demo)})
        return None
    if "top1" not in found:
        demo.say(f"seed {seed} was begun before: continuing")
        return None
    demo.say(f"seed {seed} is finished: {path} (--fresh starts over)")
    return SeedResult(seed, found["top1"], found["loss"])


def _config(demo: Demo, name: str, opts: Sequence[object] = ()) -> Any:
    return demo_config(name, demo.data, (*opts, *demo.opts))


def _run_seed(demo: Demo, seed: int) -> SeedResult:
    folder, losses = seed_folder(demo, seed), {}
    for weights in ("ost", "category"):
        title = "OST" if weights == "ost" else "the baseline on category names"
        demo.say(f"seed {seed}: training {title} on the seen classes ({folder / weights})")
        opts = ["RNG_SEED", seed, "OUTPUT_DIR", folder / weights]
        run(_config(demo, weights, opts))
        losses[weights] = epoch_lines(folder / weights / "json_stats.log")[-1]["loss"]
    top1: dict[str, dict[str, float]] = {}
    for part in PARTS:
        demo.say(f"seed {seed}: testing on {part} classes")
        top1[part] = {
            method: run(_test_config(demo, seed, part, method))["test"]["top1"]
            for method in METHODS
        }
    content = {"settings": _settings(demo), "top1": top1, "loss": losses}
    write_json(folder / "demo.json", content)
    return SeedResult(seed, top1, losses)


def _test_config(demo: Demo, seed: int, part: str, method: str) -> Any:
    _, weights, matching = METHODS[method]
    folder = seed_folder(demo, seed)
    opts = [
        *("RNG_SEED", seed, "OST.MATCHING", matching),
        *("OUTPUT_DIR", folder / f"test_{part}_{method}"),
        *("TEST.CHECKPOINT_FILE_PATH", Checkpointer(folder / weights).latest()),
    ]
    return _config(demo, f"test_{part}", opts)


def _draw(demo: Demo, seed: int, path: Path) -> Path | None:
    """Draw, of the most confident right recognitions, the one with the most decided plans."""
    demo.say("drawing the transport plans of one video of an unseen class")
    cfg = _test_config(demo, seed, "unseen", "ost")
    (predictions,) = Path(cfg.OUTPUT_DIR).glob("predictions*")
    videos = confident_videos(predictions, CANDIDATES)
    if not videos:
        demo.say("no video was recognised, so there is nothing to draw")
        return None
    explain = Explainer(cfg)
    best = max((explain(video) for video in videos), key=lambda found: found.sharpness)
    return draw_explanation(best, path, note=", none of them seen in training")
