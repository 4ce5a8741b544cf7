from __future__ import annotations

import csv
import io
import math
import statistics
from pathlib import Path

import pytest
import yaml

from slowfast.errors import UsageError
from slowfast.evaluation.published import Published, parse_published
from slowfast.evaluation.result_entry import parse_result
from slowfast.evaluation.spread import harmonic_mean
from slowfast.evaluation.summary import gather
from slowfast.evaluation.tables import (
    MEASURED,
    build_grid,
    to_console,
    to_csv,
    to_latex,
    to_markdown,
)
from tests.evaluation.results_data import content

FILE = Path(__file__).parents[2] / "label_db" / "published_results.yaml"
K600 = {"dataset": "kinetics600", "classes": "label_db/kinetics600/classes.csv"}
HMDB = {"dataset": "hmdb51", "classes": "label_db/hmdb51/classes.csv", "num_videos_listed": 1530}


@pytest.fixture(scope="module")
def published():
    return parse_published(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def results(published, *contents):
    return [parse_result(f"r{i}.json", data, published) for i, data in enumerate(contents)]


def three_splits(**changes):
    return [content(split=str(i), top1=58.0 + i, **changes) for i in (1, 2, 3)]


# ---- the published figures ----


def test_published_figures_are_whole(published):
    known = {"kinetics400", "kinetics600", "ucf101", "hmdb51", "ssv2", "activitynet200"}
    assert {entry.dataset for entry in published.entries} == known
    assert {entry.protocol for entry in published.entries} == {
        *("zero_shot", "few_shot", "base_to_novel", "fully_supervised")
    }
    for entry in published.entries:
        assert entry.source
        names = {entry.test_set} - {""}
        assert names <= set(published.test_sets.get(entry.dataset, {})), entry


def test_published_harmonic_means_follow_from_their_parts(published):
    rows = [entry for entry in published.entries if entry.protocol == "base_to_novel"]
    assert len(rows) > 40
    for entry in rows:
        figures = entry.figures  # each rounded to a tenth
        expected = harmonic_mean(figures["base"], figures["novel"])
        assert figures["hm"] == pytest.approx(expected, abs=0.11), entry


@pytest.mark.parametrize(
    ("facts", "figures"),
    [
        ({"dataset": "ucf101", "frames": "32", "clip_ratio": 0.2}, {79.7}),
        ({"dataset": "ucf101", "frames": "32", "clip_ratio": 0.0}, {80.1}),
        ({"dataset": "ucf101", "frames": "8", "clip_ratio": 0.2}, {77.9}),
        ({"dataset": "hmdb51", "variant": "matching pooled"}, {53.3}),
        ({"dataset": "hmdb51", "variant": "descriptors 8"}, {53.0}),
        ({"dataset": "kinetics600", "test_set": "7k videos"}, set()),
        ({"dataset": "ucf101", "variant": "never published"}, set()),
        ({"dataset": "ucf101", "method": "ViFi-CLIP", "frames": "32", "views": "1x1"}, {76.8}),
        ({"dataset": "hmdb51", "protocol": "few_shot", "start": "K400"}, {64.8}),
        ({"dataset": "ucf101", "protocol": "few_shot", "method": "vanilla CLIP"}, {63.6}),
    ],
)
def test_the_published_figure_of_the_nearest_setting(published, facts, figures):
    known = {"source": "", "protocol": "zero_shot", "method": "OST", "arch": "ViT-B-16"}
    wanted = Published(**{**known, "figures": {}, **facts})
    found = published.closest(wanted)
    assert {next(iter(entry.figures.values())) for entry in found} == figures


@pytest.mark.parametrize(
    ("facts", "figure"),
    [
        ({"model": "OSTText4Vis", "arch": "ViT-B-32-quickgelu", "num_frames": 16}, 79.8),
        ({"model": "Text4Vis", "num_frames": 8}, 81.4),
        ({"model": "Text4Vis", "num_frames": 8, "num_clips": 4, "num_crops": 3}, 82.9),
        ({"model": "ViFiCLIP", "variant": ["text tower tuned"]}, 73.1),
        ({"model": "ViFiCLIP", "variant": []}, 83.9),
        ({"model": "CLIP"}, None),
        ({"model": "OST"}, None),  # frame-wise: the paper's rows stand on Text4Vis
    ],
)
def test_fully_supervised_results_stand_beside_their_own_rows(published, facts, figure):
    fusion = "sum of feature" if facts["model"] == "Text4Vis" else "sum of prob"
    data = content(protocol="fully_supervised", dataset="kinetics400", split="val", clip_ratio=0.0)
    result = parse_result("r.json", {**data, "ensemble": fusion, **facts}, published)
    (table,) = gather([result], published=published)
    beside = [round(entry.figures["top1"], 1) for entry in table.rows[0].published]
    assert set(beside) == ({figure} if figure else set())


@pytest.mark.parametrize(
    ("facts", "stated"),
    [
        # FROSTER's base-to-novel lists of HMDB51 carry the exchanged names.
        (("FROSTER", "base_to_novel", "hmdb51"),
         {("labels", "classes_published.csv"), ("via", "")}),
        (("AIM", "base_to_novel", "hmdb51"), {("labels", "classes_published.csv"), ("via", "")}),
        (("X-CLIP", "base_to_novel", "ucf101"), {("labels", ""), ("via", "restated there")}),
        (("Open-VCLIP", "base_to_novel", "hmdb51"), {("labels", ""), ("via", "restated there")}),
        (("MoTE", "zero_shot", "kinetics600"), {("test_set", "14k videos"), ("views", "3x1")}),
        (("PE-AV small with sound", "zero_shot", "kinetics400"), {("averaging", "")}),
        (("OST", "few_shot", "ssv2"), {("descriptors", "released")}),
        (("OST on Text4Vis", "fully_supervised", "activitynet200"),
         {("descriptors", "not released")}),
        (("ViFi-CLIP", "few_shot", "ssv2"), {("descriptors", "")}),
    ],
)  # fmt: skip
def test_published_rows_say_what_they_are_of(published, facts, stated):
    rows = [e for e in published.entries if (e.method, e.protocol, e.dataset) == facts]
    assert rows
    for name, value in stated:
        assert {getattr(row, name) for row in rows} == {value}, name


def test_what_is_quoted_from_memory_is_marked(published):
    recalled = {(e.method, e.dataset): e.figures for e in published.entries if e.via == "recalled"}
    half = {"half_top1": 84.6, "half_top1_std": 1.4, "top1": 77.4}
    assert recalled["Text4Vis", "activitynet200"] == half
    assert recalled["TC-CLIP", "hmdb51"] == {"top1": 53.7}  # without its ensemble
    assert {method for method, _ in recalled} == {"Text4Vis", "TC-CLIP"}


def test_rows_say_whose_descriptors_were_used(published):
    """Runs with other texts share no mean, and stand beside figures of the released ones."""
    files = {
        "ours": "label_db/ucf101/descriptors/spatial_4.json",
        "released": "/texts/released/ucf101/spatial_4.json",
        "mine": "mine/spatial_4.json",
    }
    own = [
        content(options={"TEXT.SPATIAL": path, "TEXT.TEMPORAL": path}) for path in files.values()
    ]
    (table,) = gather(results(published, *own, content(options={}, model="CLIP")),
                      published=published)  # fmt: skip
    assert [row.setting.descriptors for row in table.rows] == ["mine", "ours", "released", ""]
    grid = build_grid(table)
    shown = [row[grid.header.index("descriptors")] for row in grid.rows]
    assert shown == ["mine", "ours", "released", "released", "", ""]
    assert "descriptors" in to_csv([table]).splitlines()[0].split(",")


@pytest.mark.parametrize(
    ("dataset", "listed", "name"),
    [
        ("kinetics600", 14084, "14k videos"),
        ("kinetics600", 13500, "14k videos"),
        ("kinetics600", 7226, "7k videos"),
        ("kinetics600", 10000, ""),
        ("ucf101", 13320, "all videos"),
        ("hmdb51", 1529, "official test lists"),
        ("hmdb51", 12, ""),
        ("ssv2", 24777, ""),
    ],
)
def test_test_sets_are_told_apart_by_their_size(published, dataset, listed, name):
    assert published.test_set_of(dataset, listed) == name


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": None}, "needs source, protocol, columns, rows"),
        ({"extra": 1}, "needs source"),
        ({"columns": ["top2"]}, "unknown columns top2"),
        ({"rows": [{"method": "A", "ucf101": [1.0, 2.0]}]}, "up to 1 numbers"),
        ({"rows": [{"method": "A", "ucf101": [101.0]}]}, "expected percentages"),
        ({"rows": [{"method": "A", "frame": 3}]}, "frame of .* list of up to"),
        ({"rows": [{"ucf101": [1.0]}]}, "needs a method"),
        ({"common": {"colour": "red"}}, "may have method, arch"),
    ],
)
def test_mistakes_in_the_published_file_are_named(change, words):
    table = {"source": "A paper", "protocol": "zero_shot", "columns": ["top1"]}
    table |= {"rows": [{"method": "A", "ucf101": [1.0]}], **change}
    table = {key: value for key, value in table.items() if value is not None}
    with pytest.raises(UsageError, match=words):
        parse_published({"methods": {}, "test_sets": {}, "tables": [table]}, source="f.yaml")


