"""What a measure gives: a figure, what it is held against, and whether its bar is met."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Bar", "Figure", "Row", "figure_of", "judged", "skipped", "unjudged"]


class Bar(NamedTuple):
    """A limit: `is_ceiling` says that lower is better."""

    limit: float
    is_ceiling: bool

    def holds(self, value: float) -> bool:
        """Whether a value keeps the limit."""
        return value <= self.limit if self.is_ceiling else value >= self.limit


class Figure(NamedTuple):
    """A median with the lowest and the highest of its rounds."""

    median: float
    low: float
    high: float
    rounds: int


class Row(NamedTuple):
    """One line of the table.

    `value` is what guard costs or does in `unit`, `reference` the yardstick's figure in the same unit, `compared` what the bar is
    held against (a ratio of both, or the value itself where the bar is absolute). `is_met` is None where nothing was judged, and
    `note` says why.
    """

    key: str
    title: str
    unit: str
    build: str
    bar: Bar
    value: Figure | None = None
    reference: Figure | None = None
    reference_name: str = ""
    compared: Figure | None = None
    is_met: bool | None = None
    note: str = ""

    def document(self) -> dict[str, Any]:
        """Return the row as JSON-able values."""
        return {
            "measure": self.key,
            "title": self.title,
            "build": self.build,
            "unit": self.unit,
            "value": _shown(self.value),
            "reference": None if self.reference is None else {"name": self.reference_name, **(_shown(self.reference) or {})},
            "ratio": _shown(self.compared) if self.reference is not None else None,
            "bar": {"at_most" if self.bar.is_ceiling else "at_least": self.bar.limit},
            "met": self.is_met,
            "note": self.note,
        }


def figure_of(values: Sequence[float]) -> Figure:
    """Return the median of rounds; raises ValueError where there is none.

    Examples
    --------
    >>> figure_of([3.0, 1.0, 2.0])
    Figure(median=2.0, low=1.0, high=3.0, rounds=3)
    """
    if not values:
        raise ValueError("a figure needs at least one round")
    return Figure(statistics.median(values), min(values), max(values), len(values))


def judged(row: Row, values: Sequence[float], references: Sequence[float] = (), *, is_inverse: bool = False) -> Row:
    """Return the row with its figures, held against its bar.

    With `references`, one for each round, the bar is held against the median of value / reference, or of reference / value where
    `is_inverse`: how many times cheaper. Without, against the median of the values.
    """
    compared = (
        [(theirs / ours if is_inverse else ours / theirs) for ours, theirs in zip(values, references, strict=True)]
        if references
        else list(values)
    )
    figure = figure_of(compared)
    return row._replace(
        value=figure_of(values),
        reference=figure_of(references) if references else None,
        compared=figure,
        is_met=row.bar.holds(figure.median),
    )


def unjudged(row: Row, values: Sequence[float], why: str) -> Row:
    """Return the row with its figure alone, because what it is held against cannot be had, or is meant for another build."""
    return row._replace(value=figure_of(values), is_met=None, note=why)


def skipped(row: Row, why: str) -> Row:
    """Return the row of a measure that could not run."""
    return row._replace(is_met=None, note=why)


def _shown(figure: Figure | None) -> dict[str, float] | None:
    if figure is None:
        return None
    return {"median": figure.median, "low": figure.low, "high": figure.high, "rounds": figure.rounds}
