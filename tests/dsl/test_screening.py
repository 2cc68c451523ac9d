"""A screen and the machine say the same as the outcomes, whatever the rules and the row."""

from __future__ import annotations

import re
from itertools import cycle
from typing import TYPE_CHECKING

import pytest
from dsl.judging import expected, judged, natively, screened
from dsl.small import condition, facts, program, row
from dsl.test_compiler import conditions, numbers, values
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.dsl import compile_rules, load_rules, shipped_packs
from guard.model import Market, MarketClass, MarketFacts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.dsl import Binding, Program

SHIPPED = compile_rules(load_rules(shipped_packs()))
ASKS = 0
_LEVEL, _CLEARS, _RELEASES = 7, 3 << 3, 3 << 5
_FIELDS = [_LEVEL, _LEVEL | _CLEARS, _LEVEL | _RELEASES, _LEVEL | _CLEARS | _RELEASES, _LEVEL | _CLEARS]


def agree(
    of: Program, binding: Binding, row: Sequence[float], other: Sequence[int], *, jitted: bool = False, native: bool = False
) -> None:
    """Check all ways on the right signatures, on those of fewer open rules and on some other ones."""
    right = expected(of, binding, row, is_open=True)
    asks = binding.program == ASKS
    for at in range(5):
        fewer = [each & mask for each, mask in zip(right, cycle(_FIELDS[at:] + _FIELDS[:at]))]
        assert judged(of, binding, row, fewer, jitted=jitted) == int(asks)
        if native and not asks:
            assert natively(of, binding, row, fewer) == 0
    assert judged(of, binding, row, other, jitted=jitted) == int(asks or not is_part(other, right))
    if native and not asks:
        assert natively(of, binding, row, other) == int(not is_part(other, right))
    reads: list[int] = []
    no_score = any(of.rules[each.rule].classifier and each.fires and each.score is None for each in binding.evaluate(row))
    assert screened(of, binding, row, right, reads, is_open=True) == int(asks or no_score)
    assert len(reads) == len(set(reads))
    if not is_part(other, right):
        assert screened(of, binding, row, other, is_open=True) == 1
    right = expected(of, binding, row, is_open=False)
    calm = not any(outcome.fires for outcome in binding.evaluate(row))
    reads = []
    answer = screened(of, binding, row, right, reads)
    assert answer == int(not calm), (right, answer)
    assert len(reads) == len(set(reads))
    if list(other) != right:
        assert screened(of, binding, row, other) == 1


def is_part(signed: Sequence[int], right: Sequence[int]) -> bool:
    """Whether signatures are the right ones, but for what nobody asks."""
    return all(
        each & _LEVEL == whole & _LEVEL and all(each & field in (0, whole & field) for field in (_CLEARS, _RELEASES))
        for each, whole in zip(signed, right, strict=True)
    )


signed = st.sampled_from([0, 1, 2, 3, 4, 8, 12, 20, 24, 28, 84, 120])


@settings(max_examples=400, deadline=None)
@given(conditions, st.data())
def test_any_condition_is_judged_as_it_is_evaluated(text: str, data: st.DataObject) -> None:
    made = condition(text)
    binding = made.bind(facts())
    for _ in range(4):
        leaves = data.draw(st.lists(values, min_size=len(made.leaves), max_size=len(made.leaves)))
        agree(made, binding, leaves, [data.draw(signed) for _ in binding.rules])


RISKY = """
rules:
  one:
    mode: enforce
    scope: {{where: "{where}"}}
    when: "{when}"
    unless: {{calm: "{unless}"}}
    use: {{pump: {{detector: pump_dump}}}}
    risk:
      price_volatility: {{weight: 0.5, value: "{a}"}}
      order_book: {{weight: 0.25, value: "{b}", optional: true}}
      other: {{weight: 0.3, value: "{c}", optional: {optional}}}
      trade_pattern: {{weight: 0.3, value: pump.score}}
    clear: {{when: "{clear}"}}
    actions:
      danger: [alert, {{quarantine: {{for: 30m, release: {{when: "score < 0.3 and {when}", for: 10m}}}}}}]
  two:
    mode: enforce
    level: critical
    when: "{when}"
  three:
    mode: enforce
    level: danger
    use: {{pump: {{detector: pump_dump}}}}
    when: pump.score > 0.2 or {when}
"""


parts = st.fixed_dictionaries(
    dict.fromkeys(("where", "when", "unless"), conditions)
    | dict.fromkeys(("a", "b"), numbers)
    | {"optional": st.sampled_from(["true", "false"])}
)


@settings(max_examples=150, deadline=None)
@given(parts, st.data())
def test_any_scored_rule_is_judged_as_it_is_evaluated(parts: dict[str, str], data: st.DataObject) -> None:
    made = program(RISKY.format(**parts, c="volume(3s)", clear=f"score < 0.45 or {parts['unless']}"))
    binding = made.bind(facts(streams=frozenset(data.draw(st.sets(st.sampled_from(["trades", "book"]))))))
    near = st.one_of(values, st.floats(0.0, 1.0), st.sampled_from([0.5, 0.6, 0.8, 0.9]))
    for _ in range(5):
        leaves = data.draw(st.lists(near, min_size=len(made.leaves), max_size=len(made.leaves)))
        agree(made, binding, leaves, [data.draw(signed) for _ in binding.rules])


markets = st.builds(
    MarketFacts,
    st.sampled_from([Market("sim", "X/USDT"), Market("sim", "BTC/USDT")]),
    st.sampled_from(list(MarketClass)),
    streams=st.sampled_from([frozenset({"trades"}), frozenset({"book"}), frozenset({"trades", "book"})]),
)