def test_a_published_file_of_another_form_is_refused():
    with pytest.raises(UsageError, match="f.yaml: expected the keys"):
        parse_published([], source="f.yaml")


def test_an_unknown_method_is_answered_with_the_known_ones(published):
    with pytest.raises(UsageError, match="'OTS'; known: .*OST"):
        published.check_method("OTS")


# ---- means ----


def test_splits_are_averaged_and_both_deviations_kept(published):
    (table,) = gather(results(published, *three_splits()), published=published)
    (row,) = table.rows
    cell = row.cells["top1"]
    assert cell.mean == pytest.approx(60.0)
    assert cell.spread.sample_std == pytest.approx(statistics.stdev([59, 60, 61]))
    assert cell.spread.population_std == pytest.approx(math.sqrt(2 / 3))
    assert row.runs == "3 splits"
    assert [entry.figures["top1"] for entry in row.published] == [79.7]


def test_what_differs_gets_rows_and_protocols_get_tables(published):
    others = [
        content(clip_ratio=0.0),
        content(num_frames=8),
        content(num_clips=4, num_crops=3),
        content(num_clips=4, num_crops=3, ensemble="max of prob"),
        content(variant=["matching pooled"]),
        content(variant=["matching pooled", "descriptors 8"]),
        content(model="Mine"),
        content(model="Mine", variant=["contrastive"]),
        content(arch="tests/tiny.json"),
        content(subset="label_db/demo_actions/seen.txt"),
    ]
    tables = gather(results(published, *three_splits(), *others, content(protocol="mine")))
    assert [table.protocol for table in tables] == ["mine", "zero_shot"]
    settings = {row.setting for row in tables[1].rows}
    assert len(tables[1].rows) == 1 + len(others)
    assert {s.variant for s in settings} >= {
        *("", "matching pooled", "matching pooled, descriptors 8", "contrastive"),
    }
    assert {s.views for s in settings} == {"1x1", "4x3", "4x3, max of prob"}
    assert {s.arch for s in settings} == {"ViT-B-16", "tiny"}
    assert {s.part for s in settings} == {"", "seen"}


