from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from guard.cli.problems import problem_text, problem_texts, summary_of
from guard.errors import Problem, excerpt

if TYPE_CHECKING:
    from pathlib import Path


def problem(**keys: object) -> Problem:
    facts = {
        "file": "a.yaml",
        "line": 1,
        "column": 4,
        "id": "E042",
        "name": "unknown-name",
        "severity": "error",
        "message": "unknown",
    }
    return Problem(**{**facts, "source": "k: retn", **keys})  # type: ignore[arg-type]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((80, 24)))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.mark.usefixtures("terminal")
def test_terminal_shows_colours_and_no_color_takes_them_away(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[1;31m^" in problem_text(problem())
    monkeypatch.setenv("NO_COLOR", "1")
    assert problem_text(problem()) == str(problem())


def test_file_gets_no_colours() -> None:
    assert problem_text(problem()) == str(problem())


@pytest.mark.usefixtures("terminal")
def test_long_line_fits_the_terminal_and_the_caret_stays_under_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    source = "k: " + "漢" * 100 + " retn " + "x" * 400
    lines = problem_text(problem(source=source, column=source.index("retn") + 1)).splitlines()
    cells = [1 + (char == "漢") for char in lines[1]]
    assert sum(cells) <= 80
    caret = lines[2].index("^")
    assert sum(cells[: lines[1].index("retn")]) == caret


@pytest.mark.parametrize(
    ("source", "word", "cells"),
    [
        ("abc retn", "retn", 4),
        ("🚀🚀 retn", "retn", 5),
        ("e\u0301 retn", "retn", 2),
        ("漢字: retn", "retn", 6),
        ("a\tretn", "retn", 2),
        ("", "", 0),
    ],
)
def test_caret_stands_under_the_word(source: str, word: str, cells: int) -> None:
    assert len(excerpt(source, source.index(word) + 1)[1]) == cells


def test_place_after_the_end_of_a_line_is_its_end() -> None:
    assert excerpt("abc", 99) == ("abc", "   ")


def test_terminal_is_not_told_what_to_do_by_a_file() -> None:
    assert "\x1b" not in str(problem(source="k: \x1b[2J retn"))


def test_files_have_a_heading_each_where_there_are_several() -> None:
    texts = list(problem_texts([problem(), problem(file="b.yaml", severity="warning", id="W001")]))
    assert [text for text in texts if text.startswith("==")] == ["== a.yaml: 1 error", "== b.yaml: 1 warning"]
    assert not any(text.startswith("==") for text in problem_texts([problem()]))
    assert "guard rules error E042" in texts[-1]
    assert list(problem_texts([])) == []


def test_summary_counts_and_says_where_it_was_cut(tmp_path: Path) -> None:
    assert summary_of([], [tmp_path]) == f"{tmp_path}: no mistakes found"
    assert summary_of([problem()] * 2 + [problem(severity="warning")], [tmp_path]) == f"{tmp_path}: 2 errors and 1 warning"
    assert "mend these" in summary_of([problem()] * 200, [tmp_path])
