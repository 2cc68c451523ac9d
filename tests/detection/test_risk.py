from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.detection.risk import RiskClassifier, RiskFactor, with_best
from guard.model import Level

weights = st.floats(0.01, 10.0)
values = st.one_of(st.none(), st.floats(), st.floats(0.0, 1.0))


@st.composite
def classifiers(draw: st.DrawFn) -> RiskClassifier:
    count = draw(st.integers(0, 5))
    optional = [RiskFactor(f"f{at}", draw(weights), draw(st.booleans())) for at in range(count)]
    return RiskClassifier([RiskFactor("first", draw(weights)), *optional])


@st.composite
def cases(draw: st.DrawFn) -> tuple[RiskClassifier, list[float | None], list[bool]]:
    risk = draw(classifiers())
    count = len(risk.factors)
    return (
        risk,
        draw(st.lists(values, min_size=count, max_size=count)),
        draw(st.lists(st.booleans(), min_size=count, max_size=count)),
    )


@given(cases())
def test_score_is_in_bounds_and_contributions_sum_to_it(case: tuple[RiskClassifier, list[float | None], list[bool]]) -> None:
    risk, found, absent = case
    score, contributions = risk.score(found, absent)
    assert [part.factor for part in contributions] == [factor.name for factor in risk.factors]
    assert score is None or 0.0 <= score <= 1.0
    assert sum(part.share for part in contributions) == pytest.approx(score or 0.0)
    assert all(part.value is None or 0.0 <= part.value <= 1.0 for part in contributions)
    assert {part.status for part, gone in zip(contributions, absent, strict=True) if gone} <= {"absent"}


@given(cases(), st.data())
def test_optional_factor_that_turns_unknown_never_raises_the_level(
    case: tuple[RiskClassifier, list[float | None], list[bool]], data: st.DataObject
) -> None:
    risk, found, absent = case
    before = risk.score(found, absent).score
    lost = [
        None if factor.is_optional and data.draw(st.booleans()) else value
        for factor, value in zip(risk.factors, found, strict=True)
    ]
    after = risk.score(lost, absent).score
    assert (before is None) == (after is None)
    if before is not None and after is not None:
        assert after <= before + 1e-12
        assert risk.level(after - 1e-12) <= risk.level(before)


@given(cases(), st.data())
def test_stream_of_an_optional_factor_that_is_taken_away_never_raises_the_level(
    case: tuple[RiskClassifier, list[float | None], list[bool]], data: st.DataObject
) -> None:
    risk, found, absent = case
    before = risk.score(found, absent).score
    fewer = [gone or (factor.is_optional and data.draw(st.booleans())) for factor, gone in zip(risk.factors, absent, strict=True)]
    after = risk.score(found, fewer).score
    assert (before is None) == (after is None)
    assert before is None or after is None or after <= before + 1e-12


@given(st.floats(0, 1), st.floats(0, 1), weights, weights)
def test_one_optional_factor_counts_where_it_raises_the_mean(required: float, optional: float, one: float, other: float) -> None:
    risk = RiskClassifier([RiskFactor("a", one), RiskFactor("b", other, is_optional=True)])
    expected = max(required, (one * required + other * optional) / (one + other))
    assert risk.score([required, optional]).score == pytest.approx(expected)


def test_absent_factor_leaves_the_mean_as_if_never_declared() -> None:
    with_absent = RiskClassifier([RiskFactor("a", 1.0), RiskFactor("b", 3.0)]).score([0.4, None], [False, True])
    without = RiskClassifier([RiskFactor("a", 1.0)]).score([0.4])
    assert with_absent.score == without.score == pytest.approx(0.4)
    assert with_absent.contributions[1] == ("b", 3.0, None, 0.0, "absent")


def test_required_factor_that_is_unknown_makes_the_score_unknown() -> None:
    assert RiskClassifier().score([1.0, None, 1.0, 1.0]).score is None
    assert RiskClassifier().score([1.0, float("nan"), 1.0, 1.0]).score is None


def test_score_is_unknown_where_no_required_factor_is_left() -> None:
    risk = RiskClassifier([RiskFactor("a", 1.0), RiskFactor("b", 1.0, is_optional=True)])
    assert risk.score([1.0, 1.0], [True, False]).score is None


@pytest.mark.parametrize(
    ("score", "level"),
    [
        (None, Level.NORMAL),
        (float("nan"), Level.NORMAL),
        (0.0, Level.NORMAL),
        (0.599, Level.NORMAL),
        (0.6, Level.WARNING),
        (0.8, Level.DANGER),
        (0.9, Level.CRITICAL),
        (float("inf"), Level.CRITICAL),
    ],
)
def test_level_begins_at_its_threshold(score: float | None, level: Level) -> None:
    assert RiskClassifier().level(score) is level


@pytest.mark.parametrize(
    ("factors", "levels"),
    [
        ([], {}),
        ([RiskFactor("a", 1.0, is_optional=True)], {}),
        ([RiskFactor("a", 0.0)], {}),
        ([RiskFactor("a", math.nan)], {}),
        ([RiskFactor("a", 1.0)], {"warning": 0.9, "danger": 0.8}),
        ([RiskFactor("a", 1.0)], {"warning": 0.0}),
        ([RiskFactor("a", 1.0)], {"critical": 1.1}),
    ],
)
def test_senseless_settings_are_refused(factors: list[RiskFactor], levels: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        RiskClassifier(factors, **levels)


@given(st.floats(0, 1), weights, st.lists(st.tuples(weights, st.floats(0, 1) | st.just(math.nan)), max_size=5))
def test_best_mean_equals_the_classifier(required: float, weight: float, optional: list[tuple[float, float]]) -> None:
    factors = [RiskFactor("r", weight), *(RiskFactor(f"o{at}", heavy, is_optional=True) for at, (heavy, _) in enumerate(optional))]
    expected = RiskClassifier(factors).score([required, *(value for _, value in optional)]).score
    assert with_best(weight * required, weight, optional) == expected