def test_runs_that_are_no_grid_are_counted(published):
    own = [content(split="1", seed=1), content(split="2", seed=2)]
    assert gather(results(published, *own))[0].rows[0].runs == "2 runs"
    own += [content(split="1", seed=2), content(split="2", seed=1)]
    assert gather(results(published, *own))[0].rows[0].runs == "2 splits x 2 seeds"


def test_by_split_shows_the_published_figure_once(published):
    (table,) = gather(results(published, *three_splits()), by=["split"], published=published)
    assert [row.runs for row in table.rows] == ["split 1", "split 2", "split 3"]
    assert [len(row.published) for row in table.rows] == [0, 0, 1]


def test_splits_of_classes_are_splits_of_one_test(published):
    own = [
        content(**K600, split=str(i), subset=f"x/zero_shot_split{i}.txt", num_videos_listed=n)
        for i, n in ((1, 14084), (2, 13978), (3, 14136))
    ]
    (table,) = gather(results(published, *own), published=published)
    assert table.rows[0].runs == "3 splits"
    assert table.rows[0].setting.part == "zero_shot"
    assert table.rows[0].published[0].figures["top5"] == 94.6


def base_to_novel(role, seed, top1, **changes):
    facts = {"protocol": "base_to_novel", "split": "", "subset": f"label_db/ucf101/{role}.txt"}
    lists = {"train_list": f"base_train_16shot_seed{seed}.csv", "clip_ratio": 0.0}
    return content(**{**facts, **lists, "top1": top1, **changes})


