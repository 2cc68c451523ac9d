"""Quarantines and transitions as JSON-ready dicts and back; the ledger and the saved state share it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.model.allow import AllowEntry
from guard.model.market import Market
from guard.model.quarantine import Block, Hold, IsolationState, Quarantine, Target, TargetKind, Transition
from guard.model.risk import Level

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "allow_from_json",
    "allow_to_json",
    "quarantine_from_json",
    "quarantine_to_json",
    "transition_from_json",
    "transition_to_json",
]


def hold_to_json(hold: Hold) -> dict[str, Any]:
    """Return `hold` as a dict of JSON types."""
    document = {
        **hold._asdict(),
        "market": None if hold.market is None else str(hold.market),
        "target": {"kind": str(hold.target.kind), "name": hold.target.name},
        "level": str(hold.level),
        "block": str(hold.block),
    }
    if not hold.jitter:
        # Readable to versions that had none.
        del document["jitter"]
    return document


def hold_from_json(document: Mapping[str, Any]) -> Hold:
    """Return the hold that `hold_to_json` described; raises ValueError, KeyError or TypeError for any other dict."""
    hold = dict(document)
    hold["market"] = None if hold["market"] is None else Market.parse(hold["market"])
    hold["target"] = Target(TargetKind(hold["target"]["kind"]), hold["target"]["name"])
    hold["level"] = Level[hold["level"].upper()]
    hold["block"] = Block(hold["block"])
    return Hold(**hold)


def quarantine_to_json(quarantine: Quarantine) -> dict[str, Any]:
    """Return `quarantine` as a dict of JSON types."""
    return {**quarantine._asdict(), "state": str(quarantine.state), "hold": hold_to_json(quarantine.hold)}


def quarantine_from_json(document: Mapping[str, Any]) -> Quarantine:
    """Return the quarantine that `quarantine_to_json` described; raises ValueError, KeyError or TypeError for any other dict."""
    return Quarantine(**{**document, "hold": hold_from_json(document["hold"]), "state": IsolationState(document["state"])})


def transition_to_json(transition: Transition) -> dict[str, Any]:
    """Return `transition` as a dict of JSON types."""
    document = transition._asdict()
    document["previous"] = str(transition.previous)
    document["quarantine"] = quarantine_to_json(transition.quarantine)
    return document


def transition_from_json(document: Mapping[str, Any]) -> Transition:
    """Return the transition that `transition_to_json` described; raises ValueError, KeyError or TypeError for any other dict."""
    quarantine = quarantine_from_json(document["quarantine"])
    return Transition(**{**document, "previous": IsolationState(document["previous"]), "quarantine": quarantine})


def allow_to_json(entry: AllowEntry) -> dict[str, Any]:
    """Return an allow entry as a dict of JSON types."""
    target = {"kind": str(entry.target.kind), "name": entry.target.name}
    return {**entry._asdict(), "target": target, "rules": sorted(entry.rules)}


def allow_from_json(document: Mapping[str, Any]) -> AllowEntry:
    """Return the entry that `allow_to_json` described; raises ValueError, KeyError or TypeError for any other dict."""
    target = Target(TargetKind(document["target"]["kind"]), document["target"]["name"])
    return AllowEntry(**{**document, "target": target, "rules": frozenset(document["rules"])})
