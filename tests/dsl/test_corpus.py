"""Every broken file of the corpus: each mistake is told in one run, at its place, by its id, with a hint that helps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml
from dsl.corpus_cases import cases, found
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.cli.rules_check import find_problems
from guard.dsl import reading
from guard.dsl.explanations import EXPLANATIONS
from guard.dsl.problems import NAMES

if TYPE_CHECKING:
    from pathlib import Path

    from dsl.corpus_cases import Case

    from guard.errors import Problem

LENGTH_MAX = 3000
CASES = cases()
BROKEN = [case for case in CASES if not case.is_good]
MENDED = [case for case in CASES if case.is_good]


def named(case: Case) -> str:
    return case.name


def at(case: Case, problem: Problem) -> tuple[str, int, int, str]:
    """Return place and id; what is wrong with a variable is expected at the end of guard.yaml."""
    file = problem.file if problem.file in case.files else next(iter(case.files))
    return file, problem.line, problem.column, problem.id


@pytest.mark.parametrize("case", BROKEN, ids=named)
def test_each_mistake_is_told_at_its_place(case: Case, tmp_path: Path) -> None:
    problems = found(case, tmp_path)
    assert case.expected, "the case expects nothing"
    assert sorted(tuple(row[:4]) for row in case.expected) == sorted(at(case, row) for row in problems)
    for row in case.expected:
        told = [f"{one.message} {one.hint}" for one in problems if at(case, one) == tuple(row[:4])]
        assert any(row.says in text for text in told), (row, told)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_parser_in_plain_python_tells_the_same(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = [tuple(row) for row in found(case, tmp_path)]
    monkeypatch.setattr(reading, "_PARSER", yaml.SafeLoader)
    assert [tuple(row) for row in found(case, tmp_path)] == told


@pytest.mark.parametrize("case", MENDED, ids=named)
def test_mended_file_has_no_problem(case: Case, tmp_path: Path) -> None:
    assert found(case, tmp_path) == ()


@pytest.mark.parametrize("code", NAMES)
def test_id_has_a_broken_and_a_mended_file(code: str) -> None:
    # What stands in no file, but in a command or a running guard, has an example in its explanation.
    assert ({code, f"{code}.good"} <= {case.name for case in CASES}) or EXPLANATIONS[code].example


@pytest.mark.parametrize("case", BROKEN, ids=named)
def test_case_shows_the_id_of_its_name(case: Case) -> None:
    assert case.id in {row.id for row in case.expected}


def test_corpus_is_large() -> None:
    assert len(BROKEN) >= 100


@pytest.mark.parametrize("case", BROKEN, ids=named)
def test_source_line_stands_under_its_place(case: Case, tmp_path: Path) -> None:
    for row in (row for row in found(case, tmp_path) if row.file in case.files):
        text = case.files[row.file].decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
        line = (text.split("\n") or [""])[row.line - 1] if row.line <= text.count("\n") + 1 else ""
        assert row.source in ("", line.replace("\t", " "))
        assert row.column <= len(line) + 1


TEXTS = [text.decode("utf-8-sig", errors="replace") for case in CASES for text in case.files.values() if len(text) < LENGTH_MAX]
SLIPS = st.sampled_from([*"abe1:-[]{},#'\"&*!|>%@` \t\n?<.\\漢🚀=()$", " and ", "not ", "max(", "1%", "\n    ", "ret(60s)"])


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(TEXTS), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), SLIPS), min_size=1, max_size=3))
def test_any_slip_ends_as_problems_within_the_file(
    tmp_path_factory: pytest.TempPathFactory, text: str, slips: list[tuple[float, int, str]]
) -> None:
    for share, cut, put in slips:
        at = int(share * len(text))
        text = text[:at] + put + text[at + cut :]
    path = tmp_path_factory.getbasetemp() / "slips.yaml"
    path.write_bytes(text.encode(errors="replace"))
    for problem in find_problems([path], {}):
        assert str(problem)
        assert problem.line >= 1
        assert 1 <= problem.column <= len(problem.source) + 1 or not problem.source
