"""The matrix in a reduced form: two encoders, two heads, one video a class, one short epoch."""

import json
import multiprocessing
import sys
from functools import partial
from pathlib import Path

import pytest

from ost.cli import call
from ost.matrix import show_table
from slowfast.datasets.demo_actions import Sizes
from slowfast.errors import Interrupted, UsageError
from slowfast.models import ENCODER_REGISTRY, HEAD_REGISTRY, MODEL_REGISTRY
from slowfast.studies import matrix as matrix_module
from slowfast.studies import matrix_jobs
from slowfast.studies.matrix import (
    COLUMNS,
    ROWS,
    TEACHER,
    Matrix,
    Pair,
    RememberedVideos,
    Task,
    choose_pairs,
    read_result,
    run_task,
    step_time,
)
from slowfast.studies.matrix_jobs import plan_tasks, run_matrix, write_train_list
from slowfast.studies.matrix_table import BEGIN, END, build_table, to_json, to_markdown, write_docs

SIZES = Sizes(1, 1, 1)
OPTS = ("SOLVER.MAX_EPOCH", "1", "SOLVER.WARMUP_EPOCHS", "0.0", "DATA.NUM_FRAMES", "2")
PAIRS = choose_pairs(["framewise:category", "framewise:frozen", "transf:category", "transf:frozen"])

main = partial(call, "matrix")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, demo_data):
    path = tmp_path_factory.mktemp("matrix")
    (path / "data").symlink_to(demo_data)
    return path


def reduced(folder: Path, **changes) -> Matrix:
    given = {"pairs": PAIRS, "seeds": (1,), "sizes": SIZES, "opts": OPTS, **changes}
    return Matrix(folder / "run", folder / "data", **given)


@pytest.fixture(scope="module")
def interrupted(folder):
    """End a run in the test of its second pair; return when the first result was written."""
    calls: list[str] = []
    original = matrix_module.run

    def run(cfg):
        calls.append(cfg.OUTPUT_DIR)
        if len(calls) == 4:
            raise Interrupted("interrupted by SIGINT")
        return original(cfg)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix_module, "run", run)
        patch.setattr(matrix_jobs, "run_workers", lambda fn, args, count: fn(0, *args))
        patch.setattr(sys, "stdout", sys.stdout)  # a worker replaces it
        with pytest.raises(Interrupted):
            run_matrix(reduced(folder))
    assert calls[3].endswith("framewise/frozen/seed_1/test_unseen")
    return (reduced(folder).folder(Task(TEACHER, 1)) / "result.json").stat().st_mtime_ns


@pytest.fixture(scope="module")
def results(folder, interrupted):
    """The same run again, on two processes."""
    said: list[str] = []
    found = run_matrix(reduced(folder), jobs=2, say=said.append)
    return found, said


def test_the_same_command_continues_without_repeating_what_is_done(
    results, folder, interrupted
) -> None:
    found, said = results
    first = reduced(folder).folder(Task(TEACHER, 1)) / "result.json"
    assert first.stat().st_mtime_ns == interrupted
    half = reduced(folder).folder(Task(Pair("framewise", "frozen"), 1)) / "train"
    assert (half / "json_stats.log").read_text().count("train_epoch") == 1
    assert [task.pair for task in found] == list(PAIRS)
    assert not any("failed" in result for result in found.values()), found
    assert any("4 trainings, 1 of them are done" in line for line in said)
    shown = [line for line in said if "a minute" in line]
    assert len(shown) == 3
    assert shown[-1].startswith("3/3 ")
    assert shown[-1].endswith("0:00:00 left)")


def test_every_pair_has_its_figures(results) -> None:
    for task, result in results[0].items():
        assert 0 <= result["top1"] <= 100
        assert result["videos"] == 16
        assert result["step_ms"] > 0
        assert 0 < result["trained"] < result["parameters"]
        head = COLUMNS[task.pair.column].head
        assert (head == "FrozenClassifier") == (
            result["trained"] < 900_000 + 1_200_000 * (task.pair.row == "transf")
        ), task


