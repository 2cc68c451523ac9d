"""A wall clock that was set between two runs: told by the boot clock, and taken out of every time that is left."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from guard.client.clock import MACHINE
from guard.model import AllowChange, Decision, IsolationState, Transition
from guard.runtime.whole_file import replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from guard.model import Quarantine
    from guard.model.ports import Clock, LedgerState, Store

__all__ = ["ClockMemory"]

_VERSION: Final = 1
_BYTES_MAX: Final = 4096
# A smaller difference is drift: it is left to add up, for none of it makes a time wrong by a second.
_LEAST_US: Final = 500_000


class ClockMemory:
    """Remembers how wall and boot clock stood to each other when the ledger's times were written.

    Parameters
    ----------
    path
        The file ``clock.json`` of the state folder.
    clock
        The machine's clock, as this run reads it.
    boot_id
        Names this run of the machine: boot clocks of two runs cannot be compared.

    Notes
    -----
    The ledger has absolute ends. Where the wall clock is set by a day between two runs of guard, they would come a day early or
    late. On the same boot of the machine the difference is known, and every end of the ledger is moved by it: quarantine,
    probation, grace, allow entries that people ordered, and what waits in the outbox. Entries of guard.yaml
    name a day of the calendar and keep it. Each moved quarantine is a transition of its own, cause ``clock``. After a
    restart of the machine nothing can be told: ends are taken as they stand, never later than their whole length from now.

    The file says what is about to be moved before the ledger is written, and that it was moved only after: a crash in between
    neither moves twice nor not at all.
    """

    def __init__(self, path: Path, clock: Clock, *, boot_id: str = MACHINE.boot_id) -> None:
        self._path = path
        self._clock = clock
        self._boot_id = boot_id
        self.moved_us = 0

    async def straighten(self, store: Store, ledger: LedgerState) -> LedgerState:
        """Return the ledger as it stands after its times were moved, if they had to be. Raises StateError and Unavailable."""
        offset_us = self._clock.now_us() - self._clock.monotonic_us()
        before_us = self._known_offset_us(ledger.seq)
        if before_us is None:
            self._keep(offset_us)
            return ledger
        jump_us = offset_us - before_us
        if abs(jump_us) < _LEAST_US:
            return ledger
        self._keep(before_us, moving={"to_us": offset_us, "seq": ledger.seq})
        await self._move(store, ledger, jump_us)
        self._keep(offset_us)
        self.moved_us = jump_us
        return await store.load()

    async def _move(self, store: Store, ledger: LedgerState, by_us: int) -> None:
        now_us = self._clock.now_us()
        reason = f"the wall clock was set by {by_us / 1e6:+.0f} s between two runs; the time that is left stays"
        transitions = tuple(
            Transition(now_us, _moved(each, by_us), each.state, "clock", "guard", reason) for each in ledger.quarantines
        )
        allows = tuple(
            AllowChange(now_us, each._replace(until_us=each.until_us + by_us), "added", "guard", reason)
            for each in ledger.allows
            if each.until_us is not None
        )
        if transitions or allows:
            await store.commit([Decision(now_us, transitions=transitions, allows=allows)], epoch=ledger.epoch)
        for delivery in ledger.pending:
            await store.settle(delivery._replace(due_us=delivery.due_us + by_us, expires_us=delivery.expires_us + by_us))

    def _known_offset_us(self, seq: int) -> int | None:
        """Return the offset under which the ledger's times were written, None where it cannot be told."""
        try:
            with self._path.open("rb") as file:
                kept = json.loads(file.read(_BYTES_MAX))
            if kept["version"] != _VERSION or not self._boot_id or kept["boot_id"] != self._boot_id:
                return None
            moving = kept["moving"]
            if moving is not None and seq > int(moving["seq"]):
                # The last start got as far as the ledger.
                return int(moving["to_us"])
            return int(kept["offset_us"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _keep(self, offset_us: int, *, moving: Mapping[str, Any] | None = None) -> None:
        document = {"version": _VERSION, "boot_id": self._boot_id, "offset_us": offset_us, "moving": moving}
        try:
            replace_file(self._path, [json.dumps(document).encode()])
        except OSError:
            # A full disk keeps nobody from starting; only a clock set before the next start would go unseen.
            return


def _moved(quarantine: Quarantine, by_us: int) -> Quarantine:
    if quarantine.state is IsolationState.NORMAL:
        grace_us = quarantine.grace_until_us + by_us if quarantine.grace_until_us else 0
        return quarantine._replace(until_us=quarantine.until_us + by_us, grace_until_us=grace_us)
    return quarantine._replace(
        floor_us=quarantine.floor_us + by_us, until_us=quarantine.until_us + by_us, last_end_us=quarantine.last_end_us + by_us
    )