def test_the_harmonic_mean_is_of_the_averaged_accuracies(published):
    values = {"base": (90.0, 92.0, 94.0), "novel": (60.0, 70.0, 68.0)}
    own = [base_to_novel(r, i + 1, v) for r, three in values.items() for i, v in enumerate(three)]
    (table,) = gather(results(published, *own), published=published)
    (row,) = table.rows
    assert table.columns == ("base", "novel", "hm")
    assert row.cells["hm"].mean == pytest.approx(2 * 92 * 66 / (92 + 66))
    assert row.cells["hm"].spread is None
    assert row.runs == "3 seeds"


@pytest.mark.parametrize(
    ("base", "novel"),
    [
        ({"split": "base"}, {"split": "novel"}),
        ({"seed": 2}, {"seed": 2, "train_list": ""}),
        ({"split": "base_1"}, {"split": "novel_1"}),
    ],
)
def test_base_and_novel_are_found_to_be_of_one_run(published, base, novel):
    own = [
        content(**{**base_to_novel("base", 2, 90), **base}),
        content(**{**base_to_novel("novel", 2, 60), **novel}),
    ]
    (table,) = gather(results(published, *own))
    assert table.rows[0].cells["hm"].mean == pytest.approx(72.0)


def test_no_harmonic_mean_over_different_runs(published):
    own = [base_to_novel("base", 1, 90), base_to_novel("base", 2, 90), base_to_novel("novel", 1, 6)]
    (table,) = gather(results(published, *own))
    assert "hm" not in table.rows[0].cells
    assert "base over 2, novel over 1" in table.rows[0].note


def test_shots_are_columns_and_starts_are_rows(published):
    own = [
        content(protocol="few_shot", shots=k, top1=50.0 + k + s, seed=s, clip_ratio=0.0, start=at)
        for k in (16, 2)
        for s in (1, 2)
        for at in ("", "runs/kinetics400/best.pyth")
    ]
    (table,) = gather(results(published, *own), published=published)
    assert table.columns == ("2", "16")
    assert [row.setting.start for row in table.rows] == ["CLIP", "K400"]
    assert table.rows[0].cells["16"].mean == pytest.approx(67.5)
    assert table.rows[1].published[0].figures["16"] == 96.2


def test_trainings_on_all_videos_are_told_apart_by_their_start(published):
    facts = {"model": "Text4Vis", "protocol": "fully_supervised", "split": "val"}
    facts |= {"arch": "ViT-L-14-quickgelu", "num_frames": 16, "ensemble": "sum of feature"}
    own = [
        content(**facts, top1=90.0 + s, seed=s, start=at, clip_ratio=0.0)
        for s in (1, 2)
        for at in ("", "runs/kinetics400/best.pyth")
    ]
    (table,) = gather(results(published, *own), published=published)
    assert [(row.setting.start, row.runs) for row in table.rows] == [
        ("CLIP", "2 seeds"), ("K400", "2 seeds")]  # fmt: skip
    assert not table.rows[0].published  # the released weights were trained on Kinetics-400 first
    assert {entry.start for entry in table.rows[1].published} == {"K400"}


def test_checkpoints_of_two_runs_are_two_starts(published):
    name = "checkpoints/checkpoint_epoch_00010.pyth"
    own = [
        content(protocol="few_shot", shots=2, start=f"runs/{run}/{name}")
        for run in ("ssv2", "activitynet200")
    ]
    (table,) = gather(results(published, *own))
    starts = ["activitynet200_epoch_00010", "ssv2_epoch_00010"]
    assert [row.setting.start for row in table.rows] == starts


