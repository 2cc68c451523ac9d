"""A store in memory: for replays, rule tests and simulations, where nothing has to outlive the process."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from guard.errors import StateError
from guard.model.alert import DeliveryState
from guard.model.ports import LedgerState
from guard.model.quarantine import IsolationState
from guard.quarantine.opening import forgotten_us
from guard.store.chain import ALLOW_TARGET, GENESIS, AuditRow, Verified, allows_of, audit_rows, follow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.model.alert import Delivery
    from guard.model.decision import Decision
    from guard.model.ports import Clock
    from guard.model.quarantine import Quarantine

__all__ = ["MemoryStore"]

_DAY_US = 86_400_000_000
_ROWS_MAX = 10_000


class MemoryStore:
    """A `Store` that keeps what `LedgerStore` keeps, for as long as the object lives; `close` and `open` are a restart.

    Parameters
    ----------
    clock
        Tells what is forgotten and what is recent.

    Notes
    -----
    Nothing is pruned: it serves runs that end.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._is_open = False
        self._epoch = 0
        self._quarantines: dict[str, Quarantine] = {}
        self._deliveries: dict[str, Delivery] = {}
        self._rows: list[AuditRow] = []

    async def open(self) -> LedgerState:
        """Take the store, with a new epoch, and return what it remembers."""
        self._is_open = True
        self._epoch += 1
        return await self.load()

    async def close(self) -> None:
        """Let go of it. Safe to call twice."""
        self._is_open = False

    async def commit(self, decisions: Sequence[Decision], *, epoch: int) -> int:
        """Keep transitions, audit and outbox rows of `decisions` and return the last audit row's number. Raises StateError."""
        self._check(epoch)
        rows = audit_rows(decisions, seq=len(self._rows), head=self._rows[-1].hash if self._rows else GENESIS)
        self._rows += rows
        for decision in decisions:
            for transition in decision.transitions:
                self._quarantines[transition.quarantine.id] = transition.quarantine
            for delivery in decision.deliveries:
                self._deliveries.setdefault(delivery.id, delivery)
        return len(self._rows)

    async def load(self) -> LedgerState:
        """Return what it remembers, without a new epoch."""
        self._check(self._epoch)
        now_us = self._clock.now_us()
        deliveries = sorted(self._deliveries.values(), key=lambda each: each.created_us)
        return LedgerState(
            epoch=self._epoch,
            seq=len(self._rows),
            quarantines=tuple(each for each in self._quarantines.values() if _matters(each, now_us)),
            pending=tuple(each for each in deliveries if each.state is DeliveryState.PENDING)[:_ROWS_MAX],
            recent_deliveries=tuple(each for each in deliveries if each.created_us > now_us - _DAY_US)[-_ROWS_MAX:],
            allows=allows_of(json.loads(row.document) for row in self._rows if row.target == ALLOW_TARGET),
        )

    async def changes(self, since: int) -> Sequence[tuple[int, Mapping[str, Any]]]:
        """Return the audit rows with a number above `since`, oldest first; at most 10,000, ask again after the last."""
        self._check(self._epoch)
        return [(row.seq, json.loads(row.document)) for row in self._rows[max(0, since) :][:_ROWS_MAX]]

    async def audit(self, *, target: str | None = None, limit: int = 100) -> Sequence[Mapping[str, Any]]:
        """Return the newest audit rows, newest first, of one target (in its written form) if given; at most 10,000."""
        self._check(self._epoch)
        found = [row for row in reversed(self._rows) if target in (None, row.target)]
        return [json.loads(row.document) for row in found[: max(0, min(limit, _ROWS_MAX))]]

    async def due(self, channel: str, *, now_us: int) -> Delivery | None:
        """Return the oldest pending delivery of `channel` whose time has come; one that expired is returned too."""
        self._check(self._epoch)
        found = (
            each
            for each in self._deliveries.values()
            if each.channel == channel and each.state is DeliveryState.PENDING and each.due_us <= now_us
        )
        return min(found, key=lambda each: each.created_us, default=None)

    async def settle(self, delivery: Delivery) -> None:
        """Record how an attempt ended: `delivery` with its new state, attempts, due time and error. Raises StateError."""
        self._check(self._epoch)
        if delivery.id not in self._deliveries:
            raise StateError(f"the outbox has no delivery {delivery.id}")
        self._deliveries[delivery.id] = delivery

    async def outbox(self) -> Mapping[str, Mapping[str, int]]:
        """Return counts of deliveries by channel and state."""
        self._check(self._epoch)
        counts: dict[str, Counter[str]] = {}
        for each in self._deliveries.values():
            counts.setdefault(each.channel, Counter())[str(each.state)] += 1
        return {channel: dict(count) for channel, count in counts.items()}

    async def actions(self, *, limit: int = 20) -> Sequence[Delivery]:
        """Return the newest webhooks and calls, newest first, whatever became of them; at most 10,000."""
        self._check(self._epoch)
        found = [each for each in self._deliveries.values() if ":" in each.channel][::-1]
        return sorted(found, key=lambda each: each.created_us, reverse=True)[: max(0, min(limit, _ROWS_MAX))]

    async def verify(self) -> Verified:
        """Follow the whole audit trail and return where it ends. Raises StateError at the first row that was changed."""
        self._check(self._epoch)
        return follow(self._rows, Verified(0, 0, GENESIS))

    def _check(self, epoch: int) -> None:
        if not self._is_open:
            raise StateError("the store is not open")
        if epoch != self._epoch:
            raise StateError(f"another guard took the store: its epoch is {self._epoch}, this one's {epoch}")


def _matters(quarantine: Quarantine, now_us: int) -> bool:
    return quarantine.state is not IsolationState.NORMAL or forgotten_us(quarantine) > now_us
