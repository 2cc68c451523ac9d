"""Maintenance that is announced and told at once, of many markets, of groups, and over a restart."""

from __future__ import annotations

import json

import pytest
from engine.grouped import EXCHANGE, T0, Bench, S, program

from guard.engine import closing
from guard.model import AddMaintenance, Batch, Channel, DataState, Flag, IsolationState, Kind, Market, MarketFacts, Status
from guard.model.quarantine import Target, TargetKind
from guard.pipeline import Pipeline

A, B, C = "one:A/USDT", "one:B/USDT", "one:C/USDT"
ONE = Target(TargetKind.EXCHANGE, "one")
PLAIN = "rules: {r: {mode: alert, when: trades(10s) >= 3 and volume_usd(6h) >= 0, level: warning, actions: {warning: [alert]}}}"
FEW = PLAIN.replace(" and volume_usd(6h) >= 0", "")


def window(since_s: float, until_s: float, target: Target = ONE) -> AddMaintenance:
    return AddMaintenance(target, T0 + int(since_s * S), T0 + int(until_s * S), "upgrade", "ann")


def rows(*told: tuple[Kind, float, int]) -> list[tuple[Kind, float, int]]:
    return list(told)


def feed(bench: Bench, told: list[tuple[Kind, float, int]], size: int) -> None:
    """Feed statuses (with their key) and trades (with theirs) of the first market."""
    for start in range(0, len(told), size):
        part = told[start : start + size]
        batch = Batch(len(part))
        for kind, at_s, key in part:
            at_us = T0 + int(at_s * S)
            value = 1.0 if kind is Kind.TRADE else 0.0
            side = 1 if kind is Kind.TRADE else Channel.ALL
            batch.append(kind, 0, at_us=at_us, received_us=at_us, price=value, amount=value, side=side, key=key)
        bench._take(bench.pipeline.process(batch))


def state(bench: Bench, row: int = 0) -> DataState:
    return bench.pipeline.engine.data_state(row, bench.pipeline.now_us)


@pytest.mark.parametrize("size", [1, 2, 100])
def test_exchange_that_is_back_within_the_window_is_heard_right_after_it_however_rows_are_cut(size: int) -> None:
    bench = Bench(FEW, (A,))
    feed(bench, rows((Kind.STATUS, 1, Status.MAINTENANCE)), 1)
    bench.pipeline.operate(window(2, 10), T0 + S)
    trades = [(Kind.TRADE, 11 + number / 10, number) for number in range(5)]
    feed(bench, rows((Kind.TRADE, 3, 90), (Kind.STATUS, 5, Status.LIVE), *trades), size)
    engine = bench.pipeline.engine
    assert engine.kernel.last(0) == (T0 + int(11.4 * S),) * 2
    bench.until(140)
    bench.burst(A, 140)
    assert state(bench) is DataState.OK
    assert engine.kernel.coverage(0, 10 * S) == 1.0
    assert [line["level"] for line in bench.lines] == ["warning"]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_maintenance_that_the_exchange_tells_outlasts_an_announced_window(size: int) -> None:
    bench = Bench(FEW, (A,))
    feed(bench, rows((Kind.STATUS, 1, Status.MAINTENANCE)), 1)
    bench.pipeline.operate(window(2, 10), T0 + S)
    feed(bench, rows(*((Kind.TRADE, 9 + number / 2, number) for number in range(9))), size)
    bench.until(14)
    assert state(bench) is DataState.MAINTENANCE
    feed(bench, rows((Kind.STATUS, 20, Status.LIVE)), 1)
    assert state(bench) is DataState.WARMING


def test_exchange_that_begins_within_the_window_stays_closed_after_it() -> None:
    bench = Bench(FEW, (A,))
    bench.pipeline.operate(window(2, 10), T0 + S)
    feed(bench, rows((Kind.TRADE, 3, 1), (Kind.STATUS, 8, Status.MAINTENANCE), (Kind.TRADE, 12, 2)), 100)
    assert state(bench) is DataState.MAINTENANCE