def test_two_files_of_one_name_are_two_starts_and_else_no_digest_is_shown(published):
    digests = ("aaaaaaaaaaaa", "bbbbbbbbbbbb")
    facts = {"protocol": "few_shot", "shots": 2, "start": "runs/k400.pyth"}
    runs = [
        content(**facts, split=str(split), top1=top1, start_digest=digest)
        for digest, top1 in zip(digests, (60.0, 70.0))
        for split in (1, 2)
    ]
    (table,) = gather(results(published, *runs), published=published)
    assert [(row.setting.start, row.cells["2"].mean) for row in table.rows] == [
        ("K400", 60.0),
        ("K400", 70.0),
    ]
    text = to_console(build_grid(table))
    assert all(f"K400 {digest}" in text for digest in digests)
    for alone in (runs[:2], [*runs[:1], content(**facts, split="2")]):
        (table,) = gather(results(published, *alone), published=published)
        assert len(table.rows) == 1
        assert "aaaa" not in to_console(build_grid(table))


def test_multi_label_results_have_a_column_of_their_own(published):
    data = content(map=55.0)
    del data["top1"], data["top5"]
    (table,) = gather(results(published, data))
    assert table.columns == ("map",)


def half(*tops, **changes):
    runs = [
        {"seed": s, "top1": v, "top5": None if v is None else v + 1} for s, v in enumerate(tops)
    ]
    return content(half_class={"draws": len(tops), "runs": runs}, split="all", **changes)


def test_half_class_columns_are_means_over_draws(published):
    own = results(published, half(80.0, 84.0, None, 88.0))
    (table,) = gather(own)
    assert table.columns == ("top1", "top5", "half_top1", "half_top5")
    cell = table.rows[0].cells["half_top1"]
    assert (cell.mean, cell.spread.runs) == (84.0, 3)  # a draw without videos counts for nothing
    assert own[0].figures["half_top5"] == 85.0
    grid = build_grid(table)  # the deviation is the population's, whatever is shown of other runs
    assert grid.rows[0][grid.header.index("half-class top-1")] == f"84.0 ±{(32 / 3) ** 0.5:.1f}"
    assert grid.notes[0] == (
        "half-class: mean over random halves of the classes, "
        "± population standard deviation (divided by n) over these draws"
    )
    (line,) = [
        r for r in csv.DictReader(io.StringIO(to_csv([table]))) if "half-class top-1" in r.values()
    ]
    assert float(line["sample_std"]) == 4.0
    assert line["runs"] == "3"


def test_half_class_draws_of_several_runs_are_pooled(published):
    (table,) = gather(results(published, half(80.0, 84.0), half(82.0, 90.0, seed=2, top1=62.0)))
    cells = table.rows[0].cells
    assert cells["half_top1"].mean == 84.0
    assert cells["half_top1"].spread.population_std == pytest.approx(14.0**0.5)
    assert cells["top1"].mean == 61.0
    notes = build_grid(table).notes
    assert notes[0].startswith("±: sample standard deviation")
    assert notes[1].startswith("half-class: mean over random halves")


def test_one_draw_has_no_deviation_and_shots_have_no_halves(published):
    (table,) = gather(results(published, half(80.0)))
    grid = build_grid(table)
    assert grid.rows[0][grid.header.index("half-class top-5")] == "81.0"
    assert grid.notes[0] == "half-class: mean over random halves of the classes"
    (table,) = gather(results(published, half(80.0, protocol="few_shot", shots=4)))
    assert table.columns == ("4",)


