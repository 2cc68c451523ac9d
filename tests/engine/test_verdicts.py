"""What a verdict carries and what it orders."""

from __future__ import annotations

import pytest
from engine.running import take

from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.engine import Engine, hold_of
from guard.model import BUY, Batch, Channel, Kind, Level, Market, MarketFacts, Status, TargetKind, Verdict

S = 1_000_000
T0 = 1_700_000_000 * S
RULE = """
rules:
  busy:
    title: Busy
    mode: MODE
    when: trades(10s) >= 3
    level: danger
    actions: ACTIONS
"""


def engine(actions: str, mode: str = "enforce") -> Engine:
    report = Report()
    rules = rules_from_text(RULE.replace("ACTIONS", actions).replace("MODE", mode), report)
    assert not report.errors, report.errors
    return Engine(compile_rules(rules))


def rise(engine: Engine) -> Verdict:
    """Return the verdict of a burst of trades."""
    row = engine.open(MarketFacts(Market("x", "A/USDT"), streams=frozenset({"trades"})))
    batch = Batch(8)
    batch.append(Kind.STATUS, row, at_us=T0, received_us=T0, side=Channel.TRADES, key=Status.LIVE)
    for step in range(5):
        at_us = T0 + 20 * S + step * S // 10
        batch.append(Kind.TRADE, row, at_us=at_us, received_us=at_us, price=1.0, amount=1.0, side=BUY, key=step + 1)
    (verdict,) = take(engine, batch)
    return verdict


@pytest.mark.parametrize(
    ("actions", "alert"),
    [
        ("{danger: [alert]}", True),
        ("{warning: [alert]}", True),
        ("{danger: [quarantine]}", False),
        ("{critical: [alert]}", False),
        ("{warning: [alert], danger: [quarantine]}", False),
    ],
)
def test_a_verdict_asks_for_an_alert_only_where_its_rule_lists_it(actions: str, *, alert: bool) -> None:
    verdict = rise(engine(actions))
    assert (verdict.level, verdict.alert) == (Level.DANGER, alert)


def test_a_hold_names_its_target_and_says_why() -> None:
    at_work = engine("{danger: [{quarantine: {for: 5m, target: base}}]}")
    hold = hold_of(at_work.program, rise(at_work))
    assert hold is not None
    assert (hold.target.kind, hold.target.name, hold.for_us) == (TargetKind.BASE, "A", 300 * S)
    assert hold.reason.startswith("Busy: danger")


@pytest.mark.parametrize("mode", ["alert", "shadow"])
def test_a_rule_that_may_not_block_holds_nothing(mode: str) -> None:
    at_work = engine("{danger: [quarantine]}", mode)
    assert hold_of(at_work.program, rise(at_work)) is None


def test_a_falling_level_and_a_level_without_quarantine_hold_nothing() -> None:
    at_work = engine("{warning: [quarantine], danger: [alert]}")
    verdict = rise(at_work)
    assert hold_of(at_work.program, verdict) is None
    assert hold_of(at_work.program, verdict._replace(level=Level.WARNING)) is not None
    assert hold_of(at_work.program, verdict._replace(level=Level.WARNING, previous=Level.DANGER)) is None
