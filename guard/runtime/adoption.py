"""Blocks that bots were shown and the ledger does not know: they go into the ledger before anything is published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.model import Block, Hold, IsolationState, Level, Market, Quarantine, Transition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.client.payload import PublishedBlock, Snapshot

__all__ = ["adopted"]

CAUSE: Final = "snapshot"


def adopted(
    told: Snapshot, known: Iterable[Quarantine], active: Iterable[Quarantine], *, seq: int, now_us: int
) -> tuple[Transition, ...]:
    """Return what the ledger, at row `seq`, has to be told so that no block which bots see ends before its announced end.

    `known` are those of its quarantines that bots were told of, ended ones too; `active` all that hold. A block it lacks comes in
    as it was shown and ends at its announced end; where the same rule holds the same target already, under another id, that one is
    tightened. One that bots see stronger, or for longer, is tightened too, unless the ledger went on since.
    """
    by_id = {each.id: each for each in known}
    holding = {(each.hold.rule, each.target): each for each in active if each.state is not IsolationState.NORMAL}
    found = []
    for block in told.blocks:
        before = by_id.get(block.id)
        if block.until_us <= now_us or (before is not None and (told.seq < seq or before.state is IsolationState.NORMAL)):
            continue
        held = holding.get((block.rule, block.target))
        after = _quarantine(block) if held is None else _tightened(held, block)
        if after != held:
            previous = IsolationState.NORMAL if held is None else held.state
            found.append(_transition(after, previous, now_us))
            holding[block.rule, block.target] = after
    return tuple(found)


def _tightened(held: Quarantine, block: PublishedBlock) -> Quarantine:
    is_stronger = block.block is Block.ENTRIES and held.block is not Block.ENTRIES
    if not is_stronger and (block.block is not held.block or block.until_us <= held.until_us):
        return held
    until_us, last_end_us = max(block.until_us, held.until_us), max(block.until_us, held.last_end_us)
    # Lengths grow with the ends: the stay began when it did.
    hold = held.hold._replace(max_us=held.hold.max_us + last_end_us - held.last_end_us)
    if is_stronger:
        hold = hold._replace(block=block.block)
    elif held.state is IsolationState.PROBATION:
        hold = hold._replace(probation_us=hold.probation_us + until_us - held.until_us)
    return held._replace(state=block.state if is_stronger else held.state, hold=hold, until_us=until_us, last_end_us=last_end_us)


def _transition(after: Quarantine, previous: IsolationState, now_us: int) -> Transition:
    return Transition(now_us, after, previous, CAUSE, "guard", "bots were shown this block, the ledger did not have it")


def _quarantine(block: PublishedBlock) -> Quarantine:
    length_us = max(1, block.until_us - block.opened_us)
    hold = Hold(
        rule=block.rule,
        market=Market.parse(block.market) if block.market else None,
        target=block.target,
        level=Level[block.level.upper()],
        reason=block.reason,
        for_us=length_us,
        max_us=length_us,
        block=block.block,
        max_fraction=block.max_fraction,
        probation_us=length_us if block.state is IsolationState.PROBATION else 0,
    )
    return Quarantine(
        block.id, hold, block.state, block.opened_us, block.until_us, block.until_us, block.until_us, block.repetition, block.actor
    )
