"""Which streams a rule cannot do without: what is said must be certain."""

from __future__ import annotations

from math import nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.dsl import Program, compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.features.fields import FIELDS
from guard.model import Market, MarketFacts

STREAM_OF = {field.name: field.stream for field in FIELDS}
TRADES_ONLY = MarketFacts(Market("x", "A/B"), streams=frozenset({"trades"}))

CASES = {
    "trades(10s) > 3": set(),
    "spread() > 1%": {"book"},
    "not (spread() > 1%)": {"book"},
    "spread() > 1% and trades(10s) > 3": {"book"},
    "spread() > 1% or trades(10s) > 3": set(),
    "not (spread() > 1% and trades(10s) > 3)": set(),
    "not (spread() > 1% or mid_ret(10s) > 1%)": {"book"},
    "default(spread(), 0) < 1%": set(),
    "default(spread(), spread() * 2) < 1%": {"book"},
    "known(spread())": set(),
    "not known(spread()) and trades(10s) > 3": set(),
    "min(spread(), ret(60s)) < 1%": {"book"},
    "market.symbol == 'A/B' or spread() > 1%": set(),
}


def program(keys: str) -> Program:
    return compile_rules(rules_from_text(f"rules:\n  one: {{{keys}}}\n", Report()))


@pytest.mark.parametrize(("condition", "needed"), CASES.items(), ids=list(CASES))
def test_what_a_condition_needs(condition: str, needed: set[str]) -> None:
    assert program(f'when: "{condition}", level: danger').lacking(0, TRADES_ONLY) == needed


def test_rule_whose_only_required_factor_needs_a_book_needs_it() -> None:
    risk = (
        "risk: {order_book: {weight: 1, value: 'spread() * 10'}, price_volatility: {weight: 1, value: 'ret(60s)', optional: true}}"
    )
    assert program(risk).lacking(0, TRADES_ONLY) == {"book"}


def test_rule_with_another_required_factor_does_without() -> None:
    risk = "risk: {order_book: {weight: 1, value: 'spread() * 10'}, price_volatility: {weight: 1, value: 'ret(60s)'}}"
    assert program(risk).lacking(0, TRADES_ONLY) == set()


PROGRAMS = {condition: program(f'when: "{condition}", level: danger') for condition in CASES}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(CASES)), st.data())
def test_rule_that_is_said_to_say_nothing_never_fires_without_that_stream(condition: str, data: st.DataObject) -> None:
    subject = PROGRAMS[condition]
    lacking = subject.lacking(0, TRADES_ONLY)
    numbers = st.one_of(st.just(nan), st.sampled_from([0.0, 0.5, 1.0, 100.0]))
    row = [nan if STREAM_OF[leaf.field] == "book" else data.draw(numbers) for leaf in subject.leaves]
    (outcome,) = subject.bind(TRADES_ONLY).evaluate(row)
    assert not (lacking and outcome.fires)
