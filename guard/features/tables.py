"""What the two feature tables are made of: accumulators (`Field`) and formulas over them (`Feature`)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

__all__ = ["WINDOWS_MAX", "WINDOW_BOUNDS_US", "Argument", "Cost", "Feature", "Field", "Leaf", "Type", "Unit"]

WINDOWS_MAX: Final = 16
"""How many distinct windows all rules together may name."""

WINDOW_BOUNDS_US: Final = (1_000_000.0, 86_400_000_000.0)
"""The shortest and the longest window that the kernel keeps."""


class Type(StrEnum):
    """The type of an argument or a value in the rule language."""

    NUMBER = "number"
    BOOL = "bool"
    TEXT = "text"
    DURATION = "duration"
    RATIO = "ratio"
    LIST = "list"


class Unit(StrEnum):
    """What a number means. A ratio is written 3% or 30bp and is 0.03 or 0.003 inside; a duration is microseconds."""

    NONE = "none"
    RATIO = "ratio"
    DURATION = "duration"
    BASE = "base"
    QUOTE = "quote"
    USD = "usd"
    COUNT = "count"
    BOOL = "bool"
    SIGMA = "sigma"


class Cost(StrEnum):
    """What a field asks of every market.

    ``last`` is one value that is kept and read as it stands; ``sum`` a running total, a window being the difference of two;
    ``walk`` a pass over bins, levels or kept trades at each reading; ``histogram`` a decayed histogram of 1.2 kB.
    """

    LAST = "last"
    SUM = "sum"
    WALK = "walk"
    HISTOGRAM = "histogram"


class Argument(NamedTuple):
    """One argument of a field or feature.

    `default` None means that it must be given. `choices` limits a text, `bounds` (least and most, microseconds) a duration.
    """

    name: str
    type: Type
    default: float | str | None = None
    choices: tuple[str, ...] = ()
    bounds: tuple[float, float] | None = None


class Field(NamedTuple):
    """What the kernel can read of a market's record: a leaf of every formula.

    `stream` is ``trades``, ``book``, ``peers`` (the same symbol on three or more exchanges) or ``market``: where a stream is not
    subscribed the field is absent. `doc` is one sentence
    with the unit. A field whose data is missing reads NaN: unknown, never 0.

    `formula` is its exact meaning, `minimum` the data below which it is unknown, `source` the paper or measurement behind it,
    `bound` how far a reading may be from the exact value.
    """

    name: str
    unit: Unit
    doc: str
    arguments: tuple[Argument, ...] = ()
    stream: str = "trades"
    formula: str = ""
    minimum: str = ""
    source: str = ""
    cost: Cost = Cost.LAST
    bound: str = "exact"


class Feature(NamedTuple):
    """A named formula over fields and other features, in guard's own expression language.

    Arguments are used by name in `formula`. `min_count` of trades in the longest window must be there, else it is unknown.
    `minimum` says in words below which data it is unknown, `source` the paper, table or measurement behind it. It costs what its
    fields cost.
    """

    name: str
    formula: str
    unit: Unit
    doc: str
    arguments: tuple[Argument, ...] = ()
    min_count: int = 0
    source: str = ""
    minimum: str = ""


class Leaf(NamedTuple):
    """One field with its arguments fixed: a column of the row that the kernel copies out at a trigger.

    Durations are integer microseconds, ratios floats, texts stay texts.
    """

    field: str
    arguments: tuple[float | int | str, ...] = ()

    def __str__(self) -> str:
        """Return the written form, ``volume(60000000)``."""
        return f"{self.field}({', '.join(map(str, self.arguments))})"
