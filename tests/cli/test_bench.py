"""guard bench: its document and its exit codes; what it measures is in tests/runtime/bench."""

from __future__ import annotations

import json

import pytest

from guard.cli.bench import document, exit_of
from guard.cli.main import main
from guard.cli.output import Exit
from guard.runtime.bench.rows import Bar, Row, judged, skipped

ROW = Row("x", "a cost", "ns", "plain", Bar(2.0, is_ceiling=True))
MET, MISSED, SKIPPED = judged(ROW, [1.0]), judged(ROW, [3.0]), skipped(ROW, "no compiler")


def bench(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as caught:
        main(["bench", *words])
    return int(caught.value.code or 0), capsys.readouterr().out


def test_exit_is_one_where_a_bar_is_missed_and_nowhere_else() -> None:
    assert exit_of([MET, MISSED, SKIPPED]) == Exit.FINDINGS == 1
    assert exit_of([MET, SKIPPED]) == Exit.OK
    assert exit_of([]) == Exit.OK


def test_document_counts_what_was_met_missed_and_not_judged() -> None:
    found = document([MET, MISSED, SKIPPED, SKIPPED], 5)
    assert (found["rounds"], found["met"], found["missed"], found["not_judged"]) == (5, 1, 1, 2)
    assert [row["met"] for row in found["measures"]] == [True, False, None, None]


def test_quick_run_prints_one_document_and_judges_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = bench(capsys, "--quick", "--plain", "--only", "a", "--rounds", "1", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["schema"] == 1
    (row,) = found["measures"]
    assert set(row) == {"measure", "title", "build", "unit", "value", "reference", "ratio", "bar", "met", "note"}
    assert row["met"] is None
    assert row["value"]["low"] <= row["value"]["median"] <= row["value"]["high"]


def test_table_names_measure_value_and_reason(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = bench(capsys, "--quick", "--plain", "--only", "a", "--rounds", "1")
    assert code == 0
    assert "state per event" in out
    assert "ns/event" in out
    assert "not judged" in out
    assert "no folder of peers" in out


def test_measure_that_is_not_there_is_a_mistake_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = bench(capsys, "--only", "a,zz")
    assert code == Exit.USAGE


def test_two_ways_to_choose_the_measures_are_one_too_many(capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = bench(capsys, "--live", "--only", "a")
    assert code == Exit.USAGE
