"""How a market moves with the reference market of its exchange."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Final

from guard.features.kernel import slots as s

if TYPE_CHECKING:
    from guard.features.kernel.rows import Floats, Integers

__all__ = ["compare"]

# A day of minutes, after which an observation weighs 1/e.
_BETA_DECAY: Final = 1.0 - 1.0 / 1440.0


def compare(x: Floats, i: Integers, theirs: float) -> None:
    """Learn beta from prices of one moment: the market's last trade of each minute, and the reference market then."""
    minute = i[s.AT] // s.MINUTE_US
    if minute != i[s.MINUTE]:
        i[s.MINUTE] = minute
        own = x[s.PAIR_PRICE]
        other = x[s.PAIR_REFERENCE]
        if x[s.MINUTE_PRICE] > 0.0 and x[s.MINUTE_REFERENCE] > 0.0 and other > 0.0 and own > 0.0:
            change = log(other / x[s.MINUTE_REFERENCE])
            moved = log(own / x[s.MINUTE_PRICE])
            x[s.BETA_XY] = _BETA_DECAY * x[s.BETA_XY] + change * moved
            x[s.BETA_XX] = _BETA_DECAY * x[s.BETA_XX] + change * change
            x[s.BETA_YY] = _BETA_DECAY * x[s.BETA_YY] + moved * moved
            x[s.BETA_WEIGHT] = _BETA_DECAY * x[s.BETA_WEIGHT] + 1.0
        x[s.MINUTE_PRICE] = own
        x[s.MINUTE_REFERENCE] = other
    x[s.PAIR_PRICE] = x[s.PRICE]
    x[s.PAIR_REFERENCE] = theirs
