"""Maintenance, announced or told: nothing is folded in, no level rises, no calm counts, and its end settles for two minutes."""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.errors import OperationRefused
from guard.model import (
    AddMaintenance,
    Batch,
    Channel,
    DataState,
    EndMaintenance,
    IsolationState,
    Kind,
    Market,
    Status,
    Target,
    TargetKind,
)
from guard.pipeline import Pipeline
from guard.runtime.lines import lines_of
from guard_sim import tape

S = 1_000_000
SIM = Target(TargetKind.EXCHANGE, "sim")
MOON = Market("sim", "MOON/USDT")
SYMBOLS = ["BTC/USDT", "MOON/USDT"]
START_US = tape.START_US
RULES = """
rules:
  rush:
    mode: enforce
    when: abs(ret(10s)) > 0.5%
    level: danger
    clear: {when: abs(ret(10s)) < 0.3%, for: 5s}
    actions: {danger: [alert, {quarantine: {for: 15s, release: {when: abs(ret(10s)) < 0.3%, for: 10s, probation: 10s}}}]}
  traded: {mode: shadow, when: volume_usd(5m) > 0, level: warning}
"""


@cache
def rows() -> tuple[tape.Row, ...]:
    """Return five minutes of trades with a pump after 62 s."""
    schedule = [{"pattern": "pump_dump", "symbol": "MOON/USDT", "at": 62}]
    events = tape.events(duration_s=300.0, history_s=3_600.0, symbols=SYMBOLS, schedule=schedule)
    return tuple(row for row in events if row.kind != Kind.LEVEL)


def fresh() -> Pipeline:
    report = Report()
    program = compile_rules(rules_from_text(RULES, report))
    assert not report.errors
    pipeline = Pipeline(program)
    for facts in tape.facts(symbols=SYMBOLS):
        pipeline.open(facts._replace(streams=frozenset({"trades"})))
    return pipeline


def batch_of(rows: tuple[tape.Row, ...] | list[tape.Row]) -> Batch:
    batch = Batch(max(1, len(rows)))
    for row in rows:
        columns = row._asdict()
        batch.append(columns.pop("kind"), columns.pop("market"), **columns)
    return batch


def until(seconds: float, since: float = -1e9) -> list[tape.Row]:
    return [row for row in rows() if START_US + since * S <= row.received_us < START_US + seconds * S]


def window(start_s: float, end_s: float, target: Target = SIM) -> AddMaintenance:
    return AddMaintenance(target, START_US + int(start_s * S), START_US + int(end_s * S), "upgrade", "ann")


def data(pipeline: Pipeline, market: Market = MOON) -> DataState:
    return pipeline.engine.data_state(pipeline.engine.markets[market], pipeline.now_us)


def test_pump_without_maintenance_is_held() -> None:
    pipeline = fresh()
    decision = pipeline.process(batch_of(until(90)))
    assert any(t.quarantine.state is IsolationState.QUARANTINED for t in decision.transitions)


def test_pump_in_an_announced_window_raises_nothing_and_its_end_settles_for_two_minutes() -> None:
    pipeline = fresh()
    pipeline.process(batch_of(until(50)))
    pipeline.operate(window(55, 100), START_US + 50 * S)
    assert data(pipeline) is DataState.OK
    decisions = [pipeline.process(batch_of(until(56, 50)))]
    assert data(pipeline) is DataState.MAINTENANCE
    decisions += [pipeline.process(batch_of(until(90, 56))), pipeline.advance(START_US + 99 * S)]
    assert data(pipeline) is DataState.MAINTENANCE
    decisions.append(pipeline.process(batch_of(until(215, 99))))
    assert data(pipeline) is DataState.WARMING
    assert not any(t.quarantine.state is IsolationState.QUARANTINED for d in decisions for t in d.transitions)
    assert not any(v.level > v.previous for d in decisions for v in d.verdicts)
    pipeline.process(batch_of(until(280, 215)))
    assert data(pipeline) is DataState.OK


def test_window_of_one_market_leaves_the_others_alone() -> None:
    pipeline = fresh()
    pipeline.process(batch_of(until(50)))
    pipeline.operate(window(0, 100, Target(TargetKind.MARKET, "sim:BTC/USDT")), START_US + 50 * S)
    assert data(pipeline, Market("sim", "BTC/USDT")) is DataState.MAINTENANCE
    decision = pipeline.process(batch_of(until(90, 50)))
    assert any(t.quarantine.state is IsolationState.QUARANTINED for t in decision.transitions)


def test_nothing_of_a_window_is_folded_in() -> None:
    closed, without = fresh(), fresh()
    closed.process(batch_of(until(50)))
    closed.operate(window(50, 100), START_US + 50 * S)
    closed.process(batch_of(until(110, 50)))
    without.process(batch_of(until(50)))
    without.operate(window(50, 100), START_US + 50 * S)
    without.process(batch_of(until(110, 100)))
    row = closed.engine.markets[MOON]
    assert repr(closed.engine.kernel.values(row, closed.now_us)) == repr(without.engine.kernel.values(row, without.now_us))
    assert closed.save()["engine"]["kernel"]["markets"][row]["parts"] == without.save()["engine"]["kernel"]["markets"][row]["parts"]


