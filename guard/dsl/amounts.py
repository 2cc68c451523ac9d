"""Values of expressions as a person reads them."""

from __future__ import annotations

from math import isinf

from guard.features.lacking import lasting
from guard.features.tables import Unit

__all__ = ["shown"]

# From here on a ratio reads better as a multiple.
_MULTIPLE_MIN = 5.0
_LARGE = ((1e9, "B"), (1e6, "M"), (1e3, "k"))


def shown(value: float | bool | str | None, unit: Unit = Unit.NONE) -> str:  # noqa: C901, FBT001, PLR0911 - any type; a case for each unit
    """Return a value with its unit.

    Examples
    --------
    >>> shown(0.0321, Unit.RATIO), shown(41e6, Unit.DURATION), shown(7.0, Unit.COUNT), shown(1.25e6, Unit.USD), shown(None)
    ('3.21%', '41 s', '7', '1.25M USD', 'unknown')
    """
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinf(value):
        return "infinite"
    match unit:
        case Unit.RATIO:
            return f"{_short(100.0 * value)}%" if abs(value) < _MULTIPLE_MIN else f"{_short(value)}x"
        case Unit.DURATION:
            return f"-{lasting(-value)}" if value < 0.0 else lasting(value)
        case Unit.COUNT:
            return f"{value:.12g}" if value == int(value) else f"{value:.4g}"
        case Unit.USD:
            return f"{_scaled(value)} USD"
        case Unit.SIGMA:
            return f"{_short(value)} sigma"
        case Unit.BASE | Unit.QUOTE:
            return f"{value:.6g}"
        case _:
            return _scaled(value)


def _scaled(value: float) -> str:
    for least, letter in _LARGE:
        if abs(value) >= least and abs(value) < 1000.0 * _LARGE[0][0]:
            return f"{value / least:.4g}{letter}"
    return f"{value:.4g}"


def _short(value: float) -> str:
    """Return three digits, and no exponent where the number is not huge."""
    return f"{value:.0f}" if 1000.0 <= abs(value) < 1e9 else f"{value:.3g}"  # noqa: PLR2004 - what three digits cannot hold
