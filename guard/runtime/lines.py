"""The decision log: one JSON-able record for each verdict, transition and delivery, and its digest."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from guard.alerts.orders import ACTION_KINDS
from guard.model import Verdict
from guard.model.moments import stamp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.model import Decision, Delivery, GroupStand, Transition

__all__ = ["DecisionLog", "action_record", "alert_line", "lines_of", "transition_line", "verdict_line"]

_DIGITS = 6


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)


def verdict_line(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as a record; that of a group says which one, who holds the level and how many that takes."""
    record = {
        "type": "verdict",
        "ts": stamp(verdict.at_us),
        "market": str(verdict.market),
        "rule": verdict.rule,
        "level": str(verdict.level),
        "previous": str(verdict.previous),
        "mode": str(verdict.mode),
        "score": _rounded(verdict.risk.score),
        "factors": {part.factor: _rounded(part.value) for part in verdict.risk.contributions},
    }
    return record if verdict.group is None else {**record, **_group(verdict.group)}


def _group(group: GroupStand) -> dict[str, Any]:
    return {
        "per": str(group.per),
        "group": group.name,
        "members": list(map(str, group.members)),
        "members_more": group.more,
        "quorum": {"held": group.held, "needed": group.needed, "of": group.of},
    }


def transition_line(transition: Transition) -> dict[str, Any]:
    """Return a transition of a quarantine as a record; `until` is the absolute end as known now."""
    quarantine = transition.quarantine
    is_joined = transition.cause in {"rule", "reoffence"} and not quarantine.founds_zone(transition.at_us)
    return {
        "type": "quarantine",
        "ts": stamp(transition.at_us),
        "target": str(quarantine.target),
        "market": str(quarantine.hold.market or quarantine.target),
        "state": str(quarantine.state),
        "previous": str(transition.previous),
        "cause": transition.cause,
        "until": stamp(quarantine.until_us),
        "rule": quarantine.hold.rule,
        "id": quarantine.id,
        "reason": transition.reason,
        **({"zone": quarantine.hold.zone} if is_joined else {}),
    }


def alert_line(delivery: Delivery) -> dict[str, Any]:
    """Return a delivery as a record."""
    return {
        "type": "action" if delivery.kind in ACTION_KINDS else "alert",
        "ts": stamp(delivery.created_us),
        "id": delivery.id,
        "channel": delivery.channel,
        "kind": delivery.kind,
        "level": str(delivery.level),
        "market": delivery.market,
        "rule": delivery.rule,
        "title": delivery.title,
    }


def action_record(delivery: Delivery) -> dict[str, Any]:
    """Return what became of a webhook or a call; `error` is the last one."""
    return {
        "ts": stamp(delivery.created_us),
        "id": delivery.id,
        "channel": delivery.channel,
        "title": delivery.title,
        "state": str(delivery.state),
        "attempts": delivery.attempts,
        "output": delivery.output,
        "error": delivery.error,
    }


def lines_of(decision: Decision) -> Iterator[dict[str, Any]]:
    """Yield the verdicts and transitions of a decision in the order in which they happened."""
    for entry in decision.log:
        yield verdict_line(entry) if isinstance(entry, Verdict) else transition_line(entry)


class DecisionLog:
    """Counts and digest of a decision log.

    Notes
    -----
    `digest` is the sha256 of the canonical lines (sorted keys, no spaces), each ended by a line feed: the same tape and rules
    give the same one.
    """

    def __init__(self) -> None:
        self.verdicts: dict[str, int] = {"warning": 0, "danger": 0, "critical": 0}
        self.quarantines: set[str] = set()
        self._hash = sha256()

    def write(self, record: dict[str, Any]) -> None:
        """Take one record."""
        self._hash.update(json.dumps(record, sort_keys=True, separators=(",", ":")).encode() + b"\n")
        if record["type"] == "verdict" and record["level"] in self.verdicts:
            self.verdicts[record["level"]] += 1
        if record["type"] == "quarantine" and record["state"] == "quarantined":
            self.quarantines.add(record["id"])

    @property
    def digest(self) -> str:
        """The digest of all that was written."""
        return f"sha256:{self._hash.hexdigest()}"
