"""Spans of verdicts and quarantines, and the time that markets were blocked."""

from __future__ import annotations

import pytest

from guard.errors import OperationRefused
from guard.model import (
    Decision,
    Hold,
    IsolationState,
    Level,
    Market,
    Quarantine,
    RiskScore,
    RuleMode,
    Target,
    TargetKind,
    Transition,
    Verdict,
)
from guard.runtime import spans as module
from guard.runtime.spans import Span, Spans

M = 60_000_000
MARKET = Market("sim", "X/USDT")
PLACE = str(MARKET)


def verdict(at_us: int, level: Level, *, rule: str = "r", previous: Level = Level.NORMAL) -> Verdict:
    return Verdict(at_us, MARKET, rule, level, previous, RuleMode.ENFORCE, RiskScore(0.9, ()), (), at_us)


def transition(at_us: int, state: IsolationState, *, name: str = "q", rule: str = "r") -> Transition:
    hold = Hold(rule, MARKET, Target(TargetKind.MARKET, PLACE), Level.DANGER, "", M, M)
    return Transition(at_us, Quarantine(name, hold, state, 0, 0, 0, 0), IsolationState.NORMAL, "rule", "guard", "")


def taken(*entries: Verdict | Transition, only: tuple[str, ...] = ()) -> Spans:
    found = Spans(only)
    for entry in entries:
        if isinstance(entry, Verdict):
            found.take(Decision(entry.at_us, verdicts=(entry,)))
        else:
            found.take(Decision(entry.at_us, transitions=(entry,)))
    return found


def test_episode_goes_from_its_first_level_to_normal_and_has_its_highest() -> None:
    found = taken(
        verdict(1, Level.WARNING),
        verdict(2, Level.CRITICAL, previous=Level.WARNING),
        verdict(9, Level.NORMAL, previous=Level.CRITICAL),
        verdict(12, Level.DANGER),
    )
    assert found.episodes == [Span("r", PLACE, 1, 9, Level.CRITICAL), Span("r", PLACE, 12, None, Level.DANGER)]
    assert found.verdicts == {"warning": 1, "danger": 1, "critical": 1}


def test_market_that_is_held_again_in_probation_has_two_stays_of_one_quarantine() -> None:
    quarantined, probation, normal = IsolationState.QUARANTINED, IsolationState.PROBATION, IsolationState.NORMAL
    found = taken(
        transition(1 * M, quarantined),
        transition(2 * M, quarantined),
        transition(3 * M, probation),
        transition(4 * M, quarantined),
        transition(6 * M, probation),
        transition(7 * M, normal),
    )
    assert [(span.start_us // M, span.end_us // M) for span in found.stays if span.end_us] == [(1, 3), (4, 6)]
    assert (len(found.stays), found.quarantines) == (2, 1)
    assert found.blocked.minutes(9 * M) == 4
    assert found.blocked.by_target(9 * M) == {PLACE: 4}


def test_two_reasons_for_one_target_block_it_once() -> None:
    quarantined = IsolationState.QUARANTINED
    found = taken(transition(1 * M, quarantined), transition(2 * M, quarantined, name="p", rule="s"))
    assert found.blocked.by_target(5 * M) == {PLACE: 4}
    assert found.quarantines == 2


def test_other_rules_are_left_out_where_one_is_asked_for() -> None:
    entries = (
        verdict(1, Level.DANGER),
        verdict(2, Level.DANGER, rule="s"),
        transition(3, IsolationState.QUARANTINED),
        transition(4, IsolationState.QUARANTINED, name="p", rule="s"),
    )
    found = taken(*entries, only=("s",))
    assert {span.rule for span in (*found.episodes, *found.stays)} == {"s"}
    assert found.quarantines == 1


def test_too_many_spans_are_refused_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPANS_MAX", 3)
    entries = [verdict(at, Level.NORMAL if at % 2 else Level.DANGER) for at in range(7)]
    taken(*entries[:-1])
    with pytest.raises(OperationRefused, match="more than 3 episodes"):
        taken(*entries, verdict(7, Level.NORMAL))
