"""What an edit of a rule does to the level that stands and to what is held."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from guard.alerts.policy import AlertPolicy, ChannelPolicy
from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.model import BUY, Batch, Channel, IsolationState, Kind, Level, Market, MarketFacts, ReleaseQuarantine, Status
from guard.model.ports import LedgerState
from guard.pipeline import Pipeline, Settings

if TYPE_CHECKING:
    from guard.dsl import Program
    from guard.model import Decision, Quarantine

S = 1_000_000
T0 = 1_700_000_000 * S
BUSY = """
lists: {majors: [B/USDT], minors: [C/USDT]}
rules:
  busy:
    title: Busy
    mode: enforce
    when: trades(10s) >= 3 and market.symbol not in $majors
    level: danger
    for: 2s
    clear: {when: trades(10s) == 0, for: 3s}
    actions: {danger: [alert, {quarantine: {for: 30s, release: {when: trades(10s) == 0, for: 20s, probation: 60s}}}]}
"""
OTHER = "rules: {other: {mode: shadow, when: trades(10s) > 1000, level: warning}}\n"
WIDE = BUSY.replace("{quarantine: {for: 30s", "{quarantine: {target: exchange, for: 30s")


def program(text: str = BUSY) -> Program:
    report = Report()
    rules = rules_from_text(text, report)
    assert not report.errors, report.errors
    return compile_rules(rules)


def edited(old: str, new: str, text: str = BUSY) -> Program:
    assert text.count(old) == 1, (old, text.count(old))
    return program(text.replace(old, new))


class Desk:
    """A pipeline with two markets that trade five times a second, or are silent."""

    def __init__(self, text: str = BUSY) -> None:
        self.pipeline = Pipeline(program(text), Settings(alerts=AlertPolicy((ChannelPolicy("people"),))))
        self.at_us = T0
        self.titles: list[str] = []
        self.lines: list[tuple[int, str]] = []
        for name in ("A", "D"):
            row = self.pipeline.open(MarketFacts(Market("x", f"{name}/USDT"), streams=frozenset({"trades"})))
            self._put(row, Kind.STATUS, side=Channel.TRADES, key=Status.LIVE)

    def _put(self, row: int, kind: Kind, *, side: int, key: int, price: float = 0.0) -> None:
        batch = Batch(1)
        batch.append(kind, row, at_us=self.at_us, received_us=self.at_us, price=price, amount=1.0, side=side, key=key)
        self.take(self.pipeline.process(batch))

    def trade(self, seconds: float, *rows: int) -> Desk:
        for _ in range(int(seconds * 5)):
            self.at_us += S // 5
            for row in rows or (0,):
                self._put(row, Kind.TRADE, side=BUY, key=self.at_us, price=1.0)
        return self

    def wait(self, seconds: float) -> Desk:
        self.at_us += int(seconds * S)
        self.take(self.pipeline.advance(self.at_us))
        return self

    def load(self, program: Program) -> Desk:
        self.lines.clear()
        self.take(self.pipeline.load(program, self.at_us))
        return self

    def take(self, decision: Decision) -> None:
        self.titles += [delivery.title for delivery in decision.deliveries]
        for each in decision.verdicts:
            self.lines.append((each.at_us, f"{each.rule} {each.previous} to {each.level}, {each.mode}"))
        for held in decision.transitions:
            self.lines.append((held.at_us, f"{held.quarantine.hold.rule} {held.quarantine.state}: {held.cause}"))

    @property
    def told(self) -> list[str]:
        return [text for _, text in self.lines]

    @property
    def held(self) -> Quarantine:
        (held,) = self.pipeline.isolation.active()
        return held

    @property
    def state(self) -> IsolationState:
        return self.pipeline.isolation.state_of(Market("x", "A/USDT"))


def blocked(text: str = BUSY) -> Desk:
    desk = Desk(text).trade(20)
    assert desk.state is IsolationState.QUARANTINED
    return desk


GONE = {
    "removed": program(OTHER),
    "renamed": edited("  busy:", "  hectic:"),
    "disabled": edited("mode: enforce", "mode: disabled"),
    "out of scope": edited("    mode: enforce", "    scope: {symbol: D/USDT}\n    mode: enforce"),
    "shadow": edited("mode: enforce", "mode: shadow"),
    "alert": edited("mode: enforce", "mode: alert"),
    "holds nothing": edited(", {quarantine: {for: 30s, release: {when: trades(10s) == 0, for: 20s, probation: 60s}}}", ""),
}


@pytest.mark.parametrize("case", GONE)
def test_what_a_rule_holds_that_holds_nothing_any_more_ends_as_announced_whatever_the_market_does(case: str) -> None:
    desk = blocked()
    before = desk.held
    desk.load(GONE[case])
    assert "busy quarantined: rule_gone" in desk.told
    assert desk.held.until_us == before.until_us
    assert desk.held.hold._replace(release_for_us=before.hold.release_for_us) == before.hold
    assert desk.pipeline.unattended() == (desk.held,)
    desk.lines.clear()
    # It trades on, which is no calm: with its rule the hold would be extended.
    desk.trade((before.until_us - desk.at_us) / S - 0.5)
    assert [text for text in desk.told if text.startswith("busy quarantined")] == []
    assert desk.state is IsolationState.QUARANTINED
    desk.trade(1)
    assert (before.until_us, "busy probation: floor") in desk.lines
    desk.wait(70)
    assert "busy normal: probation_end" in desk.told


def test_a_rule_that_is_there_waits_for_calm() -> None:
    desk = blocked()
    until_us = desk.held.until_us
    desk.load(program(BUSY + "  other: {mode: shadow, when: trades(10s) > 1000, level: warning}\n"))
    desk.trade((until_us - desk.at_us) / S + 1)
    assert desk.held.until_us > until_us
    assert desk.pipeline.unattended() == ()


@pytest.mark.parametrize("case", GONE)
def test_what_a_rule_holds_that_is_gone_can_be_released(case: str) -> None:
    desk = blocked().load(GONE[case])
    desk.take(desk.pipeline.operate(ReleaseQuarantine(None, desk.held.id, "checked", "ann"), desk.at_us))
    assert desk.state is IsolationState.NORMAL


def test_a_rule_that_is_back_while_its_hold_runs_out_waits_for_calm_again_where_it_still_finds_something() -> None:
    desk = blocked().load(program(OTHER)).trade(1)
    until_us = desk.held.until_us
    desk.load(program()).trade(5)
    assert desk.told == ["busy normal to danger, enforce", "busy quarantined: rule"]
    assert desk.pipeline.unattended() == ()
    desk.trade((until_us - desk.at_us) / S + 1)
    assert desk.held.until_us > until_us


def test_a_rule_that_is_lowered_keeps_its_level_and_its_episode() -> None:
    desk = blocked().load(GONE["shadow"])
    assert desk.told == ["busy quarantined: rule_gone"]
    assert [episode.level for episode in desk.pipeline.engine.watched[0].episodes] == [Level.DANGER]
    desk.lines.clear()
    desk.wait(20)
    assert desk.told == ["busy danger to normal, shadow"]


@pytest.mark.parametrize("before", ["shadow", "alert"])
def test_a_level_that_stands_when_its_rule_may_hold_is_acted_on_at_once(before: str) -> None:
    desk = Desk(BUSY.replace("mode: enforce", f"mode: {before}")).trade(15)
    assert desk.told == [f"busy normal to danger, {before}"]
    desk.load(program())
    assert desk.lines == [(desk.at_us, "busy normal to danger, enforce"), (desk.at_us, "busy quarantined: rule")]
    assert desk.held.hold.reason.startswith("Busy: danger")
    assert sum("quarantined" in title for title in desk.titles) == 1
    desk.load(program(BUSY + "#\n"))
    assert desk.told == []


def test_a_level_that_stands_when_its_rule_may_tell_is_told_once() -> None:
    desk = Desk(BUSY.replace("mode: enforce", "mode: shadow")).trade(15)
    assert desk.titles == []
    desk.load(edited("mode: enforce", "mode: alert"))
    assert desk.told == ["busy normal to danger, alert"]
    assert len(desk.titles) == 1
    desk.load(edited("mode: enforce", "mode: shadow")).load(edited("mode: enforce", "mode: alert"))
    assert len(desk.titles) == 1


def test_a_rule_that_is_raised_on_a_calm_market_holds_nothing() -> None:
    desk = Desk(BUSY.replace("mode: enforce", "mode: shadow")).trade(15).wait(30).load(program()).wait(30)
    assert desk.told == []
    assert desk.state is IsolationState.NORMAL


def test_a_rule_whose_for_runs_when_it_is_raised_holds_when_it_is_over() -> None:
    desk = Desk(BUSY.replace("mode: enforce", "mode: shadow")).wait(12).trade(1.4)
    began_us = T0 + int(12.6 * S)
    desk.load(program()).trade(3)
    (first_us, text), _ = desk.lines
    assert text == "busy normal to danger, enforce"
    assert 0 <= first_us - began_us - 2 * S <= S // 10, "the time before the reload counts"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("title: Busy", "title: Hectic"),
        ("title: Busy", "why: because\n    tags: [a]\n    title: Busy"),
        ("for: 30s", "for: 90s"),
        ("minors: [C/USDT]", "minors: [C/USDT, D/USDT]"),
        ("lists:", "macros: {unused: trades(10s) > 5}\nlists:"),
    ],
)
def test_an_edit_that_does_not_decide_the_level_leaves_level_timers_and_hold_alone(old: str, new: str) -> None:
    desk = blocked()
    held = desk.held
    desk.load(edited(old, new))
    assert desk.told == []
    assert desk.held == held
    assert desk.pipeline.engine.watched[0].episodes[0].level is Level.DANGER


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("trades(10s) >= 3", "trades(10s) >= 2"),
        ("trades(10s) >= 3", "trades(10s) >= 4"),
        ("for: 2s", "for: 4s"),
        ("majors: [B/USDT]", "majors: [C/USDT]"),
    ],
)
def test_a_rule_that_decides_otherwise_begins_anew_says_so_and_goes_on_holding(old: str, new: str) -> None:
    desk = blocked()
    held = desk.held
    desk.load(edited(old, new))
    assert desk.lines == [(desk.at_us, "busy danger to normal, enforce")]
    assert desk.held == held
    desk.lines.clear()
    titles = list(desk.titles)
    desk.trade(6)
    assert desk.told == ["busy normal to danger, enforce"]
    assert desk.titles == titles, "nobody is told of the same twice"
    assert desk.held.until_us == held.until_us
    # It is still the rule that tells of calm.
    desk.wait(90)
    assert "busy probation: calm" in desk.told


def test_other_parameters_of_a_detector_begin_anew_and_the_same_ones_do_not() -> None:
    text = BUSY.replace("    when: ", "    use: {wash: {detector: wash_trading, params: {pairs: 0.5}}}\n    when: ")
    desk = Desk(text).trade(15)
    assert desk.told == ["busy normal to warning, enforce"]
    assert desk.load(program(text + "#\n")).told == []
    assert desk.load(program(text.replace("0.5", "0.6"))).told == ["busy warning to normal, enforce"]
    assert desk.trade(3).told[1:] == ["busy normal to warning, enforce"]


def test_a_threshold_out_of_reach_lets_the_level_go_and_the_hold_end_by_calm() -> None:
    desk = blocked().load(
        program(
            BUSY.replace("trades(10s) >= 3", "trades(10s) >= 1000").replace(
                "trades(10s) == 0, for: 20s", "trades(10s) < 900, for: 20s"
            )
        )
    )
    assert desk.told == ["busy danger to normal, enforce"]
    until_us = desk.held.until_us
    desk.trade(60)
    (end,) = [line for line in desk.lines if line[1] == "busy probation: calm"]
    assert abs(end[0] - until_us) <= 2 * S


def test_a_hold_over_several_markets_waits_for_those_that_its_rule_still_watches() -> None:
    desk = Desk(WIDE).trade(15, 0, 1)
    assert desk.held.target.name == "x"
    desk.load(edited("    mode: enforce", "    scope: {symbol: D/USDT}\n    mode: enforce", WIDE))
    assert "rule_gone" not in " ".join(desk.told)
    assert desk.pipeline.unattended() == ()
    until_us = desk.held.until_us
    # A trades on, of which nobody tells any more; D is calm.
    desk.trade((until_us - desk.at_us) / S + 15, 0)
    assert [text for text in desk.told if "probation" in text] == ["busy probation: calm"]


def test_a_start_without_the_rule_lets_what_it_held_run_out() -> None:
    held = blocked().held
    ledger = LedgerState(1, 1, (held,), ())
    for text, is_gone in ((BUSY, False), (OTHER, True)):
        pipeline = Pipeline(program(text))
        pipeline.recall(ledger, held.opened_us + S)
        (found,) = pipeline.isolation.active()
        assert (found.hold.release_for_us is None) is is_gone
        decision = pipeline.advance(held.opened_us + 2 * S)
        assert [each.cause for each in decision.transitions] == (["rule_gone"] if is_gone else [])
        assert found.until_us == held.until_us


def test_a_start_with_the_rule_scoped_elsewhere_lets_what_it_held_run_out_once_the_market_is_open() -> None:
    held = blocked().held
    scoped = edited("    mode: enforce", "    scope: {symbol: D/USDT}\n    mode: enforce")
    for rules, left in ((program(), [held]), (scoped, [])):
        pipeline = Pipeline(rules)
        pipeline.recall(LedgerState(1, 1, (held,), ()), held.opened_us + S)
        assert pipeline.unattended() == ()
        for name in ("D", "A"):
            pipeline.open(MarketFacts(Market("x", f"{name}/USDT"), streams=frozenset({"trades"})))
        assert [each.hold.release_for_us is None for each in pipeline.isolation.active()] == [not left]
        pipeline.advance(held.until_us)
        (found,) = pipeline.isolation.active()
        assert found.state is (IsolationState.QUARANTINED if left else IsolationState.PROBATION)


def test_a_hold_that_runs_out_survives_its_saved_state() -> None:
    desk = blocked().load(program(OTHER))
    again = Pipeline(program(OTHER))
    again.restore(json.loads(json.dumps({**desk.pipeline.save(), "engine": again.engine.save()})))
    assert again.unattended() == desk.pipeline.unattended()


def test_ten_reloads_a_second_change_nothing_and_hold_what_is_held() -> None:
    desk = blocked()
    held = desk.held
    sets = [program(), program(BUSY + "#\n"), edited("title: Busy", "title: Hectic")]
    for number in range(100):
        desk.trade(0.2)
        desk.take(desk.pipeline.load(sets[number % 3], desk.at_us))
    assert desk.told == ["busy normal to danger, enforce", "busy quarantined: rule", "busy quarantined: extend"]
    assert desk.held.id == held.id
