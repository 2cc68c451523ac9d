"""What the oracle says of a quantity: all values that the documentation allows."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

__all__ = ["ANYTHING", "Answer", "Number", "exact", "fits", "near", "rounded"]

Number = Fraction | float | int


class Answer(NamedTuple):
    """Every value from `low` to `high` is right; where it is not sure, unknown is right too. None stands for unknown."""

    low: Number
    high: Number
    is_sure: bool = True


ANYTHING = Answer(-math.inf, math.inf, is_sure=False)
"""Said only where a fault that has its own failing test would show."""


def exact(value: Number | None) -> Answer | None:
    """Allow one value; unknown stays unknown."""
    return None if value is None else Answer(value, value)


def near(value: Number, *, share: float = 0.0, distance: Number = 0) -> Answer:
    """Allow a value times 1 - share to 1 + share, and `distance` beyond."""
    reach = abs(value) * share + distance
    return Answer(value - reach, value + reach)


def rounded(value: Number, largest: Number) -> Answer:
    """Allow what subtracting two sums of floats of size `largest` may cost; a sum over nothing is exactly 0."""
    if not value:
        return Answer(0, 0)
    return near(value, distance=abs(Fraction(largest)) / 2**46)


def fits(answer: Answer | None, found: float) -> bool:
    """Whether a value is allowed, up to the rounding of a few operations."""
    if answer is ANYTHING:
        return True
    if answer is None:
        return math.isnan(found)
    if math.isnan(found):
        return not answer.is_sure
    slack = 1e-9 * max(abs(float(answer.low)), abs(float(answer.high)), 1e-9)
    return float(answer.low) - slack <= found <= float(answer.high) + slack
