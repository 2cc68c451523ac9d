"""Blocks that bots were shown and the ledger does not know: they go into the ledger before anything is published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.model import Block, Hold, IsolationState, Level, Market, Quarantine, Transition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.client.payload import PublishedBlock, Snapshot

__all__ = ["adopted"]

CAUSE: Final = "snapshot"


def adopted(told: Snapshot, known: Iterable[Quarantine], *, seq: int, now_us: int) -> tuple[Transition, ...]:
    """Return what the ledger, at row `seq`, has to be told so that no block which bots see ends before its announced end.

    `known` are its quarantines, ended ones too. A block it lacks comes in as it was shown; one that bots see stronger, or for
    longer, is tightened, unless the ledger went on since. An adopted block ends at its announced end.
    """
    by_id = {each.id: each for each in known}
    found = []
    for block in told.blocks:
        before = by_id.get(block.id)
        if block.until_us <= now_us:
            continue
        if before is None:
            found.append(_transition(_quarantine(block), IsolationState.NORMAL, now_us))
        elif told.seq >= seq and before.state is not IsolationState.NORMAL and _is_tighter(block, before):
            after = before._replace(
                state=block.state,
                hold=before.hold._replace(block=block.block),
                until_us=max(block.until_us, before.until_us),
                last_end_us=max(block.until_us, before.last_end_us),
            )
            found.append(_transition(after, before.state, now_us))
    return tuple(found)


def _is_tighter(block: PublishedBlock, before: Quarantine) -> bool:
    if block.block is not before.block:
        return block.block is Block.ENTRIES
    return block.state is before.state and block.until_us > before.until_us


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
    )
    return Quarantine(
        block.id, hold, block.state, block.opened_us, block.until_us, block.until_us, block.until_us, block.repetition, block.actor
    )
