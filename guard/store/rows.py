"""What decisions add to the ledger besides the audit trail, as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.model.quarantine import IsolationState
from guard.quarantine.opening import forgotten_us
from guard.store.codec import canonical, delivery_to_json, quarantine_to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.model.decision import Decision
    from guard.model.quarantine import Quarantine

__all__ = ["NEVER_US", "delivery_rows", "quarantine_rows", "row_of"]

# Live quarantines are not forgotten; the largest time a 64-bit integer holds.
NEVER_US = 2**63 - 1


def quarantine_rows(decisions: Sequence[Decision]) -> list[tuple[str, str, int, str]]:
    """Return id, state, time of forgetting and document of each quarantine as the last transition left it."""
    last = {each.quarantine.id: each.quarantine for decision in decisions for each in decision.transitions}
    return list(map(row_of, last.values()))


def row_of(quarantine: Quarantine) -> tuple[str, str, int, str]:
    """Return id, state, time of forgetting and document of one quarantine."""
    forgotten = forgotten_us(quarantine) if quarantine.state is IsolationState.NORMAL else NEVER_US
    return quarantine.id, str(quarantine.state), forgotten, canonical(quarantine_to_json(quarantine))


def delivery_rows(decisions: Sequence[Decision]) -> list[tuple[str, str, str, int, int, int | None, str]]:
    """Return id, channel, state, creation, due time, settling (none yet) and document of each delivery, in order."""
    return [
        (each.id, each.channel, str(each.state), each.created_us, each.due_us, None, canonical(delivery_to_json(each)))
        for decision in decisions
        for each in decision.deliveries
    ]
