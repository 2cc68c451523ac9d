"""The brake: what the leader explains becomes one state of the exchange, what is a market's own always holds."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from braked import FALL, LEADER, QUIET_S, T0, Row, S, batch, fresh, held, moves, rows, told
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.model import AddAllow, Kind, Market, ReleaseQuarantine, RemoveAllow, Target, TargetKind
from guard.quarantine import BrakePolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.pipeline import Pipeline

COINS = tuple(f"one:{coin}/USDT" for coin in "ABCDE")
NAMES = (LEADER, *COINS)
PATTERN = FALL.replace("    when:", "    use: {pump: {detector: pump_dump}}\n    when:")


def flat(_: float) -> float:
    return 0.0


def crash(own: float = 0.0) -> dict[str, Callable[[float], float]]:
    """Return paths of a leader that falls by 5 %, coins that follow it, and the last of them that falls further."""
    paths = dict.fromkeys(NAMES, moves(30, -0.05))
    return {**paths, COINS[-1]: moves(30, -0.05 + own)}


def played(pipeline: Pipeline, events: Sequence[Row], *, ends_s: float = 3_000) -> list[dict[str, Any]]:
    return told([pipeline.process(batch(events)), pipeline.advance(T0 + int((QUIET_S + ends_s) * S))])


def alerts(lines: Sequence[dict[str, Any]]) -> list[str]:
    return [each["title"] for each in lines if each["type"] == "alert" and "digest" not in each["title"]]


def test_a_crash_that_the_leader_explains_pauses_the_exchange_with_one_message_in_and_one_out() -> None:
    lines = played(fresh(NAMES), rows(crash(), until_s=900))
    assert held(lines) == [(LEADER, "fall"), ("exchange:one", "market_wide")]
    about = [title for title in alerts(lines) if LEADER not in title]
    assert about == ["[DANGER] exchange:one quarantined by market_wide", "[RELEASED] exchange:one: free again"]
    (state,) = [each for each in lines if each.get("rule") == "market_wide" and each.get("cause") == "rule"]
    assert "BTC/USDT -" in state["reason"]
    assert "explains fall on one:" in state["reason"]


def test_told_only_nothing_is_held_and_the_end_is_told_to_those_who_know() -> None:
    lines = played(fresh(NAMES, brake=BrakePolicy(pause_us=None)), rows(crash(), until_s=900))
    assert held(lines) == [(LEADER, "fall")]
    about = [title for title in alerts(lines) if LEADER not in title]
    assert about == ["[DANGER] guard: one moves as a whole", "[NORMAL] guard: one moves as a whole no more"]


@pytest.mark.parametrize("own", [-0.03, -0.1, -0.3])
def test_a_market_that_falls_further_than_the_leader_explains_is_held_by_itself(own: float) -> None:
    assert (COINS[-1], "fall") in held(played(fresh(NAMES), rows(crash(own), until_s=900)))


def test_a_market_that_falls_alone_is_held_though_the_leader_is_watched() -> None:
    lines = played(fresh(NAMES), rows({**dict.fromkeys(NAMES, flat), COINS[0]: moves(30, -0.05)}, until_s=900))
    assert held(lines) == [(COINS[0], "fall")]


def test_a_market_that_rises_while_the_leader_falls_is_held() -> None:
    text = FALL.replace("ret(60s) < -3%", "abs(ret(60s)) > 3%")
    lines = played(fresh(NAMES, text), rows({**crash(), COINS[0]: moves(30, 0.05)}, until_s=900))
    assert (COINS[0], "fall") in held(lines)


def test_a_market_whose_own_fall_goes_on_is_held_though_its_rule_says_nothing_new() -> None:
    later = {**crash(), COINS[-1]: lambda at_s: moves(30, -0.05)(at_s) + moves(75, -0.08, over_s=20.0)(at_s)}
    text = FALL.replace("clear: {when: ret(60s) > -1%, for: 30s}", "clear: {when: ret(60s) > -1%, for: 10m}")
    lines = played(fresh(NAMES, text), rows(later, until_s=900))
    danger = [each for each in lines if each["type"] == "verdict" and each["market"] == COINS[-1] and each["level"] == "danger"]
    assert len(danger) == 1
    assert held(lines).index(("exchange:one", "market_wide")) < held(lines).index((COINS[-1], "fall"))


@pytest.mark.parametrize(
    "text",
    [PATTERN, FALL.replace("    when:", "    use: {apart: {detector: divergence}}\n    when:")],
    ids=["trade pattern", "hard detector"],
)
def test_rules_on_evidence_that_is_a_markets_own_are_never_braked(text: str) -> None:
    (rule,) = fresh(NAMES, text).engine.program.rules
    lines = played(fresh(NAMES, text), rows(crash(), until_s=900))
    verdicts = {each["market"] for each in lines if each["type"] == "verdict" and each["level"] == "danger"}
    assert ("exchange:one", "market_wide") not in held(lines)
    assert {target for target, _ in held(lines)} == verdicts, rule.detectors


def test_without_an_hour_of_minutes_nobody_can_tell_and_everything_holds() -> None:
    events = rows(crash(), until_s=900, quiet_s=1_000)
    lines = told([fresh(NAMES).process(batch(events))])
    assert {target for target, _ in held(lines)} == set(NAMES)


def test_an_exchange_without_its_leader_holds_one_by_one() -> None:
    paths = {name: path for name, path in crash().items() if name != LEADER}
    lines = told([fresh(COINS).process(batch(rows(paths, until_s=900)))])
    assert {target for target, _ in held(lines)} == set(COINS)


def test_a_persons_release_of_the_pause_is_not_undone_by_what_it_explains() -> None:
    pipeline = fresh(NAMES)
    events = rows(crash(), until_s=900)
    at_us = T0 + (QUIET_S + 60) * S
    before = [each for each in events if each.at_us < at_us]
    lines = told([pipeline.process(batch(before))])
    assert ("exchange:one", "market_wide") in held(lines)
    order = ReleaseQuarantine(Target(TargetKind.EXCHANGE, "one"), None, "we trade on", "ann")
    pipeline.operate(order, at_us)
    lines = told([pipeline.process(batch(events[len(before) :]))])
    assert held(lines) == []


def test_a_level_that_stands_when_an_allow_entry_ends_is_held_then() -> None:
    text = FALL.replace("clear: {when: ret(60s) > -1%, for: 30s}", "clear: {when: ret(60s) > -1%, for: 1h}")
    pipeline = fresh(NAMES, text)
    pipeline.process(batch(rows(dict.fromkeys(NAMES, flat), until_s=0)))
    pipeline.operate(AddAllow(Target(TargetKind.BASE, "A"), ("fall",), 600 * S, "ours", "ann"), T0 + QUIET_S * S)
    events = rows({**dict.fromkeys(NAMES, flat), COINS[0]: moves(30, -0.05)}, until_s=900)
    late = [each for each in events if each.at_us > T0 + QUIET_S * S]
    decision = pipeline.process(batch([each for each in late if each.kind is Kind.TRADE]))
    opening = decision.transitions[0]
    assert (str(opening.quarantine.target), opening.at_us) == (COINS[0], T0 + (QUIET_S + 600) * S)


def test_an_allow_entry_taken_back_holds_at_once_where_the_level_stands() -> None:
    text = FALL.replace("clear: {when: ret(60s) > -1%, for: 30s}", "clear: {when: ret(60s) > -1%, for: 1h}")
    pipeline = fresh(NAMES, text)
    change = pipeline.operate(AddAllow(Target(TargetKind.MARKET, COINS[0]), (), 9_000 * S, "ours", "ann"), T0).allows[0]
    decision = pipeline.process(batch(rows({**dict.fromkeys(NAMES, flat), COINS[0]: moves(30, -0.05)}, until_s=900)))
    assert decision.transitions == ()
    removed = pipeline.operate(RemoveAllow(None, change.entry.id, "no more", "ann"), pipeline.now_us)
    assert [each.cause for each in removed.allows] == ["removed"]
    assert [str(each.quarantine.target) for each in removed.transitions] == [COINS[0]]


def test_a_level_that_stands_when_the_grace_of_a_release_ends_is_held_again() -> None:
    text = FALL.replace("clear: {when: ret(60s) > -1%, for: 30s}", "clear: {when: ret(60s) > -1%, for: 2h}")
    pipeline = fresh(NAMES, text)
    pipeline.process(batch(rows({**dict.fromkeys(NAMES, flat), COINS[0]: moves(30, -0.05)}, until_s=100)))
    released_us = pipeline.now_us
    pipeline.operate(ReleaseQuarantine(Target(TargetKind.MARKET, COINS[0]), None, "fine", "ann", 600 * S), released_us)
    assert pipeline.advance(released_us + 599 * S).transitions == ()
    (again,) = pipeline.advance(released_us + 601 * S).transitions
    assert (again.cause, again.at_us, again.quarantine.repetition) == ("rule", released_us + 600 * S, 1)


def test_a_mass_of_quarantines_is_told_once_and_releases_nothing() -> None:
    names = (LEADER, *(f"one:C{number}/USDT" for number in range(12)))
    paths = {name: flat if name == LEADER or number > 6 else moves(30 + 20 * number, -0.05) for number, name in enumerate(names)}
    pipeline = fresh(names)
    lines = told([pipeline.process(batch(rows(paths, until_s=200)))])
    assert len(held(lines)) == 6
    assert alerts(lines).count("[DANGER] guard: many markets of one are held at once") == 1
    assert len([each for each in pipeline.isolation.active() if each.hold.rule == "fall"]) == 6
    after = told([pipeline.advance(pipeline.now_us + 900 * S)])
    assert alerts(after).count("[NORMAL] guard: no more masses of quarantines on one") == 1


def canonical(lines: Sequence[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(each, sort_keys=True) for each in lines)


SCENE = rows({**crash(-0.08), COINS[0]: moves(30, -0.05, over_s=20)}, until_s=1_000)
WHOLE = played(fresh(NAMES), SCENE)


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, len(SCENE)), max_size=6), is_saved=st.booleans())
def test_decisions_do_not_depend_on_batches_nor_on_saving_between_them(cuts: list[int], *, is_saved: bool) -> None:
    pipeline = fresh(NAMES)
    decisions = []
    edges = sorted({0, *cuts, len(SCENE)})
    for begin, end in pairwise(edges):
        decisions.append(pipeline.process(batch(SCENE[begin:end])))
        if is_saved:
            saved = json.loads(json.dumps(pipeline.save()))
            pipeline = fresh(NAMES)
            pipeline.restore(saved)
    decisions.append(pipeline.advance(T0 + (QUIET_S + 3_000) * S))
    assert canonical(told(decisions)) == canonical(WHOLE)


def test_the_scene_has_every_kind_of_decision() -> None:
    causes = {each["cause"] for each in WHOLE if each["type"] == "quarantine"}
    assert {"rule", "calm", "floor", "probation_end"} <= causes
    assert {rule for _, rule in held(WHOLE)} == {"fall", "market_wide"}
    assert Market.parse(COINS[-1]).asset == "E"
