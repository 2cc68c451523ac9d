"""After a person's release: the same rule may not hold for a while, and people are told at once if it would."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from braked import LEADER, QUIET_S, T0, Row, S, batch, fresh, moves, rows

from guard.model import Level, ReleaseQuarantine, Target, TargetKind

if TYPE_CHECKING:
    from guard.model import Decision
    from guard.pipeline import Pipeline

HELD = "one:A/USDT"
NAMES = (LEADER, HELD, "one:B/USDT", "one:C/USDT")
RELEASE_S = 100
DANGERS = ("quarantine", "verdict")


def falls(*begins_s: float, until_s: float) -> list[Row]:
    """Return the trades of a quiet exchange on which one coin falls again and again."""
    paths = [moves(begin_s, -0.05) for begin_s in begins_s]
    return rows({**dict.fromkeys(NAMES, moves(0, 0.0)), HELD: lambda at_s: sum(path(at_s) for path in paths)}, until_s=until_s)


def told(decision: Decision) -> list[tuple[str, str]]:
    return [(each.kind, each.market) for each in decision.deliveries if each.kind in DANGERS]


def released(pipeline: Pipeline, events: list[Row]) -> int:
    """Let the first fall be held, release it, and return when."""
    at_us = T0 + (QUIET_S + RELEASE_S) * S
    first = pipeline.process(batch([each for each in events if each.at_us <= at_us]))
    assert told(first) == [("quarantine", HELD)]
    over = pipeline.operate(ReleaseQuarantine(Target(TargetKind.MARKET, HELD), None, "fine", "ann"), pipeline.now_us)
    assert [each.kind for each in over.deliveries] == ["release"]
    return pipeline.now_us


def test_a_danger_that_begins_anew_in_grace_is_told_though_it_holds_nothing() -> None:
    pipeline, events = fresh(NAMES), falls(30, 500, until_s=900)
    at_us = released(pipeline, events)
    later = pipeline.process(batch([each for each in events if each.at_us > at_us]))
    assert Level.DANGER in {each.level for each in later.verdicts}
    assert later.transitions == ()
    assert told(later) == [("verdict", HELD)]


def test_it_is_told_once_for_as_long_as_it_goes_on_and_off() -> None:
    pipeline, events = fresh(NAMES), falls(30, 400, 700, 1_000, until_s=1_300)
    at_us = released(pipeline, events)
    later = pipeline.process(batch([each for each in events if each.at_us > at_us]))
    assert sum(each.level is Level.DANGER for each in later.verdicts) == 3
    assert told(later) == [("verdict", HELD)]


@pytest.mark.parametrize("is_saved", [False, True])
def test_a_restart_in_grace_does_not_keep_it_back(*, is_saved: bool) -> None:
    pipeline, events = fresh(NAMES), falls(30, 500, until_s=900)
    at_us = T0 + (QUIET_S + RELEASE_S) * S
    first = pipeline.process(batch([each for each in events if each.at_us <= at_us]))
    over = pipeline.operate(ReleaseQuarantine(Target(TargetKind.MARKET, HELD), None, "fine", "ann"), pipeline.now_us)
    if is_saved:
        again = fresh(NAMES)
        again.restore(pipeline.save())
    else:
        # Without saved state: only what the ledger remembers of messages and quarantines.
        again = pipeline
        ended = [each.quarantine for each in over.transitions]
        again.alerts.restore((*first.deliveries, *over.deliveries), ended)
    later = again.process(batch([each for each in events if each.at_us > pipeline.now_us]))
    assert told(later) == [("verdict", HELD)]