def test_calm_counts_neither_in_maintenance_nor_while_it_settles() -> None:
    pipeline = fresh()
    pipeline.process(batch_of(until(80)))
    (held,) = pipeline.isolation.active()
    assert held.state is IsolationState.QUARANTINED
    pipeline.operate(window(80, 110), START_US + 80 * S)
    decision = pipeline.process(batch_of(until(229, 80)))
    calm_us, due_us = pipeline.isolation.calm_of(held, pipeline.now_us)
    assert (calm_us, due_us) == (0, None)
    assert all(t.cause == "extend" for t in decision.transitions)
    (held,) = pipeline.isolation.active()
    assert held.state is IsolationState.QUARANTINED
    pipeline.process(batch_of(until(299, 229)))
    assert pipeline.isolation.calm_of(held, pipeline.now_us)[0] > 0 or not pipeline.isolation.active()


@settings(max_examples=6, deadline=None)
@given(cuts=st.lists(st.integers(0, 10**6), max_size=6))
def test_windows_do_not_depend_on_how_events_are_cut(cuts: list[int]) -> None:
    def run(places: list[int]) -> tuple[list[object], str]:
        pipeline = fresh()
        pipeline.process(batch_of(until(40)))
        for each in (window(45, 60), window(58, 64), window(70, 80, Target(TargetKind.MARKET, "sim:MOON/USDT"))):
            pipeline.operate(each, START_US + 40 * S)
        rest = until(250, 40)
        decisions = [
            pipeline.process(batch_of(rest[a:b])) for a, b in pairwise(sorted({p % len(rest) for p in places} | {0, len(rest)}))
        ]
        return [line for decision in decisions for line in lines_of(decision)], json.dumps(pipeline.save())

    assert run(cuts) == run([])


def test_restored_in_a_window_it_goes_on_as_before() -> None:
    first, second = fresh(), fresh()
    first.process(batch_of(until(50)))
    first.operate(window(52, 58), START_US + 50 * S)
    first.process(batch_of(until(55, 50)))
    second.restore(json.loads(json.dumps(first.save())))
    ends = [list(lines_of(each.process(batch_of(until(280, 55))))) for each in (first, second)]
    assert ends[0] == ends[1]
    assert data(first) is data(second) is DataState.OK
    assert first.save() == second.save()


def said(status: Status, at_s: float, channel: Channel = Channel.ALL) -> tape.Row:
    at_us = START_US + int(at_s * S)
    return tape.Row(Kind.STATUS, 1, at_us, at_us, 0.0, 0.0, channel, status, 0)


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_exchange_that_says_so_and_sends_on_is_not_believed_until_it_is_live(size: int) -> None:
    pipeline = fresh()
    pipeline.process(batch_of(until(50)))
    rest = [*until(60, 50), said(Status.MAINTENANCE, 60), *until(100, 60), said(Status.LIVE, 100), *until(215, 100)]
    decisions = [pipeline.process(batch_of(rest[start : start + size])) for start in range(0, len(rest), size)]
    assert not any(v.level > v.previous and v.market == MOON for d in decisions for v in d.verdicts if v.rule == "rush")
    assert data(pipeline) is DataState.WARMING


def test_reconnect_inside_a_window_does_not_end_it() -> None:
    pipeline = fresh()
    pipeline.process(batch_of(until(50)))
    pipeline.operate(window(50, 100), START_US + 50 * S)
    flapping = [said(Status.LOST, 60), said(Status.LIVE, 61), said(Status.MAINTENANCE, 62), said(Status.LIVE, 63)]
    decision = pipeline.process(batch_of([*until(60, 50), *flapping, *until(99, 63)]))
    assert data(pipeline) is DataState.MAINTENANCE
    assert not decision.transitions
    pipeline.process(batch_of(until(200, 99)))
    assert data(pipeline) is DataState.WARMING


def test_window_taken_back_ends_at_once_and_settles() -> None:
    pipeline = fresh()
    pipeline.process(batch_of(until(50)))
    pipeline.operate(window(50, 100), START_US + 50 * S)
    (announced,) = pipeline.windows.all()
    pipeline.operate(EndMaintenance(None, announced.id, "over", "bob"), START_US + 51 * S)
    assert data(pipeline) is DataState.WARMING
    assert pipeline.windows.all() == ()
    with pytest.raises(OperationRefused, match="announced are none"):
        pipeline.operate(EndMaintenance(SIM, None, "over", "bob"), START_US + 51 * S)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (window(10, 5), "after it begins"),
        (window(-100, -50), "after now"),
        (window(0, 8 * 86_400), "at most 7d"),
        (window(400 * 86_400, 400 * 86_400 + 1), "within 366d"),
        (window(0, 10, Target(TargetKind.BASE, "MOON")), "of an exchange or of a market"),
    ],
)
def test_window_that_makes_no_sense_is_refused_with_the_reason(command: AddMaintenance, words: str) -> None:
    pipeline = fresh()
    with pytest.raises(OperationRefused, match=words):
        pipeline.operate(command, START_US)
    assert pipeline.windows.all() == ()


def test_clock_that_jumps_over_a_window_ends_it() -> None:
    pipeline = fresh()
    pipeline.process(batch_of(until(50)))
    pipeline.operate(window(60, 70), START_US + 50 * S)
    pipeline.advance(START_US + 86_400 * S)
    assert data(pipeline) is not DataState.MAINTENANCE
    assert pipeline.windows.all() == ()
