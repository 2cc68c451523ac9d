"""How each field is read: for every leaf one function of a market's rows, made once."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, NamedTuple

from guard.features.kernel import baselines, book, prints, windows
from guard.features.kernel import slots as s
from guard.features.kernel.trades import EWMA_US, average_price

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.features.kernel.layout import Layout, Window
    from guard.features.tables import Leaf

__all__ = ["READERS", "View", "reader"]

_TICKS_MIN = 5.0
_SPREADS_MIN = 2.0
_EXCHANGES_MIN = 3
_UNSURE_MAX = 0.2
_MEDIANS_MIN = 20.0
_USD_MIN = 500.0
# A minute return of .1 %, 60 times: what holds beta at 1 until the market itself says otherwise.
_BETA_PRIOR = 60 * 1e-6


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


def reader(layout: Layout, leaf: Leaf) -> Read:
    """Return the function that reads `leaf`; KeyError for a field that the kernel does not know."""
    return READERS[leaf.field](layout, leaf)


def _window(layout: Layout, leaf: Leaf) -> Window:
    return layout.windows[int(leaf.arguments[0])]


def _trades_known(x: list[float], i: list[int], window: Window) -> bool:
    return windows.covered(x, i, window, s.TRADES_SINCE, s.TRADES_BEGAN, s.DOWN_TRADES)


def _book_known(x: list[float], i: list[int], window: Window) -> bool:
    return windows.covered(x, i, window, s.BOOK_SINCE, s.BOOK_BEGAN, s.DOWN_BOOK)


def _total(column: int) -> Maker:
    """Read the growth of a trade total over the window."""

    def make(layout: Layout, leaf: Leaf) -> Read:
        window = _window(layout, leaf)

        def read(x: list[float], i: list[int], _view: View) -> float:
            return x[column] - x[windows.edge(i, window) + column] if _trades_known(x, i, window) else s.NAN

        return read

    return make


def _book_total(column: int) -> Maker:
    """Read the growth of a book total over the window."""

    def make(layout: Layout, leaf: Leaf) -> Read:
        window = _window(layout, leaf)

        def read(x: list[float], i: list[int], _view: View) -> float:
            return x[column] - x[windows.edge(i, window) + column] if _book_known(x, i, window) else s.NAN

        return read

    return make


def _sided(maker: Callable[[int], Maker], first: int, second: int) -> Maker:
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


def _gaps(layout: Layout, leaf: Leaf) -> Read:
    window = _window(layout, leaf)
    # A gap is known even where it makes everything else unknown.
    return lambda x, i, _view: x[s.GAPS] - x[windows.edge(i, window) + s.GAPS] if i[window.slot] >= 0 else s.NAN


def _open_price(layout: Layout, leaf: Leaf) -> Read:
    window = _window(layout, leaf)
    return lambda x, i, _view: x[windows.edge(i, window) + s.PRICE] if _trades_known(x, i, window) else s.NAN


def _open_mid(layout: Layout, leaf: Leaf) -> Read:
    window = _window(layout, leaf)
    return lambda x, i, _view: x[windows.edge(i, window) + s.MID] if _book_known(x, i, window) else s.NAN


def _high(layout: Layout, leaf: Leaf) -> Read:
    window = _window(layout, leaf)
    return lambda x, i, _view: windows.window_high(x, i, layout.rings, window) if _trades_known(x, i, window) else s.NAN


def _low(layout: Layout, leaf: Leaf) -> Read:
    window = _window(layout, leaf)
    return lambda x, i, _view: windows.window_low(x, i, layout.rings, window) if _trades_known(x, i, window) else s.NAN


def _price(_layout: Layout, _leaf: Leaf) -> Read:
    return lambda x, i, _view: x[s.PRICE] if i[s.TRADES_SINCE] != s.NEVER else s.NAN


def _ewma_price(_layout: Layout, _leaf: Leaf) -> Read:
    def read(x: list[float], i: list[int], _view: View) -> float:
        is_known = i[s.TRADES_SINCE] != s.NEVER and i[s.AT] - i[s.EWMA_BEGAN] >= EWMA_US
        return average_price(x, i, i[s.AT]) if is_known else s.NAN

    return read


def _answer(kind: str, part: int) -> Maker:
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
    window = _window(layout, leaf)

    def read(x: list[float], i: list[int], _view: View) -> float:
        left = windows.edge(i, window)
        volume = x[s.VOLUME] - x[left + s.VOLUME]
        if volume <= 0.0 or not _trades_known(x, i, window):
            return s.NAN
        if x[s.UNSURE_VOLUME] - x[left + s.UNSURE_VOLUME] > _UNSURE_MAX * volume:
            return s.NAN
        return (x[s.BUY_VOLUME] - x[left + s.BUY_VOLUME]) / volume

    return read


def _tick(_layout: Layout, _leaf: Leaf) -> Read:
    return lambda x, _i, _view: tick(x)


def tick(x: list[float]) -> float:
    """Return the price step: as told, else the smallest step seen, else NaN."""
    told = x[s.TICK]
    return told if told == told else x[s.TICK_SEEN]


def _slot(slot: int) -> Maker:
    def make(_layout: Layout, _leaf: Leaf) -> Read:
        return lambda x, _i, _view: x[slot]

    return make


def _book_slot(slot: int) -> Maker:
    """Read a value of the book, unknown while it is not whole or crossed."""

    def make(_layout: Layout, _leaf: Leaf) -> Read:
        return lambda x, i, _view: x[slot] if i[s.BOOK_OK] and not i[s.CROSSED] else s.NAN

    return make


def _spread(_layout: Layout, _leaf: Leaf) -> Read:
    return lambda x, i, _view: spread(x) if i[s.BOOK_OK] else s.NAN


def spread(x: list[float]) -> float:
    """Return (ask - bid) / mid; NaN while the mid is unknown."""
    return (x[s.ASK] - x[s.BID]) / x[s.MID] if x[s.MID] > 0.0 else s.NAN


def _depth(layout: Layout, leaf: Leaf) -> Read:
    band, side = float(leaf.arguments[0]), leaf.arguments[1]
    usual = next((item.offset + baselines.MEDIAN for item in layout.baselines if item.kind == "spread"), -1)

    def read(x: list[float], i: list[int], _view: View) -> float:
        width = spread(x) if i[s.BOOK_OK] else s.NAN
        if width != width:
            return s.NAN
        if usual >= 0 and x[usual] == x[usual]:
            width = x[usual]
        reach = max(band, _SPREADS_MIN * width)
        step = tick(x)
        if step == step:
            reach = max(reach, _TICKS_MIN * step / x[s.MID])
        resting = 0.0
        if side != "ask":
            resting += book.depth(x, i, layout.book, 1, reach)
        if side != "bid":
            resting += book.depth(x, i, layout.book, -1, reach)
        return resting

    return read


def _crossed(_layout: Layout, _leaf: Leaf) -> Read:
    return lambda _x, i, _view: float(i[s.CROSSED]) if i[s.BOOK_OK] else s.NAN


def _age(_layout: Layout, leaf: Leaf) -> Read:
    slot = s.BOOK_RECEIVED if leaf.arguments[0] == "book" else s.TRADE_RECEIVED
    return lambda _x, i, view: float(max(0, view.received_us - i[slot])) if i[slot] >= 0 else s.NAN


def _divergence(_layout: Layout, leaf: Leaf) -> Read:
    fresh = int(leaf.arguments[0])

    def read(x: list[float], i: list[int], view: View) -> float:
        mid = x[s.MID] if i[s.BOOK_OK] and view.received_us - i[s.BOOK_RECEIVED] <= fresh else s.NAN
        if mid != mid:
            return s.NAN
        mids = sorted(view.mids(fresh))
        if len(mids) < _EXCHANGES_MIN:
            return s.NAN
        half = len(mids) // 2
        middle = mids[half] if len(mids) % 2 else 0.5 * (mids[half - 1] + mids[half])
        return mid / middle - 1.0

    return read


def _beta(_layout: Layout, _leaf: Leaf) -> Read:
    def read(x: list[float], _i: list[int], view: View) -> float:
        if view.reference is None:
            return 0.0
        return (x[s.BETA_XY] + _BETA_PRIOR) / (x[s.BETA_XX] + _BETA_PRIOR)

    return read


def _reference_ret(layout: Layout, leaf: Leaf) -> Read:
    window = _window(layout, leaf)

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


READERS: dict[str, Maker] = {
    "price": _price,
    "ewma_price": _ewma_price,
    "open_price": _open_price,
    "high": _high,
    "low": _low,
    "volume": _total(s.VOLUME),
    "buy_volume": _total(s.BUY_VOLUME),
    "turnover": _total(s.TURNOVER),
    "buy_turnover": _total(s.BUY_TURNOVER),
    "trades": _total(s.TRADES),
    "unsure_volume": _total(s.UNSURE_VOLUME),
    "buy_share": _buy_share,
    "squares": _total(s.SQUARES),
    "rush": _sided(_total, s.RUSH_BUY_LEVELS, s.RUSH_SELL_LEVELS),
    "rush_orders": _sided(_total, s.RUSH_BUY_ORDERS, s.RUSH_SELL_ORDERS),
    "rush_seconds": _sided(_total, s.RUSH_BUY_SECONDS, s.RUSH_SELL_SECONDS),
    "inside_volume": _total(s.INSIDE_VOLUME),
    "high_buys": _floored("high_buys", baselines.HIGH),
    "high_rush": _answer("high_rush", baselines.HIGH),
    "minute_median": _answer("minute", baselines.MEDIAN),
    "minute_mean": _answer("minute", baselines.MEAN),
    "minute_sd": _answer("minute", baselines.SD),
    "tick": _tick,
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
    "mid": _book_slot(s.MID),
    "bid": _book_slot(s.BID),
    "ask": _book_slot(s.ASK),
    "open_mid": _open_mid,
    "spread": _spread,
    "depth": _depth,
    "level_churn": _book_total(s.CHURN),
    "removed_unfilled": _sided(_book_total, s.REMOVED_BID, s.REMOVED_ASK),
    "high_removed": _answer("high_removed", baselines.HIGH),
    "spread_median": _answer("spread", baselines.MEDIAN),
    "spread_mean": _answer("spread", baselines.MEAN),
    "spread_sd": _answer("spread", baselines.SD),
    "spread_high": _answer("spread", baselines.HIGH),
    "crossed": _crossed,
    "crossings": _book_total(s.CROSSINGS),
    "divergence": _divergence,
    "age": _age,
    "gaps": _gaps,
    "usd_rate": _slot(s.USD_RATE),
    "volume_24h_usd": _slot(s.VOLUME_24H),
}
