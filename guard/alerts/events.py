"""What an action is told, as JSON and back: the body of a webhook, and the event that a call gets."""

from __future__ import annotations

import json
from math import isfinite
from typing import TYPE_CHECKING, Any

from guard.alerts.desk import delivery_id, episode_id
from guard.model import ActionEvent, ActionHold, ActionKind, Delivery, Level
from guard.model.moments import stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.model import Quarantine, RuleMode, Verdict

__all__ = ["SCHEMA", "about_hold", "about_level", "about_test", "action_event", "event_of"]

SCHEMA = 1
_DIGITS = 6
_TEST_TTL_US = 60_000_000


def about_level(verdict: Verdict, hold: Quarantine | None, mode: RuleMode) -> dict[str, Any]:
    """Return the event of a level that changed, but for its id; `hold` is what holds the market, `mode` what the rule may do."""
    return {
        "event": "level" if verdict.level > verdict.previous else "clear",
        "rule": verdict.rule,
        "market": str(verdict.market),
        "level": str(verdict.level),
        "previous": str(verdict.previous),
        "score": _rounded(verdict.risk.score),
        "factors": {part.factor: _rounded(part.value) for part in verdict.risk.contributions},
        "mode": str(mode),
        "at": stamp(verdict.at_us),
        "episode": episode_id(verdict),
        "repeat": False,
        "quarantine": None if hold is None else _hold(hold),
        "group": None if verdict.group is None else str(verdict.group.target),
    }


def about_hold(quarantine: Quarantine, mode: RuleMode, at_us: int) -> dict[str, Any]:
    """Return the event of a quarantine whose state changed, but for its id."""
    hold = quarantine.hold
    return {
        "event": "quarantine",
        "rule": hold.rule,
        "market": str(hold.market or quarantine.target),
        "level": str(hold.level),
        "previous": str(hold.level),
        "score": None,
        "factors": {},
        "mode": str(mode),
        "at": stamp(at_us),
        "episode": "",
        "repeat": False,
        "quarantine": _hold(quarantine),
        "group": None,
    }


def about_test(lane: str, at_us: int) -> Delivery:
    """Return an event ``test`` for a webhook's lane: the keys of the others, about nothing."""
    name = delivery_id(f"test:{at_us}", "webhook", lane)
    event = {
        "schema": SCHEMA,
        "id": name,
        "event": "test",
        "rule": "",
        "market": "",
        "level": "normal",
        "previous": "normal",
        "score": None,
        "factors": {},
        "mode": "alert",
        "at": stamp(at_us),
        "episode": "",
        "repeat": False,
        "quarantine": None,
        "group": None,
    }
    body = json.dumps(event, separators=(",", ":"))
    return Delivery(name, name, lane, ActionKind.WEBHOOK, Level.NORMAL, "test", body, at_us, at_us, at_us + _TEST_TTL_US)


def event_of(delivery: Delivery) -> dict[str, Any]:
    """Return the event in the body of a webhook's or a call's delivery. Raises ValueError or KeyError for any other body."""
    document: dict[str, Any] = json.loads(delivery.body)
    event: dict[str, Any] = document["event"] if delivery.kind == ActionKind.CALL else document
    return event


def action_event(document: Mapping[str, Any]) -> ActionEvent:
    """Return an event as installed actions get it."""
    hold = document["quarantine"]
    given = {name: document[name] for name in ActionEvent._fields}
    levels = {name: Level[document[name].upper()] for name in ("level", "previous")}
    return ActionEvent(**{**given, **levels, "quarantine": None if hold is None else ActionHold(**hold)})


def _hold(quarantine: Quarantine) -> dict[str, Any]:
    target, until = str(quarantine.target), stamp(quarantine.until_us)
    return ActionHold(quarantine.id, target, str(quarantine.state), str(quarantine.block), until)._asdict()


def _rounded(value: float | None) -> float | None:
    return None if value is None or not isfinite(value) else round(value, _DIGITS)
