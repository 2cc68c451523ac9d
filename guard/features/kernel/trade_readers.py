"""How the fields of trades are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.features.kernel import baselines, windows
from guard.features.kernel import slots as s
from guard.features.kernel.reading import sided, total, trades_known, window_of
from guard.features.kernel.trades import EWMA_US, average_price

if TYPE_CHECKING:
    from guard.features.kernel.layout import Layout
    from guard.features.kernel.reading import Maker, Read, View
    from guard.features.tables import Leaf

__all__ = ["TRADE_READERS", "answer"]

_UNSURE_MAX = 0.2
_MEDIANS_MIN = 20.0
_USD_MIN = 500.0


def _open_price(layout: Layout, leaf: Leaf) -> Read:
    window = window_of(layout, leaf)
    return lambda x, i, _view: x[windows.edge(i, window) + s.PRICE] if trades_known(x, i, window) else s.NAN


def _high(layout: Layout, leaf: Leaf) -> Read:
    window = window_of(layout, leaf)
    return lambda x, i, _view: windows.window_high(x, i, layout.rings, window) if trades_known(x, i, window) else s.NAN


def _low(layout: Layout, leaf: Leaf) -> Read:
    window = window_of(layout, leaf)
    return lambda x, i, _view: windows.window_low(x, i, layout.rings, window) if trades_known(x, i, window) else s.NAN


def _price(_layout: Layout, _leaf: Leaf) -> Read:
    return lambda x, i, _view: x[s.PRICE] if i[s.TRADES_SINCE] != s.NEVER else s.NAN


def _ewma_price(_layout: Layout, _leaf: Leaf) -> Read:
    def read(x: list[float], i: list[int], _view: View) -> float:
        is_known = i[s.TRADES_SINCE] != s.NEVER and i[s.AT] - i[s.EWMA_BEGAN] >= EWMA_US
        return average_price(x, i, i[s.AT]) if is_known else s.NAN

    return read


def answer(kind: str, part: int) -> Maker:
    """Read one answer of a baseline."""

    def make(layout: Layout, leaf: Leaf) -> Read:
        suffix = f"_{leaf.arguments[1]}" if len(leaf.arguments) > 1 else ""
        slot = layout.baseline(kind + suffix, int(leaf.arguments[0])).offset + part
        return lambda x, _i, _view: x[slot]

    return make


def _floored(kind: str, part: int) -> Maker:
    """Read a high quantile, but at least 20 medians of the non-empty bins and, where a USD rate is known, 500 USD."""

    def make(layout: Layout, leaf: Leaf) -> Read:
        offset = layout.baseline(kind, int(leaf.arguments[0])).offset

        def read(x: list[float], _i: list[int], _view: View) -> float:
            high = x[offset + part]
            floor = _MEDIANS_MIN * x[offset + baselines.MEDIAN]
            if high != high or floor != floor:
                return s.NAN
            rate = x[s.USD_RATE]
            return max(high, floor, _USD_MIN / rate) if rate == rate else max(high, floor)

        return read

    return make


def _buy_share(layout: Layout, leaf: Leaf) -> Read:
    window = window_of(layout, leaf)

    def read(x: list[float], i: list[int], _view: View) -> float:
        left = windows.edge(i, window)
        volume = x[s.VOLUME] - x[left + s.VOLUME]
        if volume <= 0.0 or not trades_known(x, i, window):
            return s.NAN
        if x[s.UNSURE_VOLUME] - x[left + s.UNSURE_VOLUME] > _UNSURE_MAX * volume:
            return s.NAN
        return (x[s.BUY_VOLUME] - x[left + s.BUY_VOLUME]) / volume

    return read


TRADE_READERS: dict[str, Maker] = {
    "price": _price,
    "ewma_price": _ewma_price,
    "open_price": _open_price,
    "high": _high,
    "low": _low,
    "volume": total(s.VOLUME),
    "buy_volume": total(s.BUY_VOLUME),
    "turnover": total(s.TURNOVER),
    "buy_turnover": total(s.BUY_TURNOVER),
    "trades": total(s.TRADES),
    "unsure_volume": total(s.UNSURE_VOLUME),
    "buy_share": _buy_share,
    "squares": total(s.SQUARES),
    "rush": sided(total, s.RUSH_BUY_LEVELS, s.RUSH_SELL_LEVELS),
    "rush_orders": sided(total, s.RUSH_BUY_ORDERS, s.RUSH_SELL_ORDERS),
    "rush_seconds": sided(total, s.RUSH_BUY_SECONDS, s.RUSH_SELL_SECONDS),
    "high_buys": _floored("high_buys", baselines.HIGH),
    "high_rush": answer("high_rush", baselines.HIGH),
    "minute_median": answer("minute", baselines.MEDIAN),
    "minute_mean": answer("minute", baselines.MEAN),
    "minute_sd": answer("minute", baselines.SD),
}
