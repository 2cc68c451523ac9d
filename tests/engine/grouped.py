"""A pipeline with a rule that judges markets together, on virtual time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from guard.alerts.policy import AlertPolicy, ChannelPolicy
from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.model import (
    BUY,
    Batch,
    Channel,
    IsolationState,
    Kind,
    Level,
    Market,
    MarketFacts,
    Status,
)
from guard.pipeline import Pipeline, Settings
from guard.runtime.lines import lines_of

if TYPE_CHECKING:
    from guard.dsl import Program
    from guard.model import Decision, Transition, Verdict

S = 1_000_000
T0 = 1_700_000_000 * S
EXCHANGE = """
rules:
  storm:
    mode: enforce
    per: exchange
    quorum: 2
    when: trades(10s) >= 3
    level: danger
    clear: {when: trades(10s) == 0, for: 3s}
    actions: {danger: [alert, {quarantine: {for: 20s, release: {for: 5s, probation: 0s}}}]}
"""
SYMBOL = EXCHANGE.replace("per: exchange", "per: symbol")
ALONE = EXCHANGE.replace("per: exchange", "").replace("quorum: 2", "")
MARKETS = ("one:A/USDT", "one:B/USDT", "one:C/USDT", "two:A/USDT", "two:B/USDT")


def program(text: str) -> Program:
    report = Report()
    rules = rules_from_text(text, report)
    assert not report.errors, report.errors
    return compile_rules(rules)


class Bench:
    """A pipeline on virtual time, with what it told."""

    def __init__(self, text: str = EXCHANGE, markets: tuple[str, ...] = MARKETS, *, jit: bool = False) -> None:
        self.pipeline = Pipeline(program(text), Settings(alerts=AlertPolicy((ChannelPolicy("push", frozenset(Level)),))), jit=jit)
        self.rows: dict[str, int] = {}
        self.lines: list[dict[str, Any]] = []
        self.log: list[Verdict | Transition] = []
        self.titles: list[str] = []
        self.bodies: list[str] = []
        for name in markets:
            self.open(name)

    def open(self, name: str, at_s: float = 0) -> None:
        self.rows[name] = self.pipeline.open(MarketFacts(Market.parse(name), streams=frozenset({"trades"})))
        self.status(name, at_s, Status.LIVE)

    def status(self, name: str, at_s: float, status: Status) -> None:
        self._put(Kind.STATUS, name, at_s, side=Channel.TRADES, key=status)

    def burst(self, name: str, at_s: float) -> None:
        for number in range(4):
            self.trade(name, at_s + number / 10)

    def trade(self, name: str, at_s: float) -> None:
        self._put(Kind.TRADE, name, at_s, price=1.0, amount=1.0, side=BUY, key=int(at_s * 1000))

    def load(self, text: str) -> None:
        """Swap the rules; what was told before is forgotten."""
        self.lines, self.titles, self.log = [], [], []
        self._take(self.pipeline.load(program(text), self.pipeline.now_us))

    def until(self, at_s: float) -> None:
        self._take(self.pipeline.advance(T0 + int(at_s * S)))

    def _put(self, kind: Kind, name: str, at_s: float, **columns: float) -> None:
        batch, at_us = Batch(1), T0 + int(at_s * S)
        batch.append(kind, self.rows[name], at_us=at_us, received_us=at_us, **columns)  # type: ignore[arg-type]
        self._take(self.pipeline.process(batch))

    def _take(self, decision: Decision) -> None:
        self.log += decision.log
        self.lines += lines_of(decision)
        self.titles += [each.title for each in decision.deliveries]
        self.bodies += [each.body for each in decision.deliveries]

    @property
    def verdicts(self) -> list[tuple[str, str, str]]:
        return [(line["market"], line.get("group", ""), line["level"]) for line in self.lines if line["type"] == "verdict"]

    @property
    def openings(self) -> list[str]:
        states = [line for line in self.lines if line["type"] == "quarantine"]
        return [line["target"] for line in states if line["state"] == "quarantined" and line["previous"] == "normal"]

    def states(self, at: str) -> IsolationState:
        return self.pipeline.isolation.state_of(Market.parse(at))

    def restored(self, text: str = EXCHANGE) -> Bench:
        state = json.loads(json.dumps(self.pipeline.save()))
        found = Bench(text, tuple(self.rows))
        found.pipeline.restore(state)
        found.lines, found.titles = [], []
        return found