def test_accuracy_and_map_of_one_label_stand_side_by_side(published):
    anet = {"dataset": "activitynet200", "classes": "label_db/activitynet200/classes.csv"}
    facts = {"model": "Text4Vis", "protocol": "fully_supervised", "arch": "ViT-L-14-quickgelu"}
    facts["start"] = "runs/kinetics400_l14_f16.pyth"  # as published
    own = content(**anet, **facts, num_frames=16, map=96.1, map_of="softmax", clip_ratio=0.0)
    (table,) = gather(results(published, own), published=published)
    assert table.columns == ("top1", "top5", "map")
    text = to_markdown(build_grid(table))
    assert "96.1" in text
    assert "96.5" in text
    assert "published (Text4Vis README, double softmax)" in text
    assert "TEST.MAP double_softmax" not in text
    (table,) = gather(results(published, {**own, "map_of": "double_softmax"}))
    assert any("TEST.MAP double_softmax" in note for note in build_grid(table).notes)


def test_views_fused_as_features_stand_beside_figures_of_as_many_views(published):
    facts = {"model": "Text4Vis", "protocol": "fully_supervised", "dataset": "kinetics400"}
    own = content(**facts, num_frames=8, num_clips=4, num_crops=3, ensemble="sum of feature")
    (table,) = gather(results(published, own), published=published)
    (row,) = table.rows
    assert row.setting.views == "4x3, sum of feature"
    assert {entry.views for entry in row.published} == {"4x3"}


# ---- refusals ----


def test_two_rules_of_map_do_not_share_a_mean(published):
    own = [
        content(map=90.0, map_of=rule, seed=i)
        for i, rule in enumerate(("softmax", "double_softmax"))
    ]
    with pytest.raises(UsageError, match=r"mAP of several rules.*double_softmax \(1 result\)"):
        gather(results(published, *own))


def test_label_lists_do_not_share_a_mean(published):
    named = {**HMDB, "classes": "label_db/hmdb51/classes_published.csv"}
    own = results(published, content(**HMDB), content(**named, split="2"))
    with pytest.raises(
        UsageError, match=r"hmdb51.*classes_published.csv \(1 result\).*--by labels"
    ):
        gather(own)
    (table,) = gather(own, by=["labels"], published=published)
    assert [row.setting.labels for row in table.rows] == ["", "classes_published.csv"]


def test_the_order_of_names_in_a_subset_is_a_label_list_too(published):
    own = [base_to_novel("base", 1, 90), base_to_novel("novel_published", 1, 60)]
    with pytest.raises(UsageError, match=r"novel_published.txt \(1 result\)"):
        gather(results(published, *own))


def test_the_two_kinetics600_test_sets_do_not_share_a_mean(published):
    own = results(
        published,
        content(**K600, num_videos_listed=14084),
        content(**K600, num_videos_listed=7226, split="2"),
    )
    with pytest.raises(UsageError, match=r"14k videos \(1 result\) and 7k videos.*--by test_set"):
        gather(own)
    (table,) = gather(own, by=["test_set"], published=published)
    assert [row.setting.test_set for row in table.rows] == ["14k videos", "7k videos"]
    assert [entry.test_set for row in table.rows for entry in row.published] == ["14k videos"]


def test_one_split_is_one_list_of_videos(published):
    own = [content(test_videos="aa"), content(test_videos="bb", seed=2, test_list="other.txt")]
    with pytest.raises(UsageError, match=r"split '1' was tested on different videos.*other.txt"):
        gather(results(published, *own))


def test_two_results_of_the_same_split_and_seed(published):
    with pytest.raises(UsageError, match=r"two results of split '1' and seed 1: r0.json and r1"):
        gather(results(published, content(), content(top1=61.0)))
    one = results(published, content())
    assert gather([*one, *one])[0].rows[0].runs == "split 1"


def test_a_test_without_a_protocols_name_is_an_own_one(published):
    (table,) = gather(results(published, content(protocol="")), published=published)
    assert table.protocol == "own"
    (row,) = table.rows
    assert (row.cells["top1"].mean, row.published) == (content()["top1"], ())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"protocol": "few_shot", "train_list": "t.csv"}, "'t.csv' does not say how many shots"),
        ({"protocol": "base_to_novel", "subset": "x/all.txt"}, "neither base.txt nor novel.txt"),
        ({"top1": None, "top5": None}, "no video was scored"),
    ],
)
def test_results_that_cannot_be_placed(published, changes, words):
    with pytest.raises(UsageError, match=words):
        results(published, content(**changes))


