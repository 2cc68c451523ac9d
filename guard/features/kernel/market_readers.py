"""How the fields of the reference market, of the kept prints and of the data itself are read."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

from guard.features.kernel import prints, windows
from guard.features.kernel import slots as s
from guard.features.kernel.reading import slot_reader, window_of
from guard.features.kernel.trades import EWMA_US, average_price

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.features.kernel.layout import Layout, Window
    from guard.features.kernel.reading import Maker, Read, View
    from guard.features.tables import Leaf

__all__ = ["MARKET_READERS"]

# A minute return of .1 %, 60 times: what holds beta at 1 until the market itself says otherwise.
_BETA_PRIOR = 60 * 1e-6


def _gaps(layout: Layout, leaf: Leaf) -> Read:
    window = window_of(layout, leaf)
    # A gap is known even where it makes everything else unknown.
    return lambda x, i, _view: x[s.GAPS] - x[windows.edge(i, window) + s.GAPS] if i[window.slot] >= 0 else s.NAN


def _age(_layout: Layout, leaf: Leaf) -> Read:
    slot = s.BOOK_RECEIVED if leaf.arguments[0] == "book" else s.TRADE_RECEIVED
    return lambda _x, i, view: float(max(0, view.received_us - i[slot])) if i[slot] >= 0 else s.NAN


def _beta(_layout: Layout, _leaf: Leaf) -> Read:
    def read(x: list[float], _i: list[int], view: View) -> float:
        if view.reference is None:
            return 0.0
        return (x[s.BETA_XY] + _BETA_PRIOR) / (x[s.BETA_XX] + _BETA_PRIOR)

    return read


def _reference_ret(layout: Layout, leaf: Leaf) -> Read:
    window = window_of(layout, leaf)

    def read(_x: list[float], i: list[int], view: View) -> float:
        if view.reference is None:
            return 0.0
        theirs, numbers = view.reference
        at = i[s.AT]
        if at - numbers[s.TRADES_SINCE] < window.us or at - numbers[window.slot + 1] < window.us:
            return s.NAN
        return theirs[s.PRICE] / _price_at(theirs, numbers, window, at - window.us) - 1.0

    return read


def _reference_gap(_layout: Layout, _leaf: Leaf) -> Read:
    def read(_x: list[float], i: list[int], view: View) -> float:
        if view.reference is None:
            return 0.0
        theirs, numbers = view.reference
        at = max(i[s.AT], numbers[s.AT])
        if numbers[s.TRADES_SINCE] == s.NEVER or at - numbers[s.EWMA_BEGAN] < EWMA_US:
            return s.NAN
        return log(theirs[s.PRICE] / average_price(theirs, numbers, at))

    return read


def _price_at(x: list[float], i: list[int], window: Window, at: int) -> float:
    """Return another market's price at a time, without moving its clock."""
    number = at // window.width_us - 1
    if number >= i[window.slot]:
        return x[s.PRICE]
    return x[window.ring + (number % window.size) * s.COLUMNS + s.PRICE]


def _prints(statistic: Callable[[list[float], list[int], int], float]) -> Maker:
    def make(layout: Layout, _leaf: Leaf) -> Read:
        start = layout.prints

        def read(x: list[float], i: list[int], _view: View) -> float:
            if i[s.TRADES_SINCE] == s.NEVER:
                return s.NAN
            prints.expire(x, i, start)
            return statistic(x, i, start)

        return read

    return make


def _prints_count(_x: list[float], i: list[int], _start: int) -> float:
    return float(i[s.PRINTS_COUNT])


MARKET_READERS: dict[str, Maker] = {
    "beta": _beta,
    "reference_ret": _reference_ret,
    "reference_gap": _reference_gap,
    "prints_count": _prints(_prints_count),
    "prints_pairs": _prints(prints.same_size_pairs),
    "prints_alternation": _prints(prints.alternation),
    "prints_path": _prints(prints.path),
    "prints_turnover": _prints(prints.turnover),
    "prints_top_size": _prints(prints.top_size),
    "prints_entropy": _prints(prints.size_entropy),
    "age": _age,
    "gaps": _gaps,
    "usd_rate": slot_reader(s.USD_RATE),
    "volume_24h_usd": slot_reader(s.VOLUME_24H),
}