@pytest.mark.parametrize("form", ["plain", "jitted", "native"])
@settings(max_examples=200, deadline=None)
@given(market=markets, data=st.data())
def test_shipped_rules_are_judged_as_they_are_evaluated(*, form: str, market: MarketFacts, data: st.DataObject) -> None:
    if form != "plain":
        pytest.importorskip("numba")
    binding = SHIPPED.bind(market)
    near = st.one_of(st.sampled_from([0.0, 0.5, 1.0, 2.0, 10.0]), st.floats(0.0, 3.0), st.floats(-0.1, 0.1), values)
    calm = data.draw(st.sampled_from([0.0, 0.01, 1.0, 5.0]))
    changes = data.draw(st.dictionaries(st.integers(0, len(SHIPPED.leaves) - 1), near, max_size=12))
    leaves = [changes.get(number, calm) for number in range(len(SHIPPED.leaves))]
    agree(SHIPPED, binding, leaves, [data.draw(signed) for _ in binding.rules], jitted=form == "jitted", native=form == "native")


@settings(max_examples=25, deadline=None)
@given(parts, st.data())
def test_machine_code_of_any_rule_judges_as_it_is_evaluated(parts: dict[str, str], data: st.DataObject) -> None:
    pytest.importorskip("numba")
    made = program(RISKY.format(**parts, c="volume(3s)", clear=f"score < 0.45 or {parts['unless']}"))
    binding = made.bind(facts(streams=frozenset({"trades", "book"})))
    near = st.one_of(values, st.floats(0.0, 1.0), st.sampled_from([0.5, 0.6, 0.8, 0.9]))
    for _ in range(20):
        leaves = data.draw(st.lists(near, min_size=len(made.leaves), max_size=len(made.leaves)))
        agree(made, binding, leaves, [data.draw(signed) for _ in binding.rules], native=True)


def test_first_condition_that_is_false_decides_and_nothing_more_is_read() -> None:
    made = condition("ret(1s) > 1% and volume(1s) > 3 and buy_volume(2s) / volume(2s) > 0.5")
    reads: list[int] = []
    assert screened(made, made.bind(facts()), row(made, ret_1s=0.0, volume_1s=9.0), [0], reads) == 0
    assert len(reads) == 1


def test_what_a_default_makes_up_for_is_not_read() -> None:
    made = condition("default(min(volume(1s), volume(9s)), 0) > 1")
    reads: list[int] = []
    assert screened(made, made.bind(facts()), row(made, volume_1s=0.0), [0], reads) == 0
    assert len(reads) == 1


def test_the_depth_of_both_sides_is_added_up_where_each_is_read() -> None:
    made = condition("depth(50bp, side=bid) > 1 and depth(50bp, side=ask) > 1 and depth(50bp) > 9")
    for ask, said in ((3.0, 0), (8.0, 1)):
        depths = {"bid": 2.0, "ask": ask, "both": 2.0 + ask}
        reads: list[int] = []
        assert screened(made, made.bind(facts()), [depths[str(leaf.arguments[-1])] for leaf in made.leaves], [0], reads) == said
        assert len(reads) == 2


def test_unknown_is_no_reason_to_be_silent() -> None:
    made = condition("min(volume(1s), volume(9s)) > 1")
    binding = made.bind(facts())
    assert screened(made, binding, row(made, volume_1s=0.0), [0]) == 1
    assert screened(made, binding, row(made, volume_1s=0.0), [4]) == 0
    assert screened(made, binding, row(made, volume_1s=0.0, volume_9s=2.0), [0]) == 0


def test_rule_that_is_too_intricate_is_left_to_the_compiled_function() -> None:
    lets = "".join(f"\n      a{at}: 'known(a{at - 1} or crossed) and (a{at - 1} or ret(1s) > {at}%)'" for at in range(1, 20))
    made = program(f"rules:\n  one:\n    level: danger\n    let:\n      a0: 'ret(1s) > 1%'{lets}\n    when: a19\n")
    binding = made.bind(facts())
    leaves = row(made, ret_1s=0.0, crossed=0.0)
    assert binding.evaluate(leaves)[0].fires is False
    assert binding.program == ASKS
    assert judged(made, binding, leaves, [0]) == 1
    assert screened(made, binding, leaves, [0]) == 1


def test_no_text_of_a_rule_reaches_a_screen() -> None:
    made = condition("market.symbol == '); import os; (' or ret(1s) > 1%", unless="{evil_name: 'ret(2s) > 1%'}")
    screen = made.bind(facts()).make_screen([float] * len(made.leaves), [0] * len(made.leaves))
    code = screen.__code__  # type: ignore[attr-defined]
    assert not any(isinstance(const, str) for const in code.co_consts)
    assert set(code.co_names) <= {"nan", "inf", "log", "sqrt", "ramp", "clamp"}
    assert all(re.fullmatch(r"[nrc]\d+|t|X|I|x|i|p|q|sig|received", name) for name in (*code.co_varnames, *code.co_freevars))


def test_code_of_a_market_is_made_once_and_shared() -> None:
    made = condition("ret(1s) > 1%")
    first = made.bind(facts("X/USDT")).program
    length = len(made.code)
    assert made.bind(facts("Y/USDT")).program == first
    assert len(made.code) == length
    assert made.bind(facts("X/USDT")).make_screen is made.bind(facts("Y/USDT")).make_screen
