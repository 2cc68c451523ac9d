"""What each operation means: the reference that the compiled function must equal.

An unknown number is NaN, an unknown condition None. Every operation is total: no value makes it raise.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["OPERATIONS", "UNKNOWN"]

UNKNOWN = math.nan
Truth = bool | None


def _known(*numbers: float) -> bool:
    return not any(map(math.isnan, numbers))


def _divide(left: float, right: float) -> float:
    return left / right if right else UNKNOWN


def _log(of: float) -> float:
    return math.log(of) if of > 0.0 else UNKNOWN


def _sqrt(of: float) -> float:
    return math.sqrt(of) if of >= 0.0 else UNKNOWN


def _least(left: float, right: float) -> float:
    return min(left, right) if _known(left, right) else UNKNOWN


def _most(left: float, right: float) -> float:
    return max(left, right) if _known(left, right) else UNKNOWN


def _clamp(of: float, low: float, high: float) -> float:
    if not _known(of, low, high):
        return UNKNOWN
    return low if of < low else min(of, high)


def _ramp(of: float, low: float, high: float) -> float:
    return _clamp(_divide(of - low, high - low), 0.0, 1.0)


def _default_number(of: float, instead: float) -> float:
    return instead if math.isnan(of) else of


def _default_truth(of: Truth, instead: Truth) -> Truth:
    return instead if of is None else of


def _compare(test: Callable[[float, float], bool]) -> Callable[[float, float], Truth]:
    return lambda left, right: test(left, right) if _known(left, right) else None


def _and(left: Truth, right: Truth) -> Truth:
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def _or(left: Truth, right: Truth) -> Truth:
    if left or right:
        return True
    return None if left is None or right is None else False


def _not(of: Truth) -> Truth:
    return None if of is None else not of


def _truth(of: float) -> Truth:
    return None if math.isnan(of) else of != 0.0


def _number(of: Truth) -> float:
    return UNKNOWN if of is None else float(of)


def _at_least(of: float, count: float, least: float) -> float:
    return of if count >= least else UNKNOWN


def _truth_at_least(of: Truth, count: float, least: float) -> Truth:
    return of if count >= least else None


def _in(of: str, words: Sequence[str]) -> bool:
    return of in words


OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": lambda left, right: left + right,
    "subtract": lambda left, right: left - right,
    "multiply": lambda left, right: left * right,
    "divide": _divide,
    "negative": lambda of: -of,
    "abs": abs,
    "log": _log,
    "sqrt": _sqrt,
    "min": _least,
    "max": _most,
    "clamp": _clamp,
    "ramp": _ramp,
    "default": _default_number,
    "default_truth": _default_truth,
    "known": _known,
    "known_truth": lambda of: of is not None,
    "less": _compare(lambda left, right: left < right),
    "less_equal": _compare(lambda left, right: left <= right),
    "equal": _compare(lambda left, right: left == right),
    "same": lambda left, right: left == right,
    "in": _in,
    "and": _and,
    "or": _or,
    "not": _not,
    "truth": _truth,
    "number": _number,
    "at_least": _at_least,
    "truth_at_least": _truth_at_least,
}
"""Operation -> its meaning.

``greater`` is ``less`` turned round; ``!=`` is ``not`` of ``equal``. ``same`` and ``in`` are for texts.
"""
