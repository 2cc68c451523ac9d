"""Holds that wait, of one target and several markets: the evidence of each is looked at again, none stands for the others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from braked import FALL, QUIET_S, T0, S, batch, fresh, held, moves, rows, told

from guard.model import AddAllow, Market, ReleaseQuarantine, RemoveAllow, Target, TargetKind

if TYPE_CHECKING:
    from guard.pipeline import Pipeline

ONE, TWO = "one:A/USDT", "two:A/USDT"
BASE = Target(TargetKind.BASE, "A")
ON_BASE = FALL.replace("{quarantine: {for: 2m,", "{quarantine: {target: base, for: 2m,")
HOUR = 3_600 * S


def both_fall(pipeline: Pipeline, *, second_recovers: bool = True) -> list[dict[str, object]]:
    """Let both markets fall, the second one later; the first one goes on falling, the second one comes back."""
    first, later = moves(30, -0.6, over_s=900), moves(60, -0.05)
    back = moves(150, 0.05) if second_recovers else (lambda _: 0.0)
    paths = {ONE: first, TWO: lambda at_s: later(at_s) + back(at_s)}
    return told([pipeline.process(batch(rows(paths, until_s=400)))])


@pytest.mark.parametrize("is_restored", [False, True])
def test_a_market_whose_level_stands_is_held_when_an_allow_entry_goes_whoever_asked_last(*, is_restored: bool) -> None:
    pipeline = fresh((ONE, TWO), ON_BASE)
    pipeline.operate(AddAllow(BASE, (), 10 * HOUR, "our own listing", "ann"), T0)
    assert held(both_fall(pipeline)) == []
    if is_restored:
        saved = json.loads(json.dumps(pipeline.save()))
        pipeline = fresh((ONE, TWO), ON_BASE)
        pipeline.restore(saved)
    decision = pipeline.operate(RemoveAllow(BASE, None, "sold", "ann"), T0 + int((QUIET_S + 400) * S))
    assert held(told([decision])) == [("base:A", "fall")]


def test_a_market_whose_level_stands_is_held_when_grace_is_over_whoever_tipped_the_hold() -> None:
    pipeline = fresh((TWO, ONE), ON_BASE)
    first, later = moves(60, -0.6, over_s=900), moves(30, -0.05)
    back = moves(150, 0.05)
    paths = {TWO: lambda at_s: later(at_s) + back(at_s), ONE: first}
    events = rows(paths, until_s=600)
    cut = T0 + int((QUIET_S + 120) * S)
    lines = told([pipeline.process(batch([each for each in events if each.at_us <= cut]))])
    assert held(lines) == [("base:A", "fall")]
    pipeline.operate(ReleaseQuarantine(BASE, None, "checked", "ann", grace_us=120 * S), cut)
    lines = told([pipeline.process(batch([each for each in events if each.at_us > cut]))])
    assert held(lines) == [("base:A", "fall")]
    assert pipeline.isolation.covering(Market.parse(TWO))
