"""Medians, ratios and verdicts of the bench."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.runtime.bench.rows import Bar, Row, figure_of, judged, skipped, unjudged

CEILING = Row("x", "a cost", "ns", "plain", Bar(2.0, is_ceiling=True))
FLOOR = Row("x", "a gain", "ns", "plain", Bar(2.0, is_ceiling=False))
COSTS = st.floats(0.001, 1e9)


@given(st.lists(COSTS, min_size=1, max_size=30))
def test_median_lies_between_the_extremes_that_were_seen(values: list[float]) -> None:
    figure = figure_of(values)
    assert figure.low == min(values) <= figure.median <= figure.high == max(values)
    assert figure.rounds == len(values)


def test_no_round_gives_no_figure() -> None:
    with pytest.raises(ValueError, match="at least one round"):
        figure_of([])


def test_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_medians() -> None:
    # The machine was ten times slower in the second round, for both.
    row = judged(CEILING, [1.0, 30.0, 2.0], [1.0, 10.0, 1.0])
    assert row.compared is not None
    assert (row.compared.low, row.compared.median, row.compared.high) == (1.0, 2.0, 3.0)
    assert row.is_met is True


def test_inverse_ratio_tells_how_many_times_cheaper() -> None:
    row = judged(FLOOR, [2.0, 2.0], [8.0, 8.0], is_inverse=True)
    assert row.compared is not None
    assert row.compared.median == 4.0
    assert row.is_met is True


@pytest.mark.parametrize(("value", "ceiling", "floor"), [(1.9, True, False), (2.0, True, True), (2.1, False, True)])
def test_bar_holds_on_its_side_and_on_itself(value: float, *, ceiling: bool, floor: bool) -> None:
    assert judged(CEILING, [value]).is_met is ceiling
    assert judged(FLOOR, [value]).is_met is floor


def test_rounds_of_both_sides_must_match() -> None:
    with pytest.raises(ValueError, match="zip"):
        judged(CEILING, [1.0, 2.0], [1.0])


def test_what_cannot_run_or_be_judged_is_neither_met_nor_missed() -> None:
    assert skipped(CEILING, "no compiler")[-2:] == (None, "no compiler")
    row = unjudged(CEILING, [3.0], "no peer")
    assert row.is_met is None
    assert row.value is not None


def test_document_tells_value_reference_ratio_and_bar() -> None:
    document = judged(CEILING._replace(reference_name="C"), [4.0], [2.0]).document()
    assert document["value"] == {"median": 4.0, "low": 4.0, "high": 4.0, "rounds": 1}
    assert document["reference"] == {"name": "C", "median": 2.0, "low": 2.0, "high": 2.0, "rounds": 1}
    assert document["ratio"]["median"] == 2.0
    assert document["bar"] == {"at_most": 2.0}
    assert document["met"] is True


def test_document_of_an_absolute_measure_has_no_ratio() -> None:
    document = judged(FLOOR, [4.0]).document()
    assert document["reference"] is None
    assert document["ratio"] is None
    assert document["bar"] == {"at_least": 2.0}
