from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from dsl.small import condition, facts, program, row
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.dsl.program import market_facts

if TYPE_CHECKING:
    from guard.dsl import Program

NAN, INF = float("nan"), float("inf")
values = st.one_of(st.sampled_from([NAN, NAN, 0.0, -0.0, 1.0, INF, -INF, 1e308, 5e-324, 0.01, -0.01]), st.floats())

numbers = st.recursive(
    st.sampled_from(["volume(1s)", "volume(2s)", "buy_volume(1s)", "0", "1", "2.5", "-1"]),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/"]), inner),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max", "default"]), inner, inner),
        st.builds("{}({})".format, st.sampled_from(["abs", "log", "sqrt", "-"]), inner),
        st.builds("clamp({}, {}, {})".format, inner, inner, inner),
        st.builds("ramp({}, {}, 7)".format, inner, st.sampled_from(["1", "volume(2s)", "9", "-3"])),
    ),
    max_leaves=6,
)
conditions = st.recursive(
    st.one_of(
        st.builds("({} {} {})".format, numbers, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), numbers),
        st.builds("known({})".format, numbers),
        st.sampled_from(["crossed", "market.class == perp", "market.symbol in ['X/USDT']", "true", "false"]),
    ),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner),
        st.builds("(not {})".format, inner),
        st.builds("default({}, {})".format, inner, inner),
        st.builds("(number({}) > 0.5)".format, inner),
    ),
    max_leaves=5,
)


def reference(of: Program, leaves: list[float]) -> object:
    plan = of._plans[0]
    return of._graph.evaluate([plan.fires], leaves=leaves, facts=market_facts(facts()))[0]


@settings(max_examples=400, deadline=None)
@given(conditions, st.data())
def test_compiled_function_equals_the_reference(text: str, data: st.DataObject) -> None:
    made = condition(text)
    leaves = data.draw(st.lists(values, min_size=len(made.leaves), max_size=len(made.leaves)))
    outcome = made.bind(facts()).evaluate(leaves)[0]
    assert outcome.fires is reference(made, leaves)
    assert outcome.score == {True: 1.0, False: 0.0, None: None}[outcome.fires]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("not ret(1s) > 3%", None),
        ("ret(1s) > 3% or volume(1s) > 1", True),
        ("ret(1s) > 3% and volume(1s) > 1", None),
        ("ret(1s) > 3% and volume(1s) < 1", False),
        ("ret(1s) == ret(1s)", None),
        ("ret(1s) != ret(1s)", None),
        ("default(ret(1s), 5%) > 3%", True),
        ("known(ret(1s))", False),
        ("default(ret(1s) > 3%, true)", True),
        ("volume(1s) / 0 > 1", None),
        ("log(0 - volume(1s)) > 1", None),
        ("sqrt(0 - volume(1s)) > 1", None),
        ("max(ret(1s), 5%) > 3%", None),
        ("1 < volume(1s) < 3", True),
        ("crossed", None),
        ("number(ret(1s) > 1%) >= 0", None),
    ],
)
def test_unknown_spreads_and_never_fires(text: str, expected: bool | None) -> None:  # noqa: FBT001 - the expected truth value
    made = condition(text)
    assert made.bind(facts()).evaluate(row(made, volume_1s=2.0))[0].fires is expected


def test_too_few_trades_make_a_feature_unknown() -> None:
    made = condition("buy_share(60s) > 50%")
    known = {"buy_volume_60s": 9.0, "volume_60s": 10.0}
    evaluate = made.bind(facts()).evaluate
    assert evaluate(row(made, **known, trades_60s=20.0))[0].fires is True
    assert evaluate(row(made, **known, trades_60s=19.0))[0].fires is None
    assert evaluate(row(made, **known))[0].fires is None


def _score(required: float, one: float, other: float) -> float | None:
    made = program(
        "rules: {r: {mode: alert, risk: {a: {weight: 1, value: 'volume(1s)'}, b: {weight: 2, value: 'volume(2s)', optional: true},"
        " c: {weight: 1, value: 'volume(3s)', optional: true}}}}"
    )
    outcome = made.bind(facts()).evaluate(row(made, volume_1s=required, volume_2s=one, volume_3s=other))[0]
    rule = made.rules[0]
    assert rule.classifier is not None
    assert rule.classifier.score(outcome.factors).score == outcome.score
    return outcome.score


@settings(deadline=None)
@given(values, values, values)
def test_compiled_score_equals_the_classifier(required: float, one: float, other: float) -> None:
    score = _score(required, one, other)
    assert (score is None) is math.isnan(required)
    assert score is None or 0.0 <= score <= 1.0


@settings(deadline=None)
@given(st.lists(values, min_size=20, max_size=20), st.sets(st.sampled_from(["trades", "book"])))
def test_outcome_of_any_row_equals_the_classifier(leaves: list[float], streams: set[str]) -> None:
    made = SHARED
    about = facts(streams=frozenset(streams))
    for outcome in made.bind(about).evaluate(leaves):
        rule = made.rules[outcome.rule]
        assert rule.classifier is not None
        risk = rule.classifier.score(outcome.factors, rule.factor_absent(about))
        assert risk.score == outcome.score
        assert {outcome.fires, outcome.clears, outcome.releases} <= {True, False, None}
        assert all(value is None or 0.0 <= value <= 1.0 for value in (*outcome.factors, *outcome.detectors, outcome.score))


SHARED = program()


def test_no_text_of_a_rule_reaches_the_compiled_code() -> None:
    made = condition("market.symbol == '); import os; (' or ret(1s) > 1%", unless="{evil_name: 'ret(2s) > 1%'}")
    function = made.bind(facts()).evaluate
    code = function.__code__  # type: ignore[attr-defined]
    assert "evil_name" not in code.co_names + code.co_varnames
    assert not any(isinstance(const, str) for const in code.co_consts)
    assert set(code.co_names) <= {"new", "Outcome", "nan", "text0"}
