"""Seeded chance: one stream for each part, so that what one part draws never moves another."""

from __future__ import annotations

import math
from random import Random

__all__ = ["Random", "chance", "exponential", "lognormal", "poisson"]

_NORMAL_FROM = 30.0


def chance(seed: int, *part: object) -> Random:
    """Return the stream of `part` under `seed`; the same on every machine and Python version.

    Examples
    --------
    >>> chance(7, "BTC", "maker").random() == chance(7, "BTC", "maker").random()
    True
    """
    return Random(":".join(map(str, (seed, *part))))


def exponential(draw: Random, mean: float) -> float:
    """Return a waiting time with `mean`."""
    return -mean * math.log(1.0 - draw.random())


def lognormal(draw: Random, median: float, sigma: float) -> float:
    """Return a positive size around `median`."""
    return median * math.exp(sigma * draw.gauss(0.0, 1.0))


def poisson(draw: Random, mean: float) -> int:
    """Return a count with `mean`; rounded normal above 30."""
    if mean > _NORMAL_FROM:
        return max(0, round(draw.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), draw.random(), 0
    while product > limit:
        product *= draw.random()
        count += 1
    return count
