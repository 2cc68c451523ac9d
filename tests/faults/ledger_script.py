"""Twelve transitions of four quarantines, as a process of its own: what was acknowledged is told on stdout, line by line.

The script is what tests hold a broken run against: after whatever happened, the ledger is as it stands after a whole number of
steps, and none of the acknowledged ones is missing.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from quarantine.holds import MINUTE
from store.decisions import HandClock, delivered, delivery, quarantine, verdict

from guard.errors import StateError, Unavailable
from guard.model import Decision, Image, IsolationState, Mode, Quarantine, Transition
from guard.quarantine import VisibleBlocks
from guard.runtime.ledger_keeper import LedgerKeeper
from guard.runtime.publish import SnapshotPublisher
from guard.runtime.state import StateFolder
from guard.runtime.taking import Taken, take_ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = 4_000_000_000_000_000
_N, _Q, _P = IsolationState.NORMAL, IsolationState.QUARANTINED, IsolationState.PROBATION
# Which quarantine goes where: opened, extended, in probation, held again, released.
STEPS = ((1, _Q), (2, _Q), (1, _Q), (3, _Q), (2, _P), (1, _N), (4, _Q), (2, _Q), (3, _N), (4, _P), (2, _N), (4, _N))
_ATTEMPTS = 50


class State(NamedTuple):
    """What a ledger must hold after a number of steps."""

    quarantines: frozenset[tuple[str, str, int]]
    audit: int
    outbox: int


def step(number: int) -> Decision:
    """Return the decision of step `number`, from 0."""
    which, after = STEPS[number]
    before = next((state for each, state in reversed(STEPS[:number]) if each == which), _N)
    held = quarantine(which)._replace(opened_us=NOW, state=after, until_us=NOW + (60 + number) * MINUTE, last_end_us=NOW * 2)
    change = Transition(NOW, held, before, "rule", "guard", f"step {number}")
    return Decision(NOW, (verdict(),), (change,), (delivery(f"d{number}", created_us=NOW + number),))


def expected(steps: int) -> State:
    """Return what the ledger holds after so many steps."""
    last: dict[str, Quarantine] = {}
    for number in range(steps):
        (change,) = step(number).transitions
        last[change.quarantine.id] = change.quarantine
    return State(frozenset((each.id, str(each.state), each.until_us) for each in last.values()), 2 * steps, steps)


def held_after(steps: int) -> set[str]:
    """Return the markets that are blocked or shrunk after so many steps."""
    return {f"C{which}/USDT" for which in range(1, 5) if dict(STEPS[:steps]).get(which, _N) is not _N}


async def insist(what: str, attempt: Sequence[object]) -> None:
    """Try until it works, as guard does."""
    function, *arguments = attempt
    for _ in range(_ATTEMPTS):
        try:
            found = function(*arguments)  # type: ignore[operator] # it is callable
            if asyncio.iscoroutine(found):
                await found
        except (Unavailable, OSError) as error:
            os.write(2, f"{what}: {error}\n".encode())
        else:
            return
    raise StateError(f"{what} does not work")


async def run(path: Path, synchronous: str) -> None:
    clock = HandClock(NOW)
    with StateFolder(path) as state:
        taken = await take_ledger(state, clock)
        store, epoch = taken.store, taken.state.epoch
        if synchronous:
            await store._connection.execute_fetchall(f"PRAGMA synchronous = {synchronous}")
        keeper = LedgerKeeper(state.ledger, state.backups(), clock, epoch=epoch, every_us=10**12, announce=lambda *_: None)
        publisher = SnapshotPublisher(state.snapshot_folder, clock)
        visible = VisibleBlocks(taken.state.quarantines)
        for number in range(len(STEPS)):
            decision = step(number)
            await insist("commit", (_commit, taken, decision))
            visible.commit(decision.transitions)
            image = Image(Mode.ENFORCE, NOW, {}, visible.show(), {"*": {}})
            await insist("publish", (_publish, publisher, image, epoch, 2 * number + 2))
            os.write(1, f"{number + 1}\n".encode())
            if number % 4 == 1:
                await insist("settle", (store.settle, delivered(delivery(f"d{number}", created_us=NOW + number))))
            if number == 5:
                await insist("backup", (keeper.back_up,))
            await insist("journal", (keeper._write_journal,))
        await store.close()


async def _commit(taken: Taken, decision: Decision) -> None:
    await taken.store.commit([decision], epoch=taken.state.epoch)


def _publish(publisher: SnapshotPublisher, image: Image, epoch: int, seq: int) -> None:
    try:
        publisher.publish(image, epoch=epoch, seq=seq, durable=True)
    except StateError as error:
        raise OSError(str(error)) from error


if __name__ == "__main__":
    try:
        asyncio.run(run(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""))
    except StateError as error:
        os.write(2, f"{error}\n".encode())
        sys.exit(3)
