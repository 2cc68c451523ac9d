"""The recovery clock of a quarantine advances on ready data only: silence, holes, closings and restarts release nobody."""

from __future__ import annotations

from random import Random  # noqa: TID251 - seeded
from typing import TYPE_CHECKING

import pytest

from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.model import Batch, Channel, IsolationState, Kind, Market, MarketFacts, Status
from guard.model.ports import LedgerState
from guard.pipeline import Pipeline

if TYPE_CHECKING:
    from guard.model import Decision, Quarantine

S = 1_000_000
START_US = 1_700_000_000 * S
FLOOR_S, CALM_S, MAX_S = 30, 60, 1200
RULE = f"""
rules:
  busy:
    mode: enforce
    when: trades(10s) >= 20
    level: danger
    clear: {{for: 1s}}
    actions:
      danger:
        - quarantine:
            for: {FLOOR_S}s
            escalate: {{factor: 1, max: {MAX_S}s}}
            release: {{when: trades(10s) < 20, for: {CALM_S}s, probation: 0s}}
"""
MARKET = Market("x", "A/USDT")
LOSSES = (Status.LOST, Status.STALLED, Status.MAINTENANCE)


def made() -> Pipeline:
    report = Report()
    rules = rules_from_text(RULE, report)
    assert not report.errors
    return Pipeline(compile_rules(rules))


class Stage:
    """One market, second by second; counts for how many of them after the floor its data was ready."""

    def __init__(self) -> None:
        self.pipeline = made()
        self.row = self.pipeline.open(MarketFacts(MARKET, streams=frozenset({"trades"})))
        self.second = self.ready_s = self.key = 0
        self.freed_at: int | None = None
        self.cause = ""
        self.say(Status.LIVE)
        self.say(Status.WARM)

    @property
    def now_us(self) -> int:
        return START_US + self.second * S

    def put(self, kind: Kind, **columns: float) -> None:
        batch = Batch(1)
        row = {"price": 0.0, "amount": 0.0, "side": 0, "key": 0, **columns}
        batch.append(kind, self.row, at_us=self.now_us, received_us=self.now_us, flags=0, **row)  # type: ignore[arg-type]
        self.take(self.pipeline.process(batch))

    def say(self, status: Status) -> None:
        self.put(Kind.STATUS, side=Channel.ALL, key=status)

    def trade(self, count: int = 1) -> None:
        for _ in range(count):
            self.key += 1
            self.put(Kind.TRADE, price=1.0, amount=1.0, side=1, key=self.key)

    def take(self, decision: Decision) -> None:
        for transition in decision.transitions:
            if transition.quarantine.state is not IsolationState.QUARANTINED:
                self.freed_at, self.cause = self.second, transition.cause

    @property
    def held(self) -> tuple[Quarantine, ...]:
        return self.pipeline.isolation.active()

    def pass_s(self, seconds: int, *, trades: int = 0) -> None:
        for _ in range(seconds):
            held = self.held
            is_past_floor = bool(held) and self.now_us >= held[0].floor_us
            if is_past_floor and self.pipeline.engine.watched[self.row].health.is_ready(self.now_us):
                self.ready_s += 1
            self.second += 1
            self.trade(trades)
            self.take(self.pipeline.advance(self.now_us))

    def be_held(self) -> None:
        self.pass_s(15, trades=1)
        self.trade(30)
        self.pass_s(1)
        assert self.held

    def start_anew(self) -> None:
        """Lose all but the ledger, as a killed guard does."""
        ledger = LedgerState(2, 1, self.held, ())
        self.pipeline = made()
        self.pipeline.recall(ledger, self.now_us)
        self.row = self.pipeline.open(MarketFacts(MARKET, streams=frozenset({"trades"})))


def test_calm_on_ready_data_releases_after_floor_and_calm() -> None:
    stage = Stage()
    stage.be_held()
    stage.pass_s(FLOOR_S + CALM_S + 20, trades=1)
    assert stage.freed_at is not None
    assert (stage.cause, stage.ready_s >= CALM_S - 1) == ("calm", True)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("calm_s", [0, 40])
def test_a_feed_that_is_lost_in_the_release_stops_the_clock_until_it_is_back(loss: Status, calm_s: int) -> None:
    stage = Stage()
    stage.be_held()
    stage.pass_s(FLOOR_S + calm_s, trades=1)
    stage.say(loss)
    stage.pass_s(600)
    assert stage.held, "silence is no calm"
    stage.say(Status.LIVE)
    stage.pass_s(CALM_S - calm_s - 10, trades=1)
    assert stage.held
    # After a closing the market is watched for some minutes before anything is made of it.
    stage.pass_s(CALM_S + (400 if loss is Status.MAINTENANCE else 30), trades=1)
    assert (stage.cause, stage.ready_s >= CALM_S - 2) == ("calm", True)


@pytest.mark.parametrize("calm_s", [0, 40])
def test_a_restart_in_the_release_begins_the_calm_anew_and_never_releases_unseen(calm_s: int) -> None:
    stage = Stage()
    stage.be_held()
    stage.pass_s(FLOOR_S + calm_s, trades=1)
    stage.start_anew()
    stage.ready_s = 0
    stage.pass_s(300)
    assert stage.held, "nobody has seen this market since the start"
    stage.say(Status.LIVE)
    stage.say(Status.WARM)
    stage.pass_s(CALM_S - 5, trades=1)
    assert stage.held
    stage.pass_s(60, trades=1)
    assert (stage.cause, stage.ready_s >= CALM_S - 2) == ("calm", True)


def test_without_any_data_the_end_is_the_longest_time_and_says_so() -> None:
    stage = Stage()
    stage.be_held()
    stage.say(Status.LOST)
    stage.pass_s(MAX_S + 5)
    assert stage.cause == "max"
    assert all(each.state is IsolationState.PROBATION for each in stage.held)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_the_feed_does_a_release_by_calm_has_seen_its_calm(seed: int) -> None:
    chance = Random(seed)  # noqa: S311 - a made-up feed
    stage = Stage()
    stage.be_held()
    while not stage.cause and stage.second < MAX_S + 100:
        what = chance.random()
        if what < 0.4:
            stage.say(chance.choice(LOSSES))
            stage.pass_s(chance.randint(1, 120))
        elif what < 0.8:
            stage.say(Status.LIVE)
            stage.pass_s(chance.randint(1, 45), trades=chance.choice([0, 1]))
        elif what < 0.9:
            stage.start_anew()
            stage.ready_s = 0
            stage.pass_s(chance.randint(1, 30))
        else:
            stage.trade(30)
            stage.pass_s(1)
    assert stage.cause == "max" or (stage.cause == "calm" and stage.ready_s >= CALM_S - 2)
