"""What a rule says of a market, as one small number: it changes where an episode has something to do.

The level that is reached now (0 to 3, 4 = unknown), then two bits for whether it clears and two for whether it releases (0 False,
1 True, 2 unknown), then one that says whether these four matter; where they do not, all five are 0.
"""

from __future__ import annotations

from typing import Final

from guard.features.kernel.machine import LEVEL_MASK, OPEN

__all__ = [
    "CLEARS_SHIFT",
    "LEVEL_MASK",
    "OPEN",
    "RELEASES_SHIFT",
    "SECOND_FAMILY_MIN",
    "TRUTH_MASK",
    "UNKNOWN_LEVEL",
    "UNKNOWN_TRUTH",
    "signature",
]

UNKNOWN_LEVEL: Final = 4
CLEARS_SHIFT: Final = 3
RELEASES_SHIFT: Final = 5
TRUTH_MASK: Final = 3
UNKNOWN_TRUTH: Final = 2

SECOND_FAMILY_MIN: Final = 0.5
"""How high a factor of another family must be to lift the cap of soft detectors; see `Rule.lifting`."""


def signature(level: int | None, clears: bool | None, releases: bool | None, *, is_open: bool) -> int:  # noqa: FBT001 - truth values are what it is made of
    """Return the signature of one rule; `is_open` tells whether an episode of it, or a quarantine, waits for what clears it.

    Examples
    --------
    >>> signature(2, None, True, is_open=True), signature(None, True, True, is_open=False)
    (178, 4)
    """
    found = UNKNOWN_LEVEL if level is None else int(level)
    if not is_open:
        return found
    truths = [UNKNOWN_TRUTH if truth is None else int(truth) for truth in (clears, releases)]
    return found | truths[0] << CLEARS_SHIFT | truths[1] << RELEASES_SHIFT | OPEN
