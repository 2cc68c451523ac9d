"""The whole state as JSON and back, and quarantines taken over after a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from guard.model.assets import NO_ALIASES
from guard.model.quarantine import IsolationState, Quarantine, Transition
from guard.quarantine.cases import Case, Cases
from guard.quarantine.codec import quarantine_from_json, quarantine_to_json, transition_from_json, transition_to_json
from guard.quarantine.history import History
from guard.quarantine.incidents import Incidents

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Saved", "load", "on_time", "save"]

_LAYOUT = 1


class Saved(NamedTuple):
    """The parts of the state: what is held, what is remembered, what was not handed out yet, the latest time, and incidents."""

    cases: Cases
    history: History
    waiting: list[Transition]
    now_us: int
    incidents: Incidents


def save(parts: Saved) -> dict[str, Any]:
    """Return the state as a dict of JSON types."""
    return {
        "layout": _LAYOUT,
        "now_us": parts.now_us,
        "cases": [case.save() for case in parts.cases],
        "ended": [quarantine_to_json(each) for each in parts.history],
        "waiting": [transition_to_json(each) for each in parts.waiting],
        "incidents": parts.incidents.save(),
    }


def load(saved: Mapping[str, Any], aliases: Mapping[str, str] = NO_ALIASES) -> Saved:
    """Return the state that `save` described; raises ValueError for another layout."""
    if saved.get("layout") != _LAYOUT:
        raise ValueError(f"saved quarantines have layout {saved.get('layout')!r}, this guard reads {_LAYOUT}")
    cases, history, incidents = Cases(aliases), History(), Incidents()
    incidents.load(saved.get("incidents", ()))
    for each in saved["cases"]:
        cases.enter(Case.load(each))
    cases.reschedule()
    for each in saved["ended"]:
        history.remember(quarantine_from_json(each))
    return Saved(cases, history, [transition_from_json(each) for each in saved["waiting"]], saved["now_us"], incidents)


def on_time(quarantine: Quarantine, now_us: int) -> Quarantine:
    """Return `quarantine`, moved earlier where the clock stands before its present state began.

    The clock was set back then; without this a hold of 30 minutes would last as long as the clock jumped.
    """
    match quarantine.state:
        case IsolationState.NORMAL:
            began_us = quarantine.until_us
        case IsolationState.PROBATION:
            began_us = quarantine.until_us - quarantine.hold.probation_us
        case _:
            began_us = quarantine.last_end_us - quarantine.hold.max_us
    late_us = began_us - now_us
    if late_us <= 0:
        return quarantine
    return quarantine._replace(
        floor_us=quarantine.floor_us - late_us,
        until_us=quarantine.until_us - late_us,
        last_end_us=quarantine.last_end_us - late_us,
        grace_until_us=max(0, quarantine.grace_until_us - late_us),
    )
