"""What a rule says of a market, as one small number: it changes where an episode has something to do.

The level that is reached now (0 to 3, 4 = unknown), then two bits for whether it clears and two for whether it releases (0 nobody
asks, 1 True, 2 unknown, 3 False).

Where a rule is at no level and none is being entered, turning unknown and known again changes nothing but since when it is unknown.
Such a signature is free: the kernel itself turns its level between 0 and 4 and keeps the time beside it.
"""

from __future__ import annotations

from typing import Final

from guard.features.kernel import machine

__all__ = [
    "CLEARS_SHIFT",
    "FREE",
    "LEVEL_MASK",
    "PARTS_MASK",
    "RELEASES_SHIFT",
    "TRUTHS",
    "TRUTH_MASK",
    "TURNED",
    "UNASKED",
    "UNKNOWN_LEVEL",
    "UNKNOWN_TRUTH",
    "freed",
    "signature",
    "unknown_since",
]

LEVEL_MASK: Final = machine.LEVEL_MASK
UNKNOWN_LEVEL: Final = machine.UNKNOWN_LEVEL
PARTS_MASK: Final = 127
FREE: Final = machine.FREE
TURNED: Final = machine.TURNED
CLEARS_SHIFT: Final = 3
RELEASES_SHIFT: Final = 5
TRUTH_MASK: Final = 3
UNASKED: Final = 0
UNKNOWN_TRUTH: Final = 2
TRUTHS: Final = {True: 1, None: UNKNOWN_TRUTH, False: 3}


def signature(level: int | None, clears: bool | None, releases: bool | None, *, is_open: bool, is_held: bool) -> int:  # noqa: FBT001 - truth values are what it is made of
    """Return the signature of one rule.

    Whether it clears matters while its episode is open (above the normal level), whether it releases while its market is held.

    Examples
    --------
    >>> signature(2, None, True, is_open=True, is_held=True), signature(None, True, True, is_open=False, is_held=False)
    (50, 4)
    """
    found = UNKNOWN_LEVEL if level is None else int(level)
    if is_open:
        found |= TRUTHS[clears] << CLEARS_SHIFT
    return found | TRUTHS[releases] << RELEASES_SHIFT if is_held else found


def freed(told: int, unknown_since_us: int | None) -> int:
    """Return a signature as a free one, with the time since when its rule is unknown."""
    return told | FREE | (unknown_since_us or 0) << machine.SINCE_SHIFT


def unknown_since(of: int) -> int | None:
    """Return since when a rule with a free signature is unknown, None where it is not.

    Examples
    --------
    >>> unknown_since(freed(4, 70)), unknown_since(freed(0, None))
    (70, None)
    """
    return of >> machine.SINCE_SHIFT if of & LEVEL_MASK == UNKNOWN_LEVEL else None
