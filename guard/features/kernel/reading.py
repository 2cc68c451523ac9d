"""What readers of fields share: the view they get, windows of totals, and whether a window is covered."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from guard.features.kernel import slots as s
from guard.features.kernel import windows

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.features.kernel.layout import Layout, Window
    from guard.features.tables import Leaf

__all__ = ["View", "book_known", "book_total", "sided", "slot_reader", "total", "trades_known", "window_of"]


class View(NamedTuple):
    """What may be looked at beside a market's own rows.

    `reference` holds the rows of the reference market, None where there is none; `mids` gives the known mids of the same symbol
    on all exchanges whose book arrived at most that many microseconds before `received_us`.
    """

    received_us: int
    reference: tuple[list[float], list[int]] | None
    mids: Callable[[int], list[float]]


if TYPE_CHECKING:
    Read = Callable[[list[float], list[int], View], float]
    Maker = Callable[[Layout, Leaf], Read]


def window_of(layout: Layout, leaf: Leaf) -> Window:
    """Return the window that a leaf names."""
    return layout.windows[int(leaf.arguments[0])]


def trades_known(x: list[float], i: list[int], window: Window) -> bool:
    """Whether a window of trades may be read."""
    return windows.covered(x, i, window, s.TRADES_SINCE, s.TRADES_BEGAN, s.DOWN_TRADES)


def book_known(x: list[float], i: list[int], window: Window) -> bool:
    """Whether a window of the book may be read."""
    return windows.covered(x, i, window, s.BOOK_SINCE, s.BOOK_BEGAN, s.DOWN_BOOK)


def growth(window: Window, column: int, since: int, began: int, down: int) -> Read:
    """Read the growth of a column over the window; written out, because most of all reading is this."""
    us, width, size, ring, slot = window
    kept, first = slot + 1, ring + column

    def read_short(x: list[float], i: list[int], _view: View) -> float:
        at = i[s.AT]
        if at - i[since] < us or at - i[kept] < us:
            return s.NAN
        return x[column] - x[first + (((at - us) // width - 1) % size) * s.COLUMNS]

    def read_long(x: list[float], i: list[int], _view: View) -> float:
        if not windows.covered(x, i, window, since, began, down):
            return s.NAN
        return x[column] - x[first + (((i[s.AT] - us) // width - 1) % size) * s.COLUMNS]

    return read_short if us <= windows.FULL_US else read_long


def total(column: int) -> Maker:
    """Read the growth of a trade total over the window."""

    def make(layout: Layout, leaf: Leaf) -> Read:
        return growth(window_of(layout, leaf), column, s.TRADES_SINCE, s.TRADES_BEGAN, s.DOWN_TRADES)

    return make


def book_total(column: int) -> Maker:
    """Read the growth of a book total over the window."""

    def make(layout: Layout, leaf: Leaf) -> Read:
        return growth(window_of(layout, leaf), column, s.BOOK_SINCE, s.BOOK_BEGAN, s.DOWN_BOOK)

    return make


def sided(maker: Callable[[int], Maker], first: int, second: int) -> Maker:
    """Read one of two totals, or their sum, as the leaf's second argument says."""

    def make(layout: Layout, leaf: Leaf) -> Read:
        one, two = maker(first)(layout, leaf), maker(second)(layout, leaf)
        side = leaf.arguments[1]
        if side in {"buy", "bid"}:
            return one
        if side in {"sell", "ask"}:
            return two
        return lambda x, i, view: one(x, i, view) + two(x, i, view)

    return make


def slot_reader(slot: int) -> Maker:
    """Read one float as it stands."""

    def make(_layout: Layout, _leaf: Leaf) -> Read:
        return lambda x, _i, _view: x[slot]

    return make
