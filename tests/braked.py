"""Markets of one exchange that follow a leader, on virtual time: an hour of quiet, then what a test lets happen."""

from __future__ import annotations

from math import exp, sin
from typing import TYPE_CHECKING, NamedTuple

from guard.alerts.policy import AlertPolicy, ChannelPolicy
from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.model import BUY, Batch, Channel, Kind, Level, Market, MarketFacts, Status
from guard.pipeline import Pipeline, Settings
from guard.runtime.lines import alert_line, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from guard.dsl import Program
    from guard.model import Decision

S = 1_000_000
T0 = 1_700_000_000 * S
QUIET_S = 4_200
STEP_S = 5
FALL = """
rules:
  fall:
    mode: enforce
    when: ret(60s) < -3%
    level: danger
    clear: {when: ret(60s) > -1%, for: 30s}
    actions: {danger: [alert, {quarantine: {for: 2m, release: {when: ret(60s) > -1%, for: 30s, probation: 1m}}}]}
"""
LEADER = "one:BTC/USDT"


class Row(NamedTuple):
    """One trade, or the news that a stream is live."""

    kind: Kind
    row: int
    at_us: int
    price: float = 0.0


def program(text: str = FALL) -> Program:
    report = Report()
    rules = rules_from_text(text, report)
    assert not report.errors, report.errors
    return compile_rules(rules)


def fresh(names: Sequence[str], text: str = FALL, **settings: object) -> Pipeline:
    policy = AlertPolicy((ChannelPolicy("push", frozenset(Level), daily_max=1_000),))
    given: dict[str, Any] = {"alerts": policy, "references": {"one": "BTC/USDT", "two": "BTC/USDT"}, **settings}
    pipeline = Pipeline(program(text), Settings(**given))
    for name in names:
        pipeline.open(MarketFacts(Market.parse(name), tick=1e-6, streams=frozenset({"trades"})))
    return pipeline


def moves(begin_s: float, size: float, over_s: float = 40.0) -> Callable[[float], float]:
    """Return a log price that moves by `size` within `over_s` and stays there."""
    return lambda at_s: size * min(1.0, max(0.0, (at_s - begin_s) / over_s))


def rows(paths: Mapping[str, Callable[[float], float]], *, until_s: float, quiet_s: float = QUIET_S) -> list[Row]:
    """Return the events: every market follows the same small waves with a noise of its own, and then its path."""
    names = list(paths)
    found = [Row(Kind.STATUS, row, T0) for row in range(len(names))]
    for step in range(1, int((quiet_s + until_s) / STEP_S)):
        at_s = step * STEP_S
        wave = 0.002 * sin(at_s / 97.0) + 0.001 * sin(at_s / 41.0)
        for row, name in enumerate(names):
            own = 0.0 if name.endswith("BTC/USDT") else 0.0006 * sin(at_s / 13.0 + 7 * row) + 0.0004 * sin(at_s / 29.0 + 3 * row)
            log_price = wave + own + paths[name](at_s - quiet_s)
            found.append(Row(Kind.TRADE, row, T0 + int(at_s * S) + 1_000 * row, 100.0 * exp(log_price)))
    return found


def batch(events: Sequence[Row]) -> Batch:
    made = Batch(max(1, len(events)))
    for number, (kind, row, at_us, price) in enumerate(events):
        if kind is Kind.STATUS:
            made.append(kind, row, at_us=at_us, received_us=at_us, side=Channel.TRADES, key=Status.LIVE)
        else:
            made.append(kind, row, at_us=at_us, received_us=at_us, price=price, amount=1.0, side=BUY, key=at_us + number)
    return made


def told(decisions: Sequence[Decision]) -> list[dict[str, Any]]:
    return [record for each in decisions for record in (*lines_of(each), *map(alert_line, each.deliveries))]


def held(lines: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return what began to be held: target and rule."""
    opened = [each for each in lines if each["type"] == "quarantine" and each["state"] == "quarantined"]
    return [(each["target"], each["rule"]) for each in opened if each["previous"] != "quarantined"]