def test_a_result_of_an_older_version_is_refused():
    with pytest.raises(UsageError, match="lacks .*dataset.*: test again"):
        parse_result("a/results.json", {"protocol": "zero_shot", "split": "1", "top1": 3.0})


# ---- text ----


@pytest.fixture
def table(published):
    own = [*three_splits(num_videos_scored=3782), *three_splits(**HMDB, num_videos_scored=1530)]
    return gather(results(published, *own), published=published)[0]


def test_the_terminal_shows_each_figure_beside_its_source(table):
    lines = to_console(build_grid(table)).splitlines()
    assert lines[0].startswith("zero_shot, method OST, arch ViT-B-16, frames 32, views 1x1")
    own = next(line for line in lines if line.startswith("ucf101") and MEASURED in line)
    assert "60.0 ±1.0" in own
    assert "11346 of 11349" in own
    other = next(line for line in lines if "79.7 ±1.1" in line)
    assert "published (OST paper, Table 1)" in other
    assert MEASURED not in other
    hmdb = [line for line in lines if line.startswith("hmdb51")]
    assert ["classes.csv" in hmdb[0], "classes_published.csv" in hmdb[1]] == [True, True]
    assert "±: sample standard deviation (divided by n-1) over the runs of a row" in lines
    assert "videos listed but not scored: 3; each results.json names its own" in lines
    assert "weights: k400.pyth x 0.8 + openai x 0.2" in lines


def test_the_deviation_shown_can_be_the_populations(table):
    text = to_console(build_grid(table, std="population", digits=2))
    assert "60.00 ±0.82" in text
    assert "divided by n)" in text


def test_markdown_rows_have_as_many_cells_as_the_header(table):
    lines = [row for row in to_markdown(build_grid(table)).splitlines() if row.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert len({len(line) for line in lines}) == 1
    assert set(lines[1]) <= set("|-: ")


def test_latex_is_escaped_and_balanced(table):
    text = to_latex(build_grid(table))
    assert "zero\\_shot" in text
    assert "$\\pm$" in text
    body = [line for line in text.splitlines() if line.endswith("\\\\")]
    columns = text.split("\\begin{tabular}{")[1].split("}")[0]
    assert {line.count(" & ") for line in body} == {len(columns) - 1}
    assert text.count("\\begin") == text.count("\\end")


def test_csv_has_every_figure_with_both_deviations(table):
    rows = list(csv.DictReader(io.StringIO(to_csv([table]))))
    own = [row for row in rows if row["result"] == MEASURED]
    assert {row["measure"] for row in own} == {"top-1", "top-5"}
    first = next(row for row in own if (row["data set"], row["measure"]) == ("ucf101", "top-1"))
    assert float(first["population_std"]) == pytest.approx(math.sqrt(2 / 3), abs=1e-5)
    assert float(first["sample_std"]) == pytest.approx(1.0)
    assert first["runs"] == "3"
    assert first["weights"] == "k400.pyth x 0.8 + openai x 0.2"
    assert all("published (" in row["result"] for row in rows if row not in own)


def test_what_is_not_stated_stays_empty_and_what_is_unusual_is_said(published):
    own = results(published, content(**{**HMDB, "num_videos_listed": 6}))
    (table,) = gather(own, published=published, methods=["X-CLIP"])
    grid = build_grid(table)
    facts = [dict(zip(grid.header, row)) for row in grid.rows]
    assert [row["test set"] for row in facts] == ["other list", "official test lists"]
    assert facts[1]["CLIP share"] == ""
    assert grid.notes[-1] == "empty cells of published rows: not stated there"


def test_many_weights_are_shortened(published):
    own = [content(seed=i, weights=f"w{i}.pyth") for i in range(6)]
    (table,) = gather(results(published, *own))
    assert build_grid(table).notes[-1] == "weights: 3 more, all of them in the form csv"


def test_methods_of_choice_stand_beside_a_row(published):
    own = results(published, *three_splits())
    (table,) = gather(own, published=published, methods=["ViFi-CLIP", "MAXI"])
    text = to_console(build_grid(table))
    assert "76.8" in text
    assert "78.2" in text
    assert "79.7" not in text
