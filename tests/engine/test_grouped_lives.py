"""Groups of markets over restarts, restored state and new rules."""

from __future__ import annotations

import json

from engine.grouped import EXCHANGE, MARKETS, T0, Bench, S, program

from guard.model import IsolationState, Level, Market
from guard.model.ports import LedgerState


def test_after_a_restart_an_exchange_waits_for_the_market_that_tipped_it() -> None:
    bench = Bench()
    bench.burst("one:A/USDT", 20)
    bench.burst("one:B/USDT", 21)
    for opened, state in ((MARKETS[:3], IsolationState.NORMAL), (("one:A/USDT", "one:C/USDT"), IsolationState.QUARANTINED)):
        later = Bench(markets=())
        later.pipeline.recall(LedgerState(1, 0, bench.pipeline.isolation.active(), ()), T0 + 30 * S)
        for name in opened:
            later.open(name, 30)
        later.until(200)
        assert later.states("one:A/USDT") is state


def test_after_a_restart_nothing_is_calm_before_every_market_can_tell() -> None:
    bench = Bench()
    bench.burst("one:A/USDT", 20)
    bench.burst("one:B/USDT", 21)
    later = Bench(EXCHANGE.replace("release: {for: 5s", "release: {when: ret(10s) < 100%, for: 5s"), ())
    later.pipeline.recall(LedgerState(1, 0, bench.pipeline.isolation.active(), ()), T0 + 30 * S)
    for name in MARKETS[:3]:
        later.open(name, 30)
    later.until(100)
    assert later.states("one:A/USDT") is IsolationState.QUARANTINED
    for name in MARKETS[:2]:
        later.trade(name, 101)
    later.until(140)
    assert later.states("one:A/USDT") is IsolationState.NORMAL


def test_a_restored_pipeline_goes_on_with_the_same_groups() -> None:
    first = Bench()
    first.burst("one:A/USDT", 20)
    second = first.restored()
    for bench in (first, second):
        bench.burst("one:B/USDT", 21)
    third = second.restored()
    for bench in (first, second, third):
        bench.lines = []
        bench.until(23)
        bench.burst("one:C/USDT", 24)
        bench.until(100)
    assert first.lines
    assert first.lines == second.lines == third.lines


def test_state_without_groups_is_read_as_one_where_no_group_stood() -> None:
    bench = Bench()
    bench.burst("one:A/USDT", 20)
    state = bench.pipeline.save()
    del state["engine"]["groups"]
    other = Bench()
    other.pipeline.restore(json.loads(json.dumps(state)))
    other.lines = []
    assert other.pipeline.why(0)["rules"][0]["group"]["held"] == 0
    other.trade("one:A/USDT", 20.5)
    assert other.pipeline.why(0)["rules"][0]["group"]["held"] == 1
    other.burst("one:B/USDT", 21)
    assert other.verdicts == [("one:B/USDT", "one", "danger")]


def test_a_reload_keeps_the_group_of_an_unchanged_rule_and_drops_that_of_a_changed_one() -> None:
    bench = Bench()
    bench.burst("one:A/USDT", 20)
    now_us = bench.pipeline.now_us
    bench.pipeline.load(
        program("rules:\n  other: {when: trades(10s) > 100, level: warning}\n" + EXCHANGE.partition("rules:\n")[2]), now_us
    )
    bench.burst("one:B/USDT", 21)
    assert bench.verdicts == [("one:B/USDT", "one", "danger")]
    rule = next(rule for rule in bench.pipeline.engine.program.rules if rule.id == "storm")
    assert bench.pipeline.engine.groups.of(rule, Market("one", "A/USDT")).level is Level.DANGER
    bench.pipeline.load(program(EXCHANGE.replace("quorum: 2", "quorum: 3")), bench.pipeline.now_us)
    (rule,) = bench.pipeline.engine.program.rules
    group = bench.pipeline.engine.groups.of(rule, Market("one", "A/USDT"))
    assert (group.level, len(group.rows)) == (Level.NORMAL, 3)


def test_a_mode_that_goes_up_holds_the_group_at_once_and_once() -> None:
    bench = Bench(EXCHANGE.replace("enforce", "alert"))
    bench.burst("one:A/USDT", 20)
    bench.burst("one:B/USDT", 21)
    assert (bench.openings, len(bench.verdicts)) == ([], 1)
    bench.load(EXCHANGE)
    bench.trade("one:A/USDT", 22)
    bench.trade("one:B/USDT", 22.5)
    bench.until(24)
    assert bench.openings == ["exchange:one"]
    assert len(bench.verdicts) == 1
