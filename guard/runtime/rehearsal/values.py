"""Values of test files: moves of a price, multiples, rates, moments."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from guard.dsl.tokens import quantity
from guard.dsl.values import Model, Moment, duration_us
from guard.features.tables import Unit

__all__ = ["Amount", "Change", "Changed", "Move", "Moved", "Multiple", "Rate", "Share", "When", "is_absolute"]

# Durations end at ten years, moments begin after 2001: one number holds both.
_ABSOLUTE_MIN_US = 1_000_000_000_000_000
_PER_US = {"s": 1e6, "m": 60e6, "h": 3600e6}
_NUMBERS = (Unit.NONE, Unit.COUNT, Unit.RATIO)


def _number(text: Any, example: str) -> float:  # noqa: ANN401 - what stands in the file may be anything
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    found = quantity(text) if isinstance(text, str) else None
    if found is None or found[1] is Unit.DURATION:
        raise ValueError(f"expected a number such as {example}, found {str(text)[:40]!r}")
    return found[0]


def _rate(value: Any) -> float:  # noqa: ANN401 - likewise
    text, slash, unit = str(value).partition("/")
    found = quantity(text)
    if not slash or unit.strip() not in _PER_US or found is None or found[1] is Unit.DURATION or not found[0] > 0.0:
        raise ValueError(f"expected a rate such as 20/s or 12/m, found {str(value)[:40]!r}")
    return found[0] * 1e6 / _PER_US[unit.strip()]


def _tails(text: str, *words: str) -> tuple[str, dict[str, int]]:
    """Cut ``over 10s`` and ``for 1m`` off the end of a text."""
    parts = text.split()
    found: dict[str, int] = {}
    while len(parts) > 2 and parts[-2] in words and parts[-2] not in found:  # noqa: PLR2004 - a word, its duration, and what is before
        found[parts[-2]] = duration_us(parts[-1])
        del parts[-2:]
    return " ".join(parts), found


class Move(Model):
    """A move of the price, ``100 -> 106 over 30s``, ``106 over 30s`` or ``+6% over 30s``."""

    start: float | None = None
    """Where it begins, in quote; None is where the price stands."""
    target: float
    """Where it ends, in quote; a ratio where `is_relative`."""
    is_relative: bool = False
    over_us: int = 0


def _move(value: Any) -> Move:  # noqa: ANN401 - likewise
    example = '"100 -> 106 over 30s" or "+6% over 30s"'
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise ValueError(f"expected a move of the price such as {example}")  # noqa: TRY004 - pydantic wants ValueError
    text, tails = _tails(value, "over")
    start, arrow, target = text.rpartition("->")
    first, last = quantity(start) if arrow else None, quantity(target.strip().removeprefix("+"))
    if last is None or last[1] not in _NUMBERS or (arrow and (first is None or first[1] is not Unit.NONE)):
        raise ValueError(f"expected a move of the price such as {example}, found {value[:40]!r}")
    is_relative = last[1] is Unit.RATIO
    if (not is_relative and not last[0] > 0.0) or (is_relative and not last[0] > -1.0) or (first and not first[0] > 0.0):
        raise ValueError(f"a price stays above 0, found {value[:40]!r}")
    return Move(start=first[0] if first else None, target=last[0], is_relative=is_relative, over_us=tails.get("over", 0))


class Change(Model):
    """A multiple of the usual, reached over a time and held for a time: ``5x over 10s for 1m``."""

    factor: float
    over_us: int = 0
    for_us: int | None = None
    """None: until something else is said."""


def _change(value: Any) -> Change:  # noqa: ANN401 - likewise
    text, tails = _tails(str(value), "over", "for")
    factor = _number(text, "5x for 20s")
    if not factor > 0.0:
        raise ValueError(f"must be > 0, found {str(value)[:40]!r}")
    return Change(factor=factor, over_us=tails.get("over", 0), for_us=tails.get("for"))


def _when(value: Any) -> int:  # noqa: ANN401 - likewise
    if isinstance(value, str) and "-" in value[1:]:
        moment: int = _MOMENT(value)
        return moment
    return duration_us(value)


_MOMENT: Any = next(part.func for part in Moment.__metadata__ if isinstance(part, BeforeValidator))  # type: ignore[attr-defined] # typing's own


def is_absolute(when_us: int) -> bool:
    """Whether a `When` names a moment of the calendar and not a time since the beginning."""
    return when_us >= _ABSOLUTE_MIN_US


_TEXT = WithJsonSchema({"type": ["string", "number"]})

Moved = Annotated[Move | None, BeforeValidator(lambda value: None if value is None else _move(value)), _TEXT]
"""A `Move`, written ``100 -> 106 over 30s``."""

Changed = Annotated[Change | None, BeforeValidator(lambda value: None if value is None else _change(value)), _TEXT]
"""A `Change`, written ``5x over 10s for 1m``."""

Multiple = Annotated[float, BeforeValidator(lambda value: _number(value, "8x")), Field(gt=0.0, le=1e6), _TEXT]
"""A multiple of the usual, > 0: ``8x``."""

Amount = Annotated[float, BeforeValidator(lambda value: _number(value, "500k")), Field(gt=0.0, le=1e15), _TEXT]
"""A number > 0: ``2M``."""

Share = Annotated[float, BeforeValidator(lambda value: _number(value, "10bp")), Field(gt=0.0, lt=1.0), _TEXT]
"""A ratio in (0, 1): ``10bp``."""

Rate = Annotated[
    float,
    BeforeValidator(_rate),
    Field(gt=0.0, le=1000.0),
    PlainSerializer(lambda value: f"{value:g}/s", return_type=str),
    WithJsonSchema({"type": "string"}),
]
"""Events a second: ``20/s``, ``12/m``."""

When = Annotated[int, BeforeValidator(_when), PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string"})]
"""Microseconds since the beginning, ``40s``; for a recording also a moment, ``2018-09-07T15:31Z`` (since 1970)."""
