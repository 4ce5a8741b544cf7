"""Loggers: form of a line, who writes, statistics lines."""

from __future__ import annotations

import json
import logging
import re
import warnings
from pathlib import Path

import pytest

from slowfast.utils import distributed as du
from slowfast.utils import logging as slog
from tests.distributed import run_two_processes


@pytest.fixture(autouse=True)
def _no_handlers_left():
    yield
    slog.reset_logging()


def test_lines_have_pyslowfasts_form_and_are_appended(tmp_path: Path, capsys) -> None:
    for word in ("first", "second"):
        slog.setup_logging(tmp_path)
        slog.get_logger("slowfast.somewhere").info(word)
    lines = (tmp_path / "stdout.log").read_text().splitlines()
    assert len(lines) == 2
    form = r"\[\d\d/\d\d \d\d:\d\d:\d\d\]\[INFO\] test_logging\.py:\s+\d+: first"
    assert re.fullmatch(form, lines[0])
    assert capsys.readouterr().out.splitlines() == ["first", "second"]


def test_the_console_shows_what_is_said_and_warnings_and_the_file_everything(
    tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(slog, "PACKAGE", str(Path(__file__).parent))  # as if we were inside
    slog.setup_logging(tmp_path)
    logger = slog.get_logger("inside")
    logger.info("a detail")
    slog.say("epoch 1/2")
    logger.warning("look at this")
    logger.warning("said elsewhere", extra={"shown": False})
    assert capsys.readouterr().out.splitlines() == ["epoch 1/2", "warning: look at this"]
    ends = [line.rpartition(": ")[2] for line in (tmp_path / "stdout.log").read_text().splitlines()]
    assert ends == ["a detail", "epoch 1/2", "look at this", "said elsewhere"]


def test_warnings_of_libraries_go_to_the_file_alone(tmp_path: Path, capsys) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        slog.setup_logging(tmp_path)
        warnings.warn("torch.jit.script is deprecated", FutureWarning, stacklevel=1)
        slog.reset_logging()
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")
    assert "FutureWarning: torch.jit.script is deprecated" in (tmp_path / "stdout.log").read_text()


def test_the_root_logger_is_left_alone(tmp_path: Path) -> None:
    before = (list(logging.root.handlers), logging.root.level)
    slog.setup_logging(tmp_path)
    assert (logging.root.handlers, logging.root.level) == before


def test_an_extensions_logger_reaches_our_handlers(tmp_path: Path, capsys) -> None:
    slog.setup_logging(tmp_path)
    slog.get_logger("my_extension").warning("seen")
    slog.get_logger("my_extension").info("and this")
    assert capsys.readouterr().out == "warning: seen\nand this\n"


def test_ranks_behind_the_first_write_nothing(tmp_path: Path, capsys) -> None:
    slog.setup_logging(tmp_path, rank=1)
    slog.get_logger("x").info("silence")
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "stdout.log").exists()


def _log_as_rank(folder: str) -> int:
    slog.setup_logging(folder)
    slog.get_logger("x").info(f"rank {du.get_rank()}")
    slog.log_json_stats({"rank": du.get_rank()}, folder)
    return len(logging.getLogger("slowfast").handlers)


def test_one_file_for_all_ranks(tmp_path: Path) -> None:
    run_two_processes(_log_as_rank, str(tmp_path))
    assert "rank 1" not in (tmp_path / "stdout.log").read_text()
    assert (tmp_path / "json_stats.log").read_text() == 'json_stats: {"rank": 0}\n'


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("dt", 0.25, "0.25000"),
        ("top1_err", 33.333333333, "33.33333"),
        ("lr", 3.33e-6, "0.00000333000"),
        ("lr", 0.0, "0.00000"),
        ("loss", 12.3456789, "12.3457"),
        ("loss_v2t", 1234567.0, "1234570"),
        ("grad_norm", 1e-12, "0.00000000000100000"),
        ("loss", float("nan"), "null"),
        ("n", 3, "3"),
        ("flag", True, "true"),
        ("map", "12.30", '"12.30"'),
    ],
)
def test_numbers_in_statistics_lines(key: str, value: object, text: str) -> None:
    line = slog.format_json_stats({key: value})
    assert line == f'json_stats: {{"{key}": {text}}}'
    json.loads(line.removeprefix("json_stats: "))


def test_statistics_go_sorted_to_both_files_and_not_to_the_console(tmp_path: Path, capsys) -> None:
    slog.setup_logging(tmp_path)
    slog.log_json_stats({"b": 1, "_type": "x", "a": 2}, tmp_path)
    line = 'json_stats: {"_type": "x", "a": 2, "b": 1}'
    assert capsys.readouterr().out == ""
    assert (tmp_path / "stdout.log").read_text().rstrip().endswith(line)
    assert (tmp_path / "json_stats.log").read_text() == line + "\n"
