"""The audit trail: each row carries the hash of all before it."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.errors import StateError
from guard.model.allow import AllowChange
from guard.model.risk import Level
from guard.model.verdict import Verdict
from guard.quarantine import allow_from_json, allow_to_json
from guard.store.codec import canonical, transition_to_json, verdict_to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from guard.model.allow import AllowEntry
    from guard.model.decision import Decision
    from guard.model.quarantine import Transition

__all__ = ["ALLOW_TARGET", "GENESIS", "AuditRow", "Verified", "allows_of", "audit_rows", "follow", "link"]

GENESIS = "0" * 64
ALLOW_TARGET = "allow"
"""The target of audit rows of allow entries: what stands is what these rows, oldest first, add and take back."""


class AuditRow(NamedTuple):
    """One entry of the audit trail.

    `document` is canonical JSON; `hash` covers it and, through the row before, all earlier ones.
    """

    seq: int
    target: str
    document: str
    hash: str


class Verified(NamedTuple):
    """What a check of the whole trail found: the number of rows, the last sequence number and its hash, to be kept elsewhere."""

    rows: int
    seq: int
    head: str


def link(head: str, document: str) -> str:
    """Return the hash of a row that stands after the row with hash `head`."""
    return sha256(f"{head}\n{document}".encode()).hexdigest()


def audit_rows(decisions: Sequence[Decision], *, seq: int, head: str) -> list[AuditRow]:
    """Return the rows that `decisions` add after row `seq` with hash `head`: transitions, allow entries, verdicts above normal."""
    rows = []
    for entry in _entries(decisions):
        document = _document(entry)
        seq += 1
        text = canonical({"seq": seq, **document})
        head = link(head, text)
        rows.append(AuditRow(seq, document["target"], text, head))
    return rows


def follow(rows: Iterable[AuditRow], start: Verified) -> Verified:
    """Return where the chain stands after `rows`; raises StateError at the first row that was changed, moved or taken out."""
    count, seq, head = start
    for row in rows:
        if row.seq != seq + 1:
            raise StateError(f"the audit trail is broken: row {seq + 1} is missing, found row {row.seq}")
        head = link(head, row.document)
        if head != row.hash or f'"target":{json.dumps(row.target)}' not in row.document:
            raise StateError(f"the audit trail is broken: row {row.seq} does not match its hash")
        count, seq = count + 1, row.seq
    return Verified(count, seq, head)


def allows_of(documents: Iterable[Mapping[str, Any]]) -> tuple[AllowEntry, ...]:
    """Return the allow entries that stand after these audit rows, oldest first; raises ValueError, KeyError or TypeError."""
    standing: dict[str, AllowEntry] = {}
    for document in documents:
        entry = allow_from_json(document["entry"])
        if document["cause"] == "removed":
            standing.pop(entry.id, None)
        else:
            standing[entry.id] = entry
    return tuple(standing.values())


def _document(entry: Verdict | Transition | AllowChange) -> dict[str, Any]:
    if isinstance(entry, Verdict):
        return _verdict(entry)
    return _allow(entry) if isinstance(entry, AllowChange) else _transition(entry)


def _allow(change: AllowChange) -> dict[str, Any]:
    return {
        "type": "allow",
        "target": ALLOW_TARGET,
        "allowed": str(change.entry.target),
        "state": change.cause,
        **change._asdict(),
        "id": change.entry.id,
        "entry": allow_to_json(change.entry),
    }


def _entries(decisions: Sequence[Decision]) -> Iterator[Verdict | Transition | AllowChange]:
    for decision in decisions:
        for entry in decision.log or (*decision.verdicts, *decision.transitions):
            if not isinstance(entry, Verdict) or max(entry.level, entry.previous) >= Level.WARNING:
                yield entry
        yield from decision.allows


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {"type": "verdict", "target": verdict.subject, "actor": "guard", "cause": "rule", **verdict_to_json(verdict)}


def _transition(transition: Transition) -> dict[str, Any]:
    quarantine = transition.quarantine
    return {
        "type": "quarantine",
        "target": str(quarantine.target),
        "rule": quarantine.hold.rule,
        "state": str(quarantine.state),
        **transition_to_json(transition),
    }