def test_weights_are_kept_of_the_teacher_alone(results, folder) -> None:
    kept = sorted(path.parent.parent.parent for path in folder.rglob("checkpoint_epoch*"))
    assert kept == [reduced(folder).folder(Task(TEACHER, 1))]
    assert not list(folder.rglob("start.pyth"))


def test_a_finished_run_is_shown_again_without_training(results, folder, monkeypatch) -> None:
    monkeypatch.setattr(matrix_jobs, "run_workers", lambda *args, **kw: pytest.fail("trained"))
    assert run_matrix(reduced(folder)) == results[0]


def test_other_settings_are_refused_and_fresh_replaces(results, folder, monkeypatch) -> None:
    other = reduced(folder, opts=(*OPTS, "SOLVER.BASE_LR", "0.1"), pairs=PAIRS[:1])
    with pytest.raises(UsageError, match=r"result\.json was made with .*--fresh"):
        run_matrix(other)
    started: list[int] = []
    path = other.folder(Task(TEACHER, 1))
    path.rename(path.with_name("kept"))
    path.mkdir()
    (path / "result.json").write_text("old")
    monkeypatch.setattr(matrix_jobs, "run_workers", lambda *args, count: started.append(count))
    run_matrix(other, jobs=5, fresh=True)
    assert started == [1]
    assert not (path / "result.json").exists()
    path.with_name("kept").rename(path)


def test_the_table_has_a_cell_for_each_pair(results, folder) -> None:
    table = build_table(reduced(folder), results[0])
    assert (table.rows, table.columns) == (("framewise", "transf"), ("category", "frozen"))
    text = to_markdown(table)
    assert text.count(" ms<br>") == 4
    assert "| FrameWise |" in text
    assert "its text tower starts from, and stays at, the one that framewise:category" in text
    data = to_json(reduced(folder), table)
    assert json.loads(json.dumps(data))["pairs"][0]["head"] == ["CategoryHead"]


# ---- the parts ----


def test_unreadable_pairs_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no pair 'framewise': write ENCODER:HEAD.*framewise"):
        choose_pairs(["framewise"])
    assert len(choose_pairs()) == len(ROWS) * len(COLUMNS)


def test_the_teacher_is_added_and_comes_first() -> None:
    tasks = plan_tasks(Matrix(pairs=(Pair("joint", "frozen"), TEACHER), seeds=(1, 2)))
    assert [str(task) for task in tasks] == [
        "framewise:category seed 1",
        "joint:frozen seed 1",
        "framewise:category seed 2",
        "joint:frozen seed 2",
    ]
    assert [task.pair for task in plan_tasks(Matrix(pairs=(Pair("joint", "frozen"),), seeds=(1,)))][
        0
    ] == TEACHER
    assert plan_tasks(Matrix(pairs=(Pair("joint", "ost"),), seeds=(1,))) == [
        Task(Pair("joint", "ost"), 1)
    ]


def test_teachers_are_run_before_what_starts_from_them(tmp_path, folder, monkeypatch) -> None:
    waves: list[list[str]] = []

    def note(fn, args, count) -> None:
        waves.append([str(task) for task in args[1]])

    monkeypatch.setattr(matrix_jobs, "run_workers", note)
    pairs = choose_pairs(["framewise:category", "framewise:frozen"])
    run_matrix(Matrix(tmp_path, folder / "data", pairs, (1, 2), SIZES, opts=OPTS))
    assert waves == [
        ["framewise:category seed 1", "framewise:category seed 2"],
        ["framewise:frozen seed 1", "framewise:frozen seed 2"],
    ]


def test_every_task_is_taken_once() -> None:
    taken = multiprocessing.Value("i", 0)
    assert [matrix_jobs._take("ab", taken) for _ in range(4)] == ["a", "b", None, None]


def test_a_taught_pair_without_its_teacher_says_so(tmp_path, folder) -> None:
    matrix = Matrix(tmp_path, folder / "data", sizes=SIZES, opts=OPTS)
    with pytest.raises(UsageError, match="starts from the texts of framewise:category seed 1"):
        run_task(matrix, Task(Pair("framewise", "frozen"), 1))


