"""How a market moves with the reference market of its exchange."""

from __future__ import annotations

from math import log

from guard.features.kernel import slots as s

__all__ = ["compare"]

# A day of minutes, after which an observation weighs 1/e.
_BETA_DECAY = 1.0 - 1.0 / 1440.0


def compare(x: list[float], i: list[int], theirs: float) -> None:
    """Learn beta from prices of one moment: the market's last trade of each minute, and the reference market then."""
    minute = i[s.AT] // s.MINUTE_US
    if minute != i[s.MINUTE]:
        i[s.MINUTE] = minute
        if x[s.MINUTE_PRICE] > 0.0 and x[s.MINUTE_REFERENCE] > 0.0 and x[s.PAIR_REFERENCE] > 0.0:
            change = log(x[s.PAIR_REFERENCE] / x[s.MINUTE_REFERENCE])
            x[s.BETA_XY] = _BETA_DECAY * x[s.BETA_XY] + change * log(x[s.PAIR_PRICE] / x[s.MINUTE_PRICE])
            x[s.BETA_XX] = _BETA_DECAY * x[s.BETA_XX] + change * change
        x[s.MINUTE_PRICE] = x[s.PAIR_PRICE]
        x[s.MINUTE_REFERENCE] = x[s.PAIR_REFERENCE]
    x[s.PAIR_PRICE] = x[s.PRICE]
    x[s.PAIR_REFERENCE] = theirs
