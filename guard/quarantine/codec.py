"""Quarantines and transitions as JSON-ready dicts and back; the ledger and the saved state share it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.model.market import Market
from guard.model.quarantine import Block, Hold, IsolationState, Quarantine, Target, TargetKind, Transition
from guard.model.risk import Level

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["quarantine_from_json", "quarantine_to_json", "transition_from_json", "transition_to_json"]


def quarantine_to_json(quarantine: Quarantine) -> dict[str, Any]:
    """Return `quarantine` as a dict of JSON types."""
    hold = quarantine.hold
    document = quarantine._asdict()
    document["state"] = str(quarantine.state)
    document["hold"] = {
        **hold._asdict(),
        "market": None if hold.market is None else str(hold.market),
        "target": {"kind": str(hold.target.kind), "name": hold.target.name},
        "level": str(hold.level),
        "block": str(hold.block),
    }
    return document


def quarantine_from_json(document: Mapping[str, Any]) -> Quarantine:
    """Return the quarantine that `quarantine_to_json` described; raises ValueError, KeyError or TypeError for any other dict."""
    hold = dict(document["hold"])
    hold["market"] = None if hold["market"] is None else Market.parse(hold["market"])
    hold["target"] = Target(TargetKind(hold["target"]["kind"]), hold["target"]["name"])
    hold["level"] = Level[hold["level"].upper()]
    hold["block"] = Block(hold["block"])
    return Quarantine(**{**document, "hold": Hold(**hold), "state": IsolationState(document["state"])})


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
