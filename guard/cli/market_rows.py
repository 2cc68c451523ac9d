"""The rows of the board, one a market: laid out here, since a table of rich costs more than a guard's whole work of a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment

from guard.cli.wording import age_text, safe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["MarketRows"]

_LEVEL_STYLES: Final = {"normal": "green", "warning": "yellow", "danger": "bold red", "critical": "bold white on red"}
_BAR_STYLES: Final = {"normal": "green", "warning": "yellow", "danger": "red", "critical": "red"}
_STATE_STYLES: Final = {"normal": "dim", "quarantined": "bold red", "probation": "yellow"}
_DATA_STYLES: Final = {"ok": "green", "new": "cyan", "warming": "cyan", "degraded": "yellow"}
_FACTORS: Final = {"price_volatility": "price", "volume_anomaly": "volume", "order_book": "book", "trade_pattern": "pattern"}
_BAR_CELLS: Final = 10
_NARROW_CELLS: Final = 5
_WIDE: Final = 132
_AGE_CELLS: Final = 100
_CELLS_MIN: Final = 5
_GAP: Final = 2


class _Cell(NamedTuple):
    text: str
    style: str = "none"


class MarketRows:
    """The markets of a status document with their levels; what is wider than the terminal is cut, the widest column first.

    Parameters
    ----------
    rows
        Of the document.
    width
        Columns of the terminal. Below 132 the factors and the rule are left out, below 100 the age.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], *, width: int) -> None:
        is_wide, has_age = width >= _WIDE, width >= _AGE_CELLS
        factors = tuple(_FACTORS.values()) if is_wide else ()
        names = ("market", "score", "", *factors, "level", "state", "data", *(["age"] * has_age), *(["rule"] * is_wide))
        self._aligns_right = [name == "age" for name in names]
        self._lines = [[_Cell(name, "dim") for name in names], *(_cells(row, is_wide=is_wide, has_age=has_age) for row in rows)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines, the names of the columns first."""
        widths = _fitted([max(map(cell_len, column)) for column in zip(*map(_texts, self._lines), strict=True)], options.max_width)
        for number, line in enumerate(self._lines):
            for cell, width, is_right in zip(line, widths, self._aligns_right, strict=True):
                text = _cut(cell.text, width)
                pad = " " * (width - cell_len(text))
                yield Segment(" " * _GAP)
                yield Segment(pad + text if is_right else text + pad, console.get_style(cell.style))
            yield Segment.line()
            if not number:
                yield Segment(" " * _GAP + "─" * (sum(widths) + _GAP * (len(widths) - 1)), console.get_style("dim"))
                yield Segment.line()


def _texts(line: Sequence[_Cell]) -> list[str]:
    return [cell.text for cell in line]


def _fitted(widths: list[int], most: int) -> list[int]:
    """Take from the widest column until all fit, or nothing is left to take."""
    room = most - _GAP * len(widths)
    while sum(widths) > room and max(widths) > _CELLS_MIN:
        widths[widths.index(max(widths))] -= 1
    return widths


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"


def _cells(row: Mapping[str, Any], *, is_wide: bool, has_age: bool) -> list[_Cell]:
    score = row["score"]
    cells = [
        _Cell(safe(row["market"])),
        _Cell("   -" if score is None else f"{score:4.2f}"),
        _Cell(_bar(score, _BAR_CELLS if is_wide else _NARROW_CELLS), _BAR_STYLES[row["level"]]),
        *([_Cell(_factor(row["factors"], name)) for name in _FACTORS] if is_wide else ()),
        _level(row),
        _Cell(_state(row), _STATE_STYLES[row["state"]]),
        _Cell(_data(row), _DATA_STYLES.get(row["data"], "bold red")),
    ]
    if has_age:
        cells.append(_Cell("-" if row["age_ms"] is None else age_text(row["age_ms"])))
    if is_wide:
        cells.append(_Cell(safe(row["rule"]), "dim"))
    return cells


def _level(row: Mapping[str, Any]) -> _Cell:
    """Return the level; one that only a rule in the shadow gives stands in brackets, since nobody is told and nothing is held."""
    if row.get("mode") == "shadow" and row["level"] != "normal":
        return _Cell(f"({row['level']})", "dim")
    return _Cell(row["level"], _LEVEL_STYLES[row["level"]])


def _state(row: Mapping[str, Any]) -> str:
    if row["state"] == "normal":
        return "normal"
    return f"{row['state']} to {row['until'][11:16]}Z" if row["until"] else str(row["state"])


def _data(row: Mapping[str, Any]) -> str:
    """Return the data state; that of a new market with the moment at which it is 72 hours old."""
    until = row.get("new_until")
    return f"new to {until[5:16].replace('T', ' ')}Z" if until else str(row["data"])


def _bar(score: float | None, cells: int) -> str:
    full = 0 if score is None else round(score * cells)
    return "█" * full + "·" * (cells - full)


def _factor(factors: Mapping[str, float | None], name: str) -> str:
    if name not in factors:
        return "  "
    value = factors[name]
    return "   ?" if value is None else f"{value:4.2f}"
