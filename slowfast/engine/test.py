"""The multi-view test: every view of every listed video scored once, on any number of processes.

Read ``test`` first, then the functions that it calls, from top to bottom.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn
from torch.utils.data import DataLoader

from slowfast.config.derive import view_counts
from slowfast.datasets.loader import construct_loader, processes_here
from slowfast.engine.batches import as_batch
from slowfast.engine.facts import describe_test, options_read
from slowfast.engine.figures import open_writer, plot_scores
from slowfast.engine.header import say_test
from slowfast.engine.report import log_result, say_result, write_result
from slowfast.engine.scoring import Scorer, chunks, reported
from slowfast.engine.setup import (
    class_names,
    describe_model,
    display_mode,
    prepare,
    video_paths,
    warn_of_one_class,
    with_views,
)
from slowfast.engine.weights import load_test_weights, placement, say_what_is_tested
from slowfast.errors import DataError, UsageError
from slowfast.evaluation.half_class import half_class
from slowfast.evaluation.meters import TestMeter
from slowfast.evaluation.metrics import one_label_map
from slowfast.evaluation.multiview import VideoScores
from slowfast.evaluation.results import summarize, write_json
from slowfast.launch.group import check_same_data
from slowfast.models.build import build_model, unwrap
from slowfast.utils import distributed as du
from slowfast.utils.logging import say
from slowfast.utils.progress import progress_line
from slowfast.visualization.tensorboard_vis import TensorboardWriter

SWEPT = ("top1", "top5", "map", "half_class")


def test(cfg: Any) -> dict[str, Any]:
    """Test what ``cfg`` says, on this process or as one rank of several.

    Returns:
        What ``results.json`` holds: protocol, views, videos scored of listed, ``top1``, ``top5``,
        ``per_class`` and so on; with several view counts that of the last, and all of them under
        ``sweep``, by their number of clips.

    Raises:
        UsageError: no weights, or weights that do not fit; impossible settings.
        DataError: videos could not be read (unless TEST.ALLOW_FAILED, which reports them only).
    """
    prepare(cfg)
    counts = view_counts(cfg)
    # Before the model: a list is quicker to get wrong than weights.
    loaders = {clips: construct_loader(with_views(cfg, clips), "test") for clips in counts}
    model = unwrap(build_model(cfg))
    gflops = describe_model(cfg, model)
    weights = load_test_weights(cfg, model)
    say_what_is_tested(cfg, model, weights)
    device, precision = placement(model)
    names = class_names(cfg, model)
    warn_of_one_class(names)
    writer = open_writer(cfg, names)
    say_test(cfg, model, loaders[counts[0]].dataset, str(weights), counts)
    results: dict[int, dict[str, Any]] = {}
    for clips, loader in loaders.items():
        view_cfg = with_views(cfg, clips)
        check_same_data("test", loader.dataset)
        scores = score_videos(view_cfg, model, loader, writer)
        paths = video_paths(loader.dataset)
        result = {
            "protocol": cfg.TEST.PROTOCOL,
            "split": cfg.TEST.SPLIT,
            **describe_test(view_cfg, model, paths),
            **weights.facts(),
            "device": device,
            "precision": precision,
            "num_clips": clips,
            "num_crops": cfg.TEST.NUM_SPATIAL_CROPS,
            "views": f"{cfg.DATA.NUM_FRAMES}x{cfg.TEST.NUM_SPATIAL_CROPS}x{clips}",
            "ensemble": f"{cfg.DATA.ENSEMBLE_METHOD} of {cfg.TEST.ENSEMBLE_SPACE}",
            **summarize(scores, names),
            **further_measures(cfg, scores),
            "config": options_read(view_cfg, model),
        }
        results[clips] = result
        folder = result_folder(cfg, clips if len(counts) > 1 else None)
        space, multi_label = cfg.TEST.ENSEMBLE_SPACE, cfg.DATA.MULTI_LABEL
        shown = reported(scores, space, multi_label=multi_label)
        files = write_result(folder, cfg, result, shown, names, paths)
        log_result(result, gflops, model)
        say_result(result, shown, folder, files)
        plot_scores(writer, scores, clips)
    return finish(cfg, results)


test.__test__ = False  # type: ignore[attr-defined] # a name that PySlowFast's scripts import; not for pytest


def result_folder(cfg: Any, clips: int | None) -> Path:
    """Return OUTPUT_DIR, or below it the folder of one of several view counts."""
    folder = Path(cfg.OUTPUT_DIR)
    return folder if clips is None else folder / f"views_{clips}x{cfg.TEST.NUM_SPATIAL_CROPS}"


def score_videos(
    cfg: Any, model: nn.Module, loader: DataLoader, writer: TensorboardWriter | None = None
) -> VideoScores:
    """Return the scores of all listed videos, gathered over ranks; every rank calls it.

    ``writer`` gets the clips of this rank that were classified wrongly, if it is to show them.
    """
    views = cfg.TEST.NUM_ENSEMBLE_VIEWS * cfg.TEST.NUM_SPATIAL_CROPS
    views = getattr(loader.dataset, "num_clips_per_video", views)
    clips = getattr(loader.dataset, "num_videos", None)
    clips = len(loader.dataset) if clips is None else clips  # type: ignore[arg-type]
    if clips % views:
        raise UsageError(
            f"TEST.DATASET {cfg.TEST.DATASET} has {clips} clips, which is no multiple of "
            f"NUM_ENSEMBLE_VIEWS x NUM_SPATIAL_CROPS = {views}: its num_videos must count clips"
        )
    scorer = Scorer.from_cfg(cfg, model, restrict=cfg.TEST.HALF_CLASS_DRAWS > 0)
    ensemble = scorer.ensemble(clips // views, views)
    share = max(1, cfg.TEST.BATCH_SIZE // processes_here(cfg))
    meter = TestMeter.from_cfg(cfg, len(loader))
    with progress_line(display_mode(cfg), len(loader), "test", log_period=cfg.LOG_PERIOD) as line:
        meter.reset()
        meter.iter_tic()
        for iteration, item in enumerate(loader):
            batch = as_batch(item)
            meter.data_toc()
            ensemble.fail(batch.meta.get("failed", []))
            for part in chunks(batch, share):
                outputs = scorer(part)
                ensemble.update(outputs, part.labels, part.index)
                if writer is not None and not scorer.features and not scorer.multi_label:
                    writer.add_wrong_predictions(part.inputs, outputs, part.labels)
            meter.iter_toc()
            meter.update_stats(len(batch))
            meter.log_iter_stats(iteration)
            line.advance(len(batch))
            meter.iter_tic()
    scores = scorer.finish(ensemble.gather())
    meter.finalize(summarize(scores))
    return scores


def further_measures(cfg: Any, scores: VideoScores) -> dict[str, Any]:
    """Return what TEST.MAP and TEST.HALF_CLASS_DRAWS ask for, keys ``map`` and ``half_class``.

    ``map_of`` says which rule made the mean average precision: two rules do not compare. Neither is
    there without a scored video.
    """
    out: dict[str, Any] = {}
    table, labels = scores.of_scored()
    if not len(labels):
        return out
    if rule := cfg.TEST.MAP:
        probabilities = table if cfg.TEST.ENSEMBLE_SPACE == "prob" else table.double().softmax(1)
        double = rule == "double_softmax"
        value = one_label_map(probabilities, labels, double_softmax=double)
        out |= {"map": value, "map_of": rule}
    if draws := cfg.TEST.HALF_CLASS_DRAWS:
        out["half_class"] = half_class(
            table, labels, draws, restrict=lambda columns: scores.restricted(columns)[scores.scored]
        )
    return out


def finish(cfg: Any, results: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Return the last result; with several, OUTPUT_DIR's ``results.json`` holds their sweep too.

    Raises DataError where videos failed, since such a test is no success.
    """
    last = dict(list(results.values())[-1])
    if len(results) > 1:
        last["sweep"] = {
            str(clips): {key: result[key] for key in SWEPT if key in result}
            for clips, result in results.items()
        }
        if du.is_root_proc():
            write_json(Path(cfg.OUTPUT_DIR, "results.json"), last)
    if du.is_root_proc():
        say(f"next: ost summarize {cfg.OUTPUT_DIR}")
    failed = last["failed"]
    if failed and not cfg.TEST.ALLOW_FAILED:
        first = failed[0]
        raise DataError(
            f"{len(failed)} of {last['num_videos_listed']} videos could not be scored, the first "
            f"{first['path']}: {first['reason']}; all are in {cfg.OUTPUT_DIR}/results.json. "
            "Repair them, or accept the result as it is with TEST.ALLOW_FAILED True"
        )
    return last
