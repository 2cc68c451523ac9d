"""The audit trail: each row carries the hash of all before it."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.errors import StateError
from guard.model.risk import Level
from guard.model.verdict import Verdict
from guard.store.codec import canonical, transition_to_json, verdict_to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from guard.model.decision import Decision
    from guard.model.quarantine import Transition

__all__ = ["GENESIS", "AuditRow", "Verified", "audit_rows", "follow", "link"]

GENESIS = "0" * 64


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
    """Return the rows that `decisions` add after row `seq` with hash `head`: transitions, and verdicts at or above warning."""
    rows = []
    for entry in _entries(decisions):
        document = _verdict(entry) if isinstance(entry, Verdict) else _transition(entry)
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


def _entries(decisions: Sequence[Decision]) -> Iterator[Verdict | Transition]:
    for decision in decisions:
        for entry in decision.log or (*decision.verdicts, *decision.transitions):
            if not isinstance(entry, Verdict) or max(entry.level, entry.previous) >= Level.WARNING:
                yield entry


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
