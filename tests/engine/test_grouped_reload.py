"""What an edit of a rule does to a group whose level stands, and to what it holds."""

from __future__ import annotations

import pytest
from engine.grouped import ALONE, EXCHANGE, MARKETS, SYMBOL, Bench

from guard.model import IsolationState, Market, MarketFacts, Status

SHADOW = EXCHANGE.replace("enforce", "shadow")
DISABLED = EXCHANGE.replace("enforce", "disabled")
BESIDE = """
  beside: {mode: enforce, when: trades(10s) >= 1000, level: danger, actions: {danger: [quarantine]}}
"""


def held(text: str = EXCHANGE, markets: tuple[str, ...] = MARKETS) -> Bench:
    bench = Bench(text, markets)
    bench.burst("one:A/USDT", 20)
    bench.burst("one:B/USDT", 21)
    return bench


def ended_us(bench: Bench) -> int:
    (only,) = bench.pipeline.isolation.active()
    return only.until_us


def told(bench: Bench) -> list[tuple[str, str, str]]:
    levels = [(line["rule"], line["previous"], line["level"]) for line in bench.lines if line["type"] == "verdict"]
    return levels + [(line["rule"], line["cause"], line["state"]) for line in bench.lines if line["type"] == "quarantine"]


@pytest.mark.parametrize("text", ["rules: {other: {mode: shadow, when: trades(10s) > 1000, level: warning}}", DISABLED])
def test_a_group_ends_with_its_rule_and_what_it_holds_ends_as_announced(text: str) -> None:
    bench = held()
    until_us = ended_us(bench)
    bench.load(text)
    assert told(bench) == [("storm", "danger", "normal"), ("storm", "rule_gone", "quarantined")]
    assert bench.states("one:C/USDT") is IsolationState.QUARANTINED
    bench.until((until_us - 1) / 1e6 - 1_700_000_000)
    assert bench.states("one:C/USDT") is IsolationState.QUARANTINED
    bench.until(until_us / 1e6 - 1_700_000_000 + 1)
    assert bench.states("one:C/USDT") is IsolationState.NORMAL


def test_a_group_whose_rule_was_disabled_fires_anew_and_holds_again() -> None:
    bench = held()
    bench.load(DISABLED)
    bench.until(22)
    bench.load(EXCHANGE)
    bench.trade("one:A/USDT", 22.2)
    bench.trade("one:B/USDT", 22.4)
    bench.until(23)
    # It waits for calm again: nobody must rely on the end that a reload announced.
    assert told(bench) == [("storm", "normal", "danger"), ("storm", "rule", "quarantined")]
    (again,) = bench.pipeline.isolation.active()
    assert again.hold.release_for_us == 5_000_000


def test_a_group_is_told_anew_by_a_market_that_holds_its_level_though_others_were_never_heard_of() -> None:
    bench = Bench(SHADOW, ())
    bench.rows["one:0/USDT"] = bench.pipeline.open(MarketFacts(Market("one", "0/USDT"), streams=frozenset({"trades"})))
    for name in MARKETS:
        bench.open(name)
    bench.burst("one:A/USDT", 20)
    bench.burst("one:B/USDT", 21)
    bench.load(EXCHANGE)
    assert bench.verdicts == [("one:A/USDT", "one", "danger")]
    assert bench.openings == ["exchange:one"]


def test_a_group_that_came_back_after_a_restart_is_told_anew_before_any_market_is_heard_of() -> None:
    bench = held(SHADOW)
    (rule,) = bench.pipeline.engine.program.rules
    state = bench.pipeline.engine.groups.of(rule, Market.parse("one:A/USDT")).saved_level()
    later = Bench(SHADOW, ())
    later.pipeline.open(MarketFacts(Market("one", "C/USDT"), streams=frozenset({"trades"})))
    later.pipeline.engine.groups.of(rule, Market.parse("one:C/USDT")).resume(state, bench.pipeline.now_us)
    later.load(EXCHANGE)
    assert later.openings == ["exchange:one"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("mode: enforce", "title: Storm\n    mode: enforce"),
        ("mode: enforce", "why: because\n    mode: enforce"),
        ("for: 20s", "for: 21s"),
        ("[alert, {quarantine", "[{quarantine"),
    ],
)
def test_an_edit_beside_the_level_leaves_group_and_hold_alone(old: str, new: str) -> None:
    bench = held()
    (before,) = bench.pipeline.isolation.active()
    bench.load(EXCHANGE.replace(old, new))
    assert bench.lines == []
    assert bench.pipeline.isolation.active() == (before,)


@pytest.mark.parametrize(("old", "new"), [("quorum: 2", "quorum: 1"), (">= 3", ">= 2"), ("for: 3s", "for: 4s")])
def test_a_group_that_is_judged_otherwise_ends_once_begins_anew_and_goes_on_holding(old: str, new: str) -> None:
    bench = held(EXCHANGE + BESIDE)
    bench.load((EXCHANGE + BESIDE).replace(old, new))
    assert told(bench) == [("storm", "danger", "normal")]
    bench.until(22)
    assert told(bench) == [("storm", "danger", "normal"), ("storm", "normal", "danger")]
    bench.until(200)
    assert bench.states("one:A/USDT") is IsolationState.NORMAL


@pytest.mark.parametrize("before", [ALONE, SYMBOL], ids=["market", "symbol"])
def test_a_hold_that_its_rule_has_no_group_for_any_more_ends_as_announced(before: str) -> None:
    bench = Bench(before)
    bench.burst("one:A/USDT", 20)
    bench.burst("two:A/USDT", 21)
    until_us = max(each.until_us for each in bench.pipeline.isolation.active())
    bench.load(EXCHANGE)
    assert {line["cause"] for line in bench.lines if line["type"] == "quarantine"} == {"rule_gone"}
    bench.until(until_us / 1e6 - 1_700_000_000 + 1)
    assert bench.pipeline.isolation.active() == ()


def test_an_action_added_beside_a_hold_does_not_ask_for_the_hold_again() -> None:
    text = EXCHANGE.replace("[alert, {quarantine", "[{quarantine").replace("probation: 0s", "probation: 300s")
    bench = held(text)
    for name in ("one:A/USDT", "one:B/USDT", "one:C/USDT"):
        bench.status(name, 22, Status.LOST)
    # Nobody can tell whether it is calm, so it goes on probation at its latest end while the level stands.
    bench.until(86_600)
    assert bench.states("one:A/USDT") is IsolationState.PROBATION
    (before,) = bench.pipeline.isolation.active()
    bench.load(text.replace("[{quarantine", "[alert, {quarantine"))
    assert told(bench) == [("storm", "normal", "danger")]
    assert bench.pipeline.isolation.active() == (before,)
