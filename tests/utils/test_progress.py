"""The progress line in each of its forms."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import pytest

from slowfast.errors import UsageError
from slowfast.utils import logging as slog
from slowfast.utils import progress


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("mode", "terminal", "expected"),
    [
        ("auto", True, "rich"),
        ("auto", False, "plain"),
        ("rich", False, "rich"),
        ("plain", True, "plain"),
        ("none", True, "none"),
    ],
)
def test_modes(mode: str, terminal: bool, expected: str) -> None:
    assert progress.resolve_mode(mode, terminal=terminal) == expected


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(UsageError, match="LOG.PROGRESS 'fancy': expected one of auto, rich"):
        progress.resolve_mode("fancy", terminal=True)


def test_plain_lines_come_once_a_period_and_at_the_end(caplog) -> None:
    with (
        caplog.at_level(logging.INFO, logger="slowfast"),
        progress.progress_line("plain", 5, "train 1/2", log_period=2) as line,
    ):
        for i in range(5):
            line.advance(4, loss=1.5 + i)
    lines = [record.getMessage() for record in caplog.records]
    assert [text.split("  ")[0] for text in lines] == [f"train 1/2: {i}/5" for i in (2, 4, 5)]
    assert "videos/s" in lines[0]
    assert " left" in lines[0]
    assert lines[0].endswith("loss 2.5")


def test_a_resumed_line_counts_from_where_it_was(caplog) -> None:
    with (
        caplog.at_level(logging.INFO, logger="slowfast"),
        progress.progress_line("plain", 4, "train", log_period=1, start=3) as line,
    ):
        line.advance(1)
    assert "train: 4/4" in caplog.text


def test_none_is_silent(caplog, capsys) -> None:
    with progress.progress_line("none", 1, "x") as line:
        line.advance(1, loss=1.0)
    assert caplog.text == ""
    assert capsys.readouterr().out == ""


def test_log_lines_and_the_live_line_do_not_break_each_other(monkeypatch, tmp_path: Path) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    slog.setup_logging(tmp_path)
    try:
        with progress.progress_line("auto", 3, "train 1/2") as line:
            line.advance(8, loss=0.5)
            slog.get_logger("x").info("[bold]a line in between " + "x" * 150)
            line.advance(8, loss=0.25)
            line.advance(8, loss=0.125)
        slog.get_logger("x").info("afterwards")
    finally:
        slog.reset_logging()
    shown = terminal.getvalue()
    whole = [text for text in shown.splitlines() if "[bold]a line in between" in text]
    assert len(whole) == 1, "not wrapped, not interpreted as markup"
    assert "train 1/2" not in whole[0]
    assert "3/3" in shown
    assert "loss 0.125" in shown
    assert shown.rstrip().endswith("afterwards")
    assert slog._writer is None
    assert "[bold]a line in between" in (tmp_path / "stdout.log").read_text()


def test_the_console_comes_back_after_an_error(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    with pytest.raises(KeyError), progress.progress_line("rich", 1, "x"):
        raise KeyError
    assert slog._writer is None
