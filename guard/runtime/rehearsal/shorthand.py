"""Series of values in the shorthand of promtool: ``0x30 1%x6 1%+0.5%x10 _x5``."""

from __future__ import annotations

import re
from math import nan
from typing import TYPE_CHECKING, Final

from guard.dsl.tokens import quantity
from guard.features.tables import Unit

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["VALUES_MAX", "ShorthandError", "values_of"]

VALUES_MAX: Final = 86_400
_NUMBER: Final = r"[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?(?:%|bp|ms|[xkMBsmhd])?"
_WORD: Final = re.compile(rf"(?P<first>-?{_NUMBER})(?:(?P<sign>[+-])(?P<step>{_NUMBER}))?(?:x(?P<times>[0-9]+))?\Z")
_UNKNOWN: Final = re.compile(r"_(?:x(?P<times>[0-9]+))?\Z")
_TRUTHS: Final = {"true": 1.0, "false": 0.0}
_EXAMPLE: Final = "for example 0x30 1%x6 1%+0.5%x10 _x5"


class ShorthandError(ValueError):
    """A series that cannot be read; `start` is the offset of the word in its text, `is_unit` tells that its unit is wrong."""

    def __init__(self, start: int, message: str, hint: str = _EXAMPLE, *, is_unit: bool = False) -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.start, self.message, self.hint, self.is_unit = start, message, hint, is_unit


def values_of(text: str, unit: Unit) -> list[float]:
    """Return the values that a series of `unit` stands for, NaN where it says unknown. Raises ShorthandError.

    As in promtool ``AxN`` is A and then N times A again, ``A+BxN`` is A and then N more, each B above the one before, and ``_xN``
    is N times unknown.

    Examples
    --------
    >>> values_of("0x2 1%+0.5%x2 7", Unit.RATIO)
    Traceback (most recent call last):
    ...
    guard.runtime.rehearsal.shorthand.ShorthandError: 7 for a ratio is 700%; did you mean 7%? (if not, write 7x)
    >>> values_of("5x2 6-2x2 _x2", Unit.COUNT)
    [5.0, 5.0, 5.0, 6.0, 4.0, 2.0, nan, nan]
    """
    found: list[float] = []
    for match in re.finditer(r"\S+", text):
        for value in _word(match.group(), match.start(), unit):
            if len(found) >= VALUES_MAX:
                raise ShorthandError(match.start(), f"a series has at most {VALUES_MAX:,} values", "")
            found.append(value)
    if not found:
        raise ShorthandError(0, "a series has one value at least")
    return found


def _word(word: str, start: int, unit: Unit) -> Iterator[float]:
    unknown = _UNKNOWN.match(word)
    if unknown is not None:
        yield from (nan for _ in range(_times(unknown, start, 1)))
        return
    if word in _TRUTHS and unit is Unit.BOOL:
        yield _TRUTHS[word]
        return
    match = _WORD.match(word)
    if match is None:
        raise ShorthandError(start, f"{word[:40]!r} is no value of a series")
    first = _value(match["first"], start, unit)
    step = _value(match["step"], start, unit) if match["step"] else 0.0
    if match["step"] and match["times"] is None:
        raise ShorthandError(start, f"{word!r} does not say how often", f"for example {word}x10")
    yield from (first + (-step if match["sign"] == "-" else step) * number for number in range(_times(match, start, 0) + 1))


def _times(match: re.Match[str], start: int, default: int) -> int:
    digits = match["times"]
    if digits is None:
        return default
    if len(digits) > len(str(VALUES_MAX)) or int(digits) > VALUES_MAX:
        raise ShorthandError(start, f"a series has at most {VALUES_MAX:,} values", "")
    return int(digits)


def _value(text: str, start: int, unit: Unit) -> float:
    found = quantity(text)
    if found is None:
        raise ShorthandError(start, f"{text!r} is no number")
    value, own = found
    if own is Unit.DURATION or unit is Unit.DURATION:
        if own is not unit and value:
            wanted = "a duration" if unit is Unit.DURATION else f"no duration but {_kind(unit)}"
            raise ShorthandError(start, f"{text} is wrong here: the feature is {wanted}", "", is_unit=True)
    elif own is Unit.RATIO and unit not in (Unit.RATIO, Unit.NONE):
        raise ShorthandError(start, f"{text} is wrong here: the feature is {_kind(unit)}", "", is_unit=True)
    elif unit is Unit.RATIO and own is Unit.NONE and abs(value) > 1.0 and not text.endswith("x"):
        hint = f"did you mean {text}%? (if not, write {text}x)"
        raise ShorthandError(start, f"{text} for a ratio is {100.0 * value:g}%", hint, is_unit=True)
    return value


def _kind(unit: Unit) -> str:
    return {Unit.COUNT: "a count", Unit.RATIO: "a ratio", Unit.BOOL: "a condition", Unit.NONE: "a number"}.get(
        unit, f"a number of {unit}"
    )
