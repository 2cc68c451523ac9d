"""Rules that judge markets together, through the whole pipeline."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from guard.alerts.policy import AlertPolicy, ChannelPolicy
from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.model import (
    BUY,
    AddQuarantine,
    Batch,
    Channel,
    IsolationState,
    Kind,
    Level,
    Market,
    MarketFacts,
    ReleaseQuarantine,
    Status,
    Target,
    TargetKind,
)
from guard.model.ports import LedgerState
from guard.pipeline import Pipeline, Settings
from guard.runtime.board import board_rows
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


def test_an_exchange_has_one_verdict_one_quarantine_and_one_message() -> None:
    bench = Bench()
    bench.burst("one:A/USDT", 20)
    assert bench.lines == []
    bench.burst("two:A/USDT", 21)
    assert bench.lines == []
    bench.burst("one:C/USDT", 22)
    bench.burst("one:B/USDT", 23)
    assert bench.verdicts == [("one:C/USDT", "one", "danger")]
    line = bench.lines[0]
    assert (line["per"], line["members"], line["members_more"]) == ("exchange", ["one:A/USDT", "one:C/USDT"], 0)
    assert line["quorum"] == {"held": 2, "needed": 2, "of": 3}
    assert bench.openings == ["exchange:one"]
    assert bench.titles == ["[DANGER] exchange:one quarantined by storm"]
    assert "danger on 2 of 3 markets of one (one:A/USDT, one:C/USDT), quorum 2" in bench.bodies[0]
    assert [bench.states(name) for name in MARKETS] == [IsolationState.QUARANTINED] * 3 + [IsolationState.NORMAL] * 2


def test_a_symbol_has_one_level_over_all_exchanges() -> None:
    bench = Bench(SYMBOL)
    bench.burst("one:A/USDT", 20)
    bench.burst("one:B/USDT", 21)
    assert bench.lines == []
    bench.burst("two:A/USDT", 22)
    assert bench.verdicts == [("two:A/USDT", "A/USDT", "danger")]
    assert bench.openings == ["symbol:A/USDT"]


def test_without_a_quarantine_one_message_names_the_group_and_its_markets() -> None:
    bench = Bench(EXCHANGE.replace(", {quarantine: {for: 20s, release: {for: 5s, probation: 0s}}}", ""))
    for at_s, name in enumerate(MARKETS[:3]):
        bench.burst(name, 20 + at_s)
    assert bench.titles == ["[DANGER] exchange:one: storm on 2 of 3 markets"]
    assert "one:A/USDT, one:B/USDT" in bench.bodies[0]
    assert "guard why one:B/USDT" in bench.bodies[0]
    bench.until(60)
    assert bench.verdicts[-1][1:] == ("one", "normal")
    assert len(bench.verdicts) == 2


def test_a_rule_in_shadow_says_what_it_would_do_and_does_nothing() -> None:
    bench = Bench(EXCHANGE.replace("enforce", "shadow"))
    for name in MARKETS[:3]:
        bench.burst(name, 20)
    assert bench.verdicts == [("one:B/USDT", "one", "danger")]
    assert (bench.openings, bench.titles) == ([], [])


def test_a_disabled_rule_has_no_groups() -> None:
    bench = Bench(EXCHANGE.replace("enforce", "disabled"))
    for name in MARKETS:
        bench.burst(name, 20)
    bench.until(60)
    assert bench.lines == []
    assert bench.pipeline.why(0)["rules"] == []


def test_members_that_are_not_enough_block_nothing_and_why_shows_how_many_are_missing() -> None:
    bench = Bench()
    bench.burst("one:A/USDT", 20)
    (told,) = bench.pipeline.why(bench.rows["one:A/USDT"])["rules"]
    assert told["level"] == "danger"
    group = told["group"]
    assert (group["name"], group["level"], group["held"], group["needed"], group["of"]) == ("one", "normal", 1, 2, 3)
    assert group["members"] == ["one:A/USDT"]
    assert told["missing"] == ["2 markets of one at warning or above (there are 1)"]
    assert bench.pipeline.view(bench.rows["one:A/USDT"]).level == "normal"
    assert {row.level for row in board_rows(bench.pipeline, bench.pipeline.now_us)} == {Level.NORMAL}
    bench.burst("one:B/USDT", 21)
    assert bench.pipeline.view(bench.rows["one:C/USDT"]).level == "danger"
    assert [row.market for row in board_rows(bench.pipeline, bench.pipeline.now_us) if row.level is Level.DANGER] == list(
        MARKETS[:3]
    )
    assert bench.pipeline.why(bench.rows["one:C/USDT"])["rules"][0]["missing"] == ["trades(10s) >= 3 (trades(10s) is 0)"]


def test_a_release_asks_every_market_and_takes_silence_of_the_data_for_no_calm() -> None:
    lost = Bench(EXCHANGE.replace("quorum: 2", "quorum: 1"), MARKETS[:3])
    calm = Bench(EXCHANGE.replace("quorum: 2", "quorum: 1"), MARKETS[:3])
    for bench in (lost, calm):
        bench.burst("one:A/USDT", 20)
        assert bench.states("one:C/USDT") is IsolationState.QUARANTINED
    lost.status("one:C/USDT", 21, Status.LOST)
    for bench in (lost, calm):
        bench.until(80)
    assert calm.states("one:C/USDT") is IsolationState.NORMAL
    assert lost.states("one:C/USDT") is IsolationState.QUARANTINED
    lost.status("one:C/USDT", 81, Status.LIVE)
    lost.until(200)
    assert lost.states("one:C/USDT") is IsolationState.NORMAL


def test_a_thin_market_that_never_offended_does_not_keep_an_exchange() -> None:
    # The return of a market that has never traded is unknown, though its stream is live.
    text = EXCHANGE.replace("quorum: 2", "quorum: 1").replace("release: {", "release: {when: ret(10s) < 100%, ")
    bench = Bench(text, MARKETS[:3])
    bench.burst("one:A/USDT", 20)
    bench.burst("one:B/USDT", 20.5)
    bench.until(60)
    assert bench.states("one:C/USDT") is IsolationState.NORMAL
    assert [line["cause"] for line in bench.lines if line["type"] == "quarantine"][-1] == "calm"


def test_one_dead_market_does_not_hold_an_exchange_whose_quorum_is_two() -> None:
    bench = Bench()
    bench.burst("one:A/USDT", 20)
    bench.burst("one:B/USDT", 20.5)
    bench.status("one:C/USDT", 21, Status.LOST)
    bench.until(80)
    assert bench.states("one:C/USDT") is IsolationState.NORMAL
    assert [line["cause"] for line in bench.lines if line["type"] == "quarantine"][-1] == "calm"


def test_what_a_market_said_of_an_earlier_quarantine_is_forgotten() -> None:
    bench = Bench(EXCHANGE.replace("quorum: 2", "quorum: 1"), MARKETS[:3])
    bench.burst("one:A/USDT", 20)
    bench.until(80)
    assert bench.states("one:C/USDT") is IsolationState.NORMAL
    # Held by a person: nothing wakes it when the rule holds its exchange again.
    bench.pipeline.operate(AddQuarantine(Target(TargetKind.MARKET, "one:C/USDT"), 3600 * S, "news", "ann"), bench.pipeline.now_us)
    bench.status("one:C/USDT", 85, Status.LOST)
    bench.burst("one:A/USDT", 90)
    bench.until(300)
    assert bench.states("one:B/USDT") is IsolationState.QUARANTINED


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


def test_members_that_go_on_keep_the_exchange_until_fewer_than_the_quorum_do() -> None:
    bench = Bench()
    for second in range(20, 120):
        for name in MARKETS[:2]:
            bench.trade(name, second)
    assert bench.states("one:C/USDT") is IsolationState.QUARANTINED
    for second in range(120, 160):
        bench.trade("one:A/USDT", second)
    assert bench.states("one:C/USDT") is IsolationState.NORMAL
    assert len(bench.openings) == 1


def test_a_feed_that_is_lost_never_tips_a_group() -> None:
    bench = Bench()
    bench.burst("one:A/USDT", 20)
    bench.status("one:A/USDT", 21, Status.LOST)
    bench.until(200)
    bench.burst("one:B/USDT", 200)
    assert bench.lines == []
    (told,) = bench.pipeline.why(0)["rules"]
    assert (told["group"]["held"], told["group"]["unsure"]) == (2, 1)
    # Its data is back while the other still holds: what it held before does not count, though it is not clear yet.
    bench.status("one:A/USDT", 201, Status.LIVE)
    bench.until(211.5)
    assert [episode.level for watched in bench.pipeline.engine.watched[:2] for episode in watched.episodes] == [Level.DANGER] * 2
    bench.until(230)
    assert bench.lines == []
    bench.burst("one:A/USDT", 231)
    bench.burst("one:B/USDT", 232)
    assert bench.verdicts == [("one:B/USDT", "one", "danger")]


def test_a_market_that_opens_joins_its_group() -> None:
    bench = Bench(markets=("one:A/USDT",))
    bench.burst("one:A/USDT", 20)
    bench.open("one:B/USDT", 21)
    bench.burst("one:B/USDT", 22)
    assert bench.pipeline.why(0)["rules"][0]["group"]["of"] == 2
    # Its window is not covered yet: it cannot tell.
    assert bench.lines == []
    bench.burst("one:A/USDT", 34)
    bench.burst("one:B/USDT", 35)
    assert bench.verdicts == [("one:B/USDT", "one", "danger")]


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


def test_a_mode_that_changes_lets_the_group_fire_anew() -> None:
    bench = Bench(EXCHANGE.replace("enforce", "alert"))
    bench.burst("one:A/USDT", 20)
    bench.burst("one:B/USDT", 21)
    assert (bench.openings, len(bench.verdicts)) == ([], 1)
    bench.pipeline.load(program(EXCHANGE), bench.pipeline.now_us)
    bench.trade("one:A/USDT", 22)
    bench.trade("one:B/USDT", 22.5)
    bench.until(24)
    assert bench.openings == ["exchange:one"]


def test_a_wider_target_waits_for_all_groups_within_it() -> None:
    text = SYMBOL.replace("quarantine: {", "quarantine: {target: base, ").replace("quorum: 2", "quorum: 1")
    bench = Bench(text, ("one:A/USDT", "one:A/EUR", "one:B/USDT"))
    bench.burst("one:A/USDT", 20)
    assert bench.openings == ["base:A"]
    for second in range(21, 80):
        bench.trade("one:A/EUR", second)
    assert bench.states("one:A/USDT") is IsolationState.QUARANTINED
    bench.until(140)
    assert bench.states("one:A/USDT") is IsolationState.NORMAL


def test_a_person_may_release_the_group_and_grace_holds() -> None:
    bench = Bench()
    bench.burst("one:A/USDT", 20)
    bench.burst("one:B/USDT", 21)
    order = ReleaseQuarantine(Target(TargetKind.EXCHANGE, "one"), None, "fine", "ann", 3600 * S)
    bench.pipeline.operate(order, bench.pipeline.now_us)
    assert bench.states("one:A/USDT") is IsolationState.NORMAL
    bench.until(60)
    bench.burst("one:A/USDT", 61)
    bench.burst("one:B/USDT", 62)
    assert bench.verdicts[-1] == ("one:B/USDT", "one", "danger")
    assert len(bench.openings) == 1


@pytest.mark.skipif(find_spec("numba") is None, reason="needs numba")
def test_compiled_and_plain_code_judge_groups_alike() -> None:
    found = []
    for jit in (False, True):
        bench = Bench(EXCHANGE + ALONE.partition("rules:")[2].replace("storm", "alone"), jit=jit)
        for second in range(20, 60):
            bench.trade(MARKETS[second * 7 % 5], second / 2)
            bench.trade(MARKETS[second * 3 % 4], second / 2 + 0.2)
        bench.until(200)
        found.append(bench.lines)
    assert any("group" in line for line in found[0])
    assert found[0] == found[1]


def test_a_market_alone_is_told_as_before() -> None:
    bench = Bench(ALONE)
    bench.burst("one:A/USDT", 20)
    assert sorted(bench.lines[0]) == ["factors", "level", "market", "mode", "previous", "rule", "score", "ts", "type"]
    assert bench.openings == ["one:A/USDT"]
    assert "group" not in bench.pipeline.why(0)["rules"][0]
