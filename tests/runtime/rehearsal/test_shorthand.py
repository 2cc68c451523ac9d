"""Series in the shorthand of promtool."""

from __future__ import annotations

import re
from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.features.tables import Unit
from guard.runtime.rehearsal.shorthand import VALUES_MAX, ShorthandError, values_of


@pytest.mark.parametrize(
    ("text", "unit", "values"),
    [
        ("7", Unit.COUNT, [7.0]),
        # promtool: a+bxn is a, a+b and so on, n + 1 values.
        ("0x3", Unit.COUNT, [0.0] * 4),
        ("1+2x3 -5", Unit.NONE, [1.0, 3.0, 5.0, 7.0, -5.0]),
        ("6-2x2", Unit.COUNT, [6.0, 4.0, 2.0]),
        ("-1%-1%x2", Unit.RATIO, [-0.01, -0.02, -0.03]),
        ("8x 8xx1 0.5", Unit.RATIO, [8.0, 8.0, 8.0, 0.5]),
        ("30s+30sx1 0", Unit.DURATION, [30e6, 60e6, 0.0]),
        ("true false 1 0", Unit.BOOL, [1.0, 0.0, 1.0, 0.0]),
        ("2M 1.5k 3e2x1 30bp", Unit.NONE, [2e6, 1500.0, 300.0, 300.0, 0.003]),
    ],
)
def test_a_series_is_what_promtool_makes_of_it(text: str, unit: Unit, values: list[float]) -> None:
    assert values_of(text, unit) == pytest.approx(values)


def test_an_underscore_is_unknown_as_often_as_it_says() -> None:
    found = values_of("1 _ 2 _x3", Unit.COUNT)
    assert [isnan(value) for value in found] == [False, True, False, True, True, True]
    assert values_of("_x0 4", Unit.COUNT) == [4.0]


@pytest.mark.parametrize(
    ("text", "unit", "start", "told"),
    [
        ("", Unit.COUNT, 0, "one value at least"),
        ("1 2 x5", Unit.COUNT, 4, "'x5' is no value"),
        ("1 1+2", Unit.COUNT, 2, "does not say how often; for example 1+2x10"),
        ("1 stale", Unit.COUNT, 2, "'stale' is no value"),
        ("0x3 5%", Unit.COUNT, 4, "5% is wrong here: the feature is a count"),
        ("0 3", Unit.RATIO, 2, "3 for a ratio is 300%; did you mean 3%? (if not, write 3x)"),
        ("0 30", Unit.DURATION, 2, "30 is wrong here: the feature is a duration"),
        ("0 30s", Unit.RATIO, 2, "30s is wrong here: the feature is no duration but a ratio"),
        ("0x99999999999", Unit.COUNT, 0, "at most 86,400 values"),
        ("0x50000 _x50000", Unit.COUNT, 8, "at most 86,400 values"),
        ("1e999", Unit.NONE, 0, "is no number"),
        ("true", Unit.COUNT, 0, "'true' is no value"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, unit: Unit, start: int, told: str) -> None:
    with pytest.raises(ShorthandError, match=re.escape(told)) as caught:
        values_of(text, unit)
    assert caught.value.start == start


@given(st.text(alphabet="0123456789.x_+-%bpsmkM \t", max_size=30), st.sampled_from(Unit))
def test_any_text_is_a_bounded_series_or_a_mistake_inside_of_it(text: str, unit: Unit) -> None:
    try:
        found = values_of(text, unit)
    except ShorthandError as error:
        assert 0 <= error.start <= len(text)  # noqa: PT017 - most texts are mistakes, and some are none
    else:
        assert 0 < len(found) <= VALUES_MAX
        assert all(isinstance(value, float) for value in found)
