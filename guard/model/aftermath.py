"""What became of a market after guard held it, or would have."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["HORIZONS_US", "ORDER_FEE", "Aftermath"]

ORDER_FEE: Final = 0.001
"""What one order costs where nobody says otherwise, as a fraction of the stake; an entry pays it twice."""

HORIZONS_US: Final = (900_000_000, 3_600_000_000, 86_400_000_000)
"""How long after a block prices are looked at: 15 minutes, an hour, a day."""


class Aftermath(NamedTuple):
    """One block and the prices of its market at its beginning and `HORIZONS_US` later.

    `id` is that of the quarantine, or of the verdict that would have opened one. `market` is the one that tipped it, ``""`` where
    the target has no watched market; `target` what was held, in its written form. `bound` tells whether bots were refused, False
    for a rule below enforce and for a guard that only observes. `for_us` is how long a block was ordered for at the least.
    `prices` are those at the horizons, None while they are not known: not due yet, or never seen (`closed` tells which).
    """

    id: str
    market: str
    target: str
    rule: str
    level: str
    bound: bool
    opened_us: int
    for_us: int
    price: float | None
    prices: tuple[float | None, ...] = (None, None, None)
    closed: tuple[bool, ...] = (False, False, False)
