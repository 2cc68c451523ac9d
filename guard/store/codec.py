"""What the ledger keeps, as canonical JSON and back."""

from __future__ import annotations

import json
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeVar

from guard.model.alert import Delivery, DeliveryState
from guard.model.risk import Level
from guard.quarantine import quarantine_from_json, quarantine_to_json, transition_from_json, transition_to_json
from guard.store.damage import Damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.model.finding import Finding
    from guard.model.group import GroupStand
    from guard.model.verdict import Verdict

__all__ = [
    "canonical",
    "decoded",
    "delivery_from_json",
    "delivery_to_json",
    "quarantine_from_json",
    "quarantine_to_json",
    "transition_from_json",
    "transition_to_json",
    "verdict_to_json",
]

T = TypeVar("T")


def canonical(document: Mapping[str, Any]) -> str:
    r"""Return the one JSON text of `document`: sorted keys, no spaces, ASCII. Raises ValueError for a number that is not finite.

    Examples
    --------
    >>> canonical({"b": 1, "a": "é"})
    '{"a":"\\u00e9","b":1}'
    """
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)


def decoded(text: str, read: Callable[[Mapping[str, Any]], T], where: str) -> T:
    """Return what `read` makes of a JSON document; raises Damaged, which names `where` it stands, if it cannot be read."""
    try:
        return read(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{where} cannot be read ({type(error).__name__}: {error}); the ledger is damaged") from error


def delivery_to_json(delivery: Delivery) -> dict[str, Any]:
    """Return `delivery` as a dict of JSON types."""
    document = {**delivery._asdict(), "level": str(delivery.level), "state": str(delivery.state)}
    if not delivery.output:
        # A ledger without actions stays readable to the versions that had none.
        del document["output"]
    return document


def delivery_from_json(document: Mapping[str, Any]) -> Delivery:
    """Return the delivery that `delivery_to_json` described; raises ValueError, KeyError or TypeError for any other dict."""
    level, state = Level[document["level"].upper()], DeliveryState(document["state"])
    return Delivery(**{**document, "level": level, "state": state})


def verdict_to_json(verdict: Verdict) -> dict[str, Any]:
    """Return `verdict` as a dict of JSON types; a number that is not finite becomes null."""
    return {
        "at_us": verdict.at_us,
        "market": str(verdict.market),
        "rule": verdict.rule,
        "level": str(verdict.level),
        "previous": str(verdict.previous),
        "mode": str(verdict.mode),
        "episode_us": verdict.episode_us,
        "score": _finite(verdict.risk.score),
        "factors": [
            {**each._asdict(), "weight": _finite(each.weight), "value": _finite(each.value), "share": _finite(each.share)}
            for each in verdict.risk.contributions
        ],
        "findings": [_finding(each) for each in verdict.findings],
        **({} if verdict.group is None else {"group": _group(verdict.group)}),
    }


def _group(group: GroupStand) -> dict[str, Any]:
    return {**group._asdict(), "per": str(group.per), "members": list(map(str, group.members)), "more": group.more}


def _finding(finding: Finding) -> dict[str, Any]:
    evidence = {name: _finite(value) for name, value in finding.evidence.items()}
    return {"detector": finding.detector, "score": _finite(finding.score), "at_us": finding.at_us, "evidence": evidence}


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None