def test_a_whole_exchange_that_closes_at_once_costs_one_look_at_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    copied = 0
    really = closing._copy

    def counted(kept: Batch, batch: Batch, number: int) -> None:
        nonlocal copied
        copied += 1
        really(kept, batch, number)

    monkeypatch.setattr(closing, "_copy", counted)
    pipeline, markets, trades = Pipeline(program(FEW)), 200, 2_000
    for number in range(markets + 1):
        pipeline.open(MarketFacts(Market("one", f"M{number}/USDT"), streams=frozenset({"trades"})))
    batch = Batch(2 * markets + trades)
    for number in range(markets):
        for status in (Status.LOST, Status.MAINTENANCE):
            batch.append(Kind.STATUS, number, at_us=T0, received_us=T0, side=Channel.ALL, key=status)
    for number in range(trades):
        row = number % (markets + 1)
        batch.append(Kind.TRADE, row, at_us=T0 + number, received_us=T0 + number, price=1.0, amount=1.0, side=1, key=number)
    pipeline.process(batch)
    assert copied <= trades
    assert pipeline.engine.kernel.last(0) == (T0, T0)
    assert pipeline.engine.kernel.last(markets)[0] > T0


def test_what_a_closed_market_held_before_raises_no_group() -> None:
    bench = Bench(EXCHANGE.replace("trades(10s) == 0", "trades(60s) == 0"), (A, B, C))
    bench.burst(A, 20)
    bench.pipeline.operate(window(21, 30, Target(TargetKind.MARKET, A)), bench.pipeline.now_us)
    bench.until(22)
    bench.burst(B, 23)
    bench.until(24)
    assert bench.lines == []
    assert bench.states(B) is IsolationState.NORMAL
    bench.burst(C, 25)
    assert bench.verdicts == [(C, "one", "danger")]


def test_calm_does_not_go_on_where_rules_came_the_moment_before_a_window() -> None:
    text = EXCHANGE.replace("per: exchange", "").replace("quorum: 2", "").replace("{for: 5s,", "{when: trades(2s) == 0, for: 60s,")
    bench = Bench(text, (A,))
    bench.burst(A, 20)
    assert bench.states(A) is IsolationState.QUARANTINED
    bench.until(50)
    (held,) = bench.pipeline.isolation.active()
    assert bench.pipeline.isolation.calm_of(held, bench.pipeline.now_us)[1] is not None
    bench.load(text.replace("danger: [alert,", "danger: ["))
    bench.pipeline.operate(window(50, 600), bench.pipeline.now_us)
    assert bench.pipeline.isolation.calm_of(held, bench.pipeline.now_us)[1] is None


def test_block_in_maintenance_ends_at_its_latest_end_and_can_be_released() -> None:
    text = EXCHANGE.replace("per: exchange", "").replace("quorum: 2", "").replace("{for: 20s,", "{for: 20s, escalate: {max: 60s},")
    bench = Bench(text, (A,))
    bench.burst(A, 20)
    (held,) = bench.pipeline.isolation.active()
    bench.pipeline.operate(window(21, 3_600), bench.pipeline.now_us)
    bench.until((held.last_end_us - T0) / S - 1)
    assert bench.states(A) is IsolationState.QUARANTINED
    bench.until((held.last_end_us - T0) / S + 1)
    assert bench.states(A) is IsolationState.PROBATION


@pytest.mark.parametrize("is_restored", [False, True])
def test_past_from_before_a_window_warms_a_market_that_opens_in_it(*, is_restored: bool) -> None:
    first = Pipeline(program(PLAIN))
    first.advance(T0)
    first.operate(window(-3_600, 600), T0)
    saved = json.loads(json.dumps(first.windows.save()))
    pipeline = Pipeline(program(PLAIN)) if is_restored else first
    if is_restored:
        pipeline.announced(saved, T0 + 60 * S)
    row = pipeline.open(MarketFacts(Market("one", "A/USDT"), streams=frozenset({"trades"})))
    batch = Batch(120)
    for number in range(120):
        at_us = T0 + (number - 60) * S
        flags = Flag.BACKFILL
        batch.append(Kind.TRADE, row, at_us=at_us, received_us=T0 + 61 * S, price=1.0, amount=1.0, side=1, key=number, flags=flags)
    before = pipeline.engine.kernel.version(row)
    pipeline.process(batch)
    assert pipeline.engine.kernel.version(row) - before == 60
