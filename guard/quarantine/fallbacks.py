"""What is done where a decision does not reach its readers: one table, asked through `RecoveryHandler`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.model.validation import Failed, Fallback, IsolationStep

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["fallbacks_of"]

_HOLD, _REWRITE, _SILENCE, _PAGE = Fallback.HOLD, Fallback.REWRITE, Fallback.SILENCE, Fallback.PAGE
# At the first failure, and at each that follows in a row.
_TABLE: Final[Mapping[IsolationStep, tuple[tuple[Fallback, ...], tuple[Fallback, ...]]]] = {
    IsolationStep.COMMIT: ((_HOLD, _PAGE), (_HOLD, _PAGE)),
    # Bots have the state from before: a new block is missing in it, and its market would look allowed.
    IsolationStep.PUBLISH: ((_SILENCE, _REWRITE), (_SILENCE, _REWRITE, _PAGE)),
    # Guard's own reader may have had bad luck; bots that cannot read either are told unknown by their own client.
    IsolationStep.READ_BACK: ((_REWRITE,), (_SILENCE, _REWRITE, _PAGE)),
    IsolationStep.MISMATCH: ((_SILENCE, _REWRITE), (_SILENCE, _REWRITE, _PAGE)),
    IsolationStep.OUTBOX: ((_PAGE,), (_PAGE,)),
}


def fallbacks_of(failed: Failed) -> tuple[Fallback, ...]:
    """Return what is done about a failed step, in this order.

    Examples
    --------
    >>> [str(each) for each in fallbacks_of(Failed(IsolationStep.MISMATCH, "the block of sim:X/USDT is missing"))]
    ['silence', 'rewrite']
    """
    first, later = _TABLE[failed.step]
    return first if failed.attempts <= 1 else later
