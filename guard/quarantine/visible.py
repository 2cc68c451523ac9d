"""What the world may see: committed blocks, and new ones that are not durable yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.model.quarantine import Block, IsolationState, Quarantine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.model.quarantine import Transition

__all__ = ["VisibleBlocks"]


class VisibleBlocks:
    """Keep the blocks that are committed, and show what is not committed only where it protects.

    Parameters
    ----------
    quarantines
        What the ledger remembers; normal ones are passed over.

    Notes
    -----
    Where a waiting probation would begin before the committed block ends, the block stands for both until then.

    A block may be shown before it is in the ledger (as not durable): losing it in a crash costs no more than the crash. A
    release, a probation or an earlier end waits for its COMMIT: shown before, it could be revoked after a bot acted on it.
    """

    def __init__(self, quarantines: Iterable[Quarantine] = ()) -> None:
        self._committed = {each.id: each for each in quarantines if each.state is not IsolationState.NORMAL}

    def commit(self, transitions: Iterable[Transition]) -> None:
        """Take transitions that are in the ledger now, in order."""
        for transition in transitions:
            after = transition.quarantine
            if after.state is IsolationState.NORMAL:
                self._committed.pop(after.id, None)
            else:
                self._committed[after.id] = after

    def show(self, waiting: Iterable[Transition] = ()) -> tuple[Quarantine, ...]:
        """Return the committed blocks, tightened (never loosened) by `waiting` transitions; sorted by target, then rule."""
        shown = dict(self._committed)
        for transition in waiting:
            after = transition.quarantine
            if after.state is IsolationState.NORMAL:
                continue
            before = shown.get(after.id)
            if before is None:
                shown[after.id] = after
            elif _is_as_strong(after, before) or transition.at_us >= before.until_us:
                shown[after.id] = after._replace(until_us=max(after.until_us, before.until_us))
            else:
                shown[after.id] = before._replace(until_us=max(after.until_us, before.until_us))
        return tuple(sorted(shown.values(), key=lambda each: (str(each.target), each.hold.rule, each.id)))


def _is_as_strong(after: Quarantine, before: Quarantine) -> bool:
    return after.block is Block.ENTRIES or before.block is Block.SHRINK