def test_an_impossible_pair_is_a_result_with_the_words_of_the_refusal(tmp_path, folder) -> None:
    matrix = Matrix(tmp_path, folder / "data", choose_pairs(["joint:ost"]), (1,), SIZES, opts=OPTS)
    (task,) = plan_tasks(matrix)
    result = run_task(matrix, task)
    assert "OSTHead needs ['frames'] of the encoder" in result["refused"]
    assert read_result(matrix, task) == result
    table = build_table(matrix, {task: result})
    assert "| - |" in to_markdown(table)
    assert any('"-" at joint:ost: MODEL.HEAD_NAME OSTHead needs' in note for note in table.notes)


def test_a_refusal_is_not_kept(tmp_path, folder, monkeypatch) -> None:
    matrix = Matrix(tmp_path, folder / "data", choose_pairs(["joint:ost"]), (1,), SIZES, opts=OPTS)
    run_task(matrix, plan_tasks(matrix)[0])
    started: list[int] = []
    monkeypatch.setattr(matrix_jobs, "run_workers", lambda *args, count: started.append(count))
    run_matrix(matrix)
    assert started == [1]


def test_failures_stand_in_the_table_by_their_last_line() -> None:
    matrix = Matrix(pairs=(TEACHER,), seeds=(1, 2))
    good = {"top1": 50.0, "step_ms": 9.0, "trained": 1, "parameters": 2}
    bad = {"failed": "Traceback\n  ...\nValueError: no\n"}
    table = build_table(matrix, {Task(TEACHER, 1): good, Task(TEACHER, 2): bad})
    assert table.cells[TEACHER].reason == "failed: ValueError: no"


def test_step_time_is_the_median_of_the_epochs(tmp_path) -> None:
    records = [("train_epoch", 0.5), ("train_iter_", 9.0), ("train_epoch", 0.2)]
    records += [("train_epoch", 0.3), ("val_epoch", 7.0)]
    lines = [f"json_stats: {json.dumps({'_type': kind, 'dt_net': dt})}" for kind, dt in records]
    (tmp_path / "stats").write_text("\n".join(lines))
    assert step_time(tmp_path / "stats") == pytest.approx(300.0)


def test_remembered_videos_are_those_of_the_ordinary_data_set(folder, monkeypatch) -> None:
    matrix = reduced(folder)
    write_train_list(matrix)
    cfg = matrix.config("matrix", Task(TEACHER, 1))
    own, plain = RememberedVideos(cfg, "train"), matrix_module.VideoDataset(cfg, "train")
    for epoch in (0, 1):
        for data in (own, plain):
            data.set_epoch(epoch)
        for mine, other in zip(own.__getitems__([3, 5]), plain.__getitems__([3, 5])):
            assert mine[2] == other[2]
            assert mine[0][0].equal(other[0][0])
    monkeypatch.setattr(own, "open", lambda video: pytest.fail("it was read again"))
    assert len(own.__getitems__([5, 3])) == 2
    other_seed = RememberedVideos(matrix.config("matrix", Task(TEACHER, 2)), "train")
    other_seed.__getitems__([0])
    assert {key[0] for key in matrix_module._SAMPLES} == {2}


