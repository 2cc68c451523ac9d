"""Evaluations in which a rule says what it said before, and all the same something has to happen."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.model import (
    BUY,
    AddQuarantine,
    Batch,
    Channel,
    IsolationState,
    Kind,
    Market,
    MarketFacts,
    Status,
    Target,
    TargetKind,
)
from guard.pipeline import Pipeline

if TYPE_CHECKING:
    from guard.model import Decision

S = 1_000_000
T0 = 1_700_000_000 * S
# It keeps the market open, so that the whole signatures are compared.
OPEN = """
rules:
  open:
    level: warning
    mode: alert
    when: trades(60s) >= 1
    clear: {when: trades(60s) == 0, for: 1s}
    actions: {warning: [alert]}
"""
CLEAR_AT_ONCE = """
  busy:
    mode: enforce
    level: danger
    when: trades(10s) >= 3
    clear: {when: trades(1s) < 2, for: 0s}
    actions: {danger: [quarantine]}
"""
CLEAR_LATER = """
  busy:
    mode: enforce
    level: danger
    when: trades(10s) >= 3
    clear: {when: trades(1s) < 2, for: 2s}
    actions: {danger: [alert]}
"""
CALM_ALREADY = """
  second:
    mode: enforce
    level: danger
    when: trades(10s) >= 3
    for: 2s
    clear: {when: trades(30s) == 0, for: 20s}
    actions: {danger: [{quarantine: {for: 2s, release: {when: trades(10s) >= 1, for: 1s, probation: 0s}}}]}
"""
SILENT = """
rules:
  silent:
    mode: enforce
    level: danger
    when: age(trades) > 30s
    actions: {danger: [quarantine]}
"""
FORMS = [
    False,
    pytest.param(True, marks=pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed")),
]
forms = pytest.mark.parametrize("jit", FORMS, ids=["plain", "compiled"])


class Watch:
    """One market of a pipeline, fed trade by trade."""

    def __init__(self, text: str, *, jit: bool) -> None:
        report = Report()
        rules = rules_from_text(text, report)
        assert not report.errors, report.errors
        self.pipeline = Pipeline(compile_rules(rules), jit=jit)
        self.market = Market("x", "A/USDT")
        self.pipeline.open(MarketFacts(self.market, streams=frozenset({"trades"})))
        self.levels: list[tuple[float, str, str]] = []
        # All windows are covered when it begins.
        self.put(-100.0, Kind.STATUS, side=Channel.TRADES, key=Status.LIVE)

    def put(self, at_s: float, kind: Kind = Kind.TRADE, **columns: int) -> None:
        batch = Batch(1)
        at_us = T0 + round(at_s * S)
        batch.append(kind, 0, at_us=at_us, received_us=at_us, price=1.0, amount=1.0, **{"side": BUY, "key": at_us, **columns})
        self.take(self.pipeline.process(batch))

    def until(self, at_s: float) -> None:
        self.take(self.pipeline.advance(T0 + round(at_s * S)))

    def take(self, decision: Decision) -> None:
        self.levels += [(round((each.at_us - T0) / S, 2), each.rule, str(each.level)) for each in decision.verdicts]

    def of(self, rule: str) -> list[tuple[float, str]]:
        return [(at_s, level) for at_s, name, level in self.levels if name == rule]

    @property
    def is_held(self) -> bool:
        return self.pipeline.isolation.state_of(self.market) is IsolationState.QUARANTINED


@forms
def test_rule_that_fired_while_it_was_clear_rises_once_it_is_not(*, jit: bool) -> None:
    watch = Watch(OPEN + CLEAR_AT_ONCE, jit=jit)
    for at_s in (1.0, 3.0, 5.0):
        watch.put(at_s)
    watch.until(5.5)
    assert watch.of("busy") == []
    watch.put(5.6)
    watch.until(5.7)
    assert watch.of("busy") == [(5.6, "danger")]
    assert watch.is_held


@forms
def test_rule_that_still_fires_when_it_is_over_rises_again(*, jit: bool) -> None:
    watch = Watch(OPEN + CLEAR_LATER, jit=jit)
    for at_s in (1.0, 1.2, 1.4):
        watch.put(at_s)
    watch.until(5.0)
    (_, risen), (over_s, over) = watch.of("busy")
    assert (risen, over) == ("danger", "normal")
    watch.until(over_s + 2.0)
    assert [level for _, level in watch.of("busy")][:3] == ["danger", "normal", "danger"]


@forms
def test_second_hold_hears_that_it_is_calm_though_it_was_so_before(*, jit: bool) -> None:
    watch = Watch(OPEN + CALM_ALREADY, jit=jit)
    for at_s in (1.0, 2.0, 3.0):
        watch.put(at_s)
    order = AddQuarantine(Target(TargetKind.MARKET, str(watch.market)), 4 * S, "news", "ann")
    watch.take(watch.pipeline.operate(order, watch.pipeline.now_us))
    for tenth in range(31, 90):
        watch.put(tenth / 10)
    assert watch.of("second") == [(5.0, "danger")]
    assert not watch.is_held


@forms
def test_market_that_falls_silent_under_a_persons_hold_is_looked_at_after_it(*, jit: bool) -> None:
    watch = Watch(SILENT, jit=jit)
    watch.put(1.0)
    watch.until(1.5)
    order = AddQuarantine(Target(TargetKind.MARKET, str(watch.market)), 10 * S, "news", "ann")
    watch.take(watch.pipeline.operate(order, watch.pipeline.now_us))
    watch.until(20.0)
    assert not watch.is_held
    watch.until(60.0)
    assert [level for _, level in watch.of("silent")] == ["danger"]
    assert watch.is_held