def test_a_page_gets_the_table_between_its_marks(tmp_path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_docs(page, "new\n")
    assert page.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    page.write_text(f"{END} {BEGIN}")
    with pytest.raises(UsageError, match="expected the marks"):
        write_docs(page, "new\n")


def test_the_tool_prints_and_writes_the_table(results, folder, capsys, monkeypatch) -> None:
    monkeypatch.setattr(matrix_jobs, "run_matrix", lambda *args, **kw: results[0])
    page = folder / "page.md"
    page.write_text(f"{BEGIN}{END}")
    where = ["--output", str(folder / "run"), "--data", str(folder / "data"), "--seeds", "1"]
    pairs = ["--pairs", *map(str, PAIRS), "--write-docs", str(page)]
    assert main([*where, *pairs, "--opts", *OPTS]) == 0
    printed = capsys.readouterr().out
    for expected in ("FrameWise", "FrozenClassifier", " ms", "objective: "):
        assert expected in printed
    assert (folder / "run" / "matrix.md").read_text() in page.read_text()
    assert len(json.loads((folder / "run" / "matrix.json").read_text())["pairs"]) == 4


def test_the_tool_maps_mistakes_to_exit_codes(tmp_path, capsys) -> None:
    assert main(["--pairs", "nothing:at_all", "--output", str(tmp_path)]) == 2
    assert "error: no pair 'nothing:at_all'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as exit_info:
        main(["--jobs", "0"])
    assert exit_info.value.code == 2


def test_a_failed_pair_makes_the_tool_fail(results, folder, capsys, monkeypatch) -> None:
    failed = {**results[0], Task(TEACHER, 1): {"failed": "it broke"}}
    monkeypatch.setattr(matrix_jobs, "run_matrix", lambda *args, **kw: failed)
    where = ["--output", str(folder / "other"), "--data", str(folder / "data"), "--seeds", "1"]
    assert main([*where, "--pairs", *map(str, PAIRS), "--opts", *OPTS]) == 1
    assert "error: framewise:category seed 1 failed:\nit broke" in capsys.readouterr().err


def test_the_terminal_shows_only_what_was_asked_for(results, folder, capsys) -> None:
    show_table(build_table(reduced(folder, pairs=PAIRS[:1]), results[0]))
    printed = capsys.readouterr().out
    assert "CategoryHead" in printed
    assert "OSTHead" not in printed


def test_the_first_videos_of_each_class_are_trained_on(tmp_path) -> None:
    rows = ["a 0.mp4\tgoes up", "b.mp4\tgoes up", "c.mp4\tcomes up", "d.mp4\tgoes up"]
    (tmp_path / "train.csv").write_text("\n".join(rows))
    matrix = Matrix(tmp_path / "out", tmp_path, train_videos=2)
    matrix.output.mkdir()
    write_train_list(matrix)
    assert matrix.train_list.read_text() == "\n".join(rows[:3]) + "\n"


# ---- the page ----

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "matrix.md").read_text(encoding="utf-8")
OWN = [
    name
    for name in MODEL_REGISTRY.names()
    if hasattr(MODEL_REGISTRY.get(name), "head_name")
    and MODEL_REGISTRY.get(name).__module__.startswith("slowfast.")
]


@pytest.mark.parametrize("name", OWN)
def test_the_page_shows_where_each_published_system_stands(name) -> None:
    columns = ["CategoryHead", "TemplateEnsembleHead", "PooledDescriptorHead", "OSTHead"]
    columns.append("FrozenClassifier")
    system = MODEL_REGISTRY.get(name)
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{system.encoder_name}`")]
    cells = [cell.strip() for cell in row.strip("|").split("|")][1:]
    found = [head for head, cell in zip(columns, cells, strict=True) if f"`{name}`" in cell]
    assert found == [system.head_name]


def test_the_page_has_a_place_for_the_table_and_names_every_part() -> None:
    assert PAGE.index(BEGIN) < PAGE.index(END)
    for row in ROWS.values():
        assert f"`{row.encoder}`" in PAGE
    for column in COLUMNS.values():
        assert f"`{column.head}`" in PAGE


def test_every_head_and_encoder_of_the_package_is_in_the_matrix() -> None:
    own = {row.encoder for row in ROWS.values()}
    assert own == {n for n in ENCODER_REGISTRY.names() if is_shipped(ENCODER_REGISTRY.get(n))}
    heads = {column.head for column in COLUMNS.values()}
    shipped = {n for n in HEAD_REGISTRY.names() if is_shipped(HEAD_REGISTRY.get(n))}
    assert heads == shipped - {"LinearHead"}  # it has no texts, so it knows no unseen class


def is_shipped(entry) -> bool:
    """Other tests register parts of their own."""
    return entry.__module__.startswith("slowfast.")
