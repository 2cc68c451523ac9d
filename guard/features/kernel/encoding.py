"""How leaves become records of the plan: for each field which reader reads it, with what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from guard.features.fields import FIELDS_BY_NAME
from guard.features.kernel import slots as s
from guard.features.kernel.baselines import HIGH, LOW, MEAN, MEDIAN, MIDDLE, SD
from guard.features.kernel.book_readers import (
    read_book_slot,
    read_crossed,
    read_depth,
    read_slippage,
    read_spread,
    read_tick,
)
from guard.features.kernel.groups import GROUP_OF, GROUPS
from guard.features.kernel.hours import read_hour_shift
from guard.features.kernel.market_readers import (
    BENFORD,
    HILL,
    REGULARITY,
    ROUND,
    read_age,
    read_beta,
    read_corr,
    read_counted,
    read_coverage,
    read_lag,
    read_market_age,
    read_prints_alternation,
    read_prints_count,
    read_prints_digits,
    read_prints_entropy,
    read_prints_pairs,
    read_prints_path,
    read_prints_top_size,
    read_prints_turnover,
    read_reference_gap,
    read_reference_ret,
)
from guard.features.kernel.peer_readers import read_divergence, read_peers_ret
from guard.features.kernel.readers import READERS
from guard.features.kernel.reading import (
    read_before,
    read_long,
    read_long_both,
    read_short,
    read_short_both,
    read_slot,
)
from guard.features.kernel.trade_readers import (
    read_average_price,
    read_buy_share,
    read_ewma_price,
    read_floored,
    read_high,
    read_low,
    read_price,
)
from guard.features.kernel.windows import FULL_US

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.features.kernel.layout import Layout, Window
    from guard.features.kernel.rows import Read
    from guard.features.tables import Leaf

__all__ = ["TABLE", "Code", "encoded"]


class Code(NamedTuple):
    """What a leaf's record holds: who reads it and with what. `floats` go to the plan's floats, the place of the first to `a`."""

    reader: Read
    window: Window | None = None
    a: int = 0
    b: int = 0
    since: int = 0
    began: int = 0
    down: int = 0
    floats: tuple[float, ...] = ()


if TYPE_CHECKING:
    Encode = Callable[[Layout, Leaf], Code]

_OPS: Final = {reader: op for op, reader in enumerate(READERS)}

# Since when unbroken, since when at all, and which of a group's columns of lost time.
_TRADES: Final = (s.TRADES_SINCE, s.TRADES_BEGAN, 0)
_BOOK: Final = (s.BOOK_SINCE, s.BOOK_BEGAN, 1)
_STREAMS: Final = {"market": 0, "trades": 1, "book": 2, "peers": 4}
_SIDES: Final = {"bid": 1, "ask": -1, "both": 0}


def encoded(layout: Layout, leaf: Leaf, q: list[float]) -> list[int]:
    """Return the record of `leaf`, 15 integers as `slots.L_*` say; its float arguments are appended to `q`.

    KeyError for a field that the kernel does not know.
    """
    reader, window, a, b, since, began, down, floats = TABLE[leaf.field](layout, leaf)
    if floats:
        a = len(q)
        q.extend(floats)
    stream = _STREAMS[FIELDS_BY_NAME[leaf.field].stream]
    return [_OPS[reader], *(window or (0,) * s.WINDOW_SIZE), a, b, since, began, down, stream]


def _window(layout: Layout, leaf: Leaf) -> Window:
    return layout.window(int(leaf.arguments[0]), GROUP_OF[leaf.field])


def _lost(leaf: Leaf, stream: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the last number of `stream` as a column of the group that the leaf is read from."""
    since, began, down = stream
    return since, began, GROUPS[GROUP_OF[leaf.field]].down + down


def _plain(reader: Read, a: int = 0) -> Encode:
    """Read without a window."""
    return lambda _layout, _leaf: Code(reader, a=a)


def _windowed(reader: Read, a: int = 0, stream: tuple[int, int, int] = _TRADES) -> Encode:
    """Read over a window which `stream` must cover."""
    return lambda layout, leaf: Code(reader, _window(layout, leaf), a, 0, *_lost(leaf, stream))


def _total(column: int, stream: tuple[int, int, int] = _TRADES) -> Encode:
    """Read the growth of a total over the window."""

    def encode(layout: Layout, leaf: Leaf) -> Code:
        window = _window(layout, leaf)
        reader = read_short if window.us <= FULL_US else read_long
        return Code(reader, window, column, window.ring + column, *_lost(leaf, stream))

    return encode


def _sided(first: int, second: int, stream: tuple[int, int, int] = _TRADES) -> Encode:
    """Read the growth of one of two totals, or of both together, as the leaf's second argument says."""

    def encode(layout: Layout, leaf: Leaf) -> Code:
        side = leaf.arguments[1]
        if side != "both":
            return _total(first if side in {"buy", "bid"} else second, stream)(layout, leaf)
        window = _window(layout, leaf)
        return Code(read_short_both if window.us <= FULL_US else read_long_both, window, first, second, *_lost(leaf, stream))

    return encode


def _answer(kind: str, part: int) -> Encode:
    """Read one answer of a baseline."""

    def encode(layout: Layout, leaf: Leaf) -> Code:
        suffix = f"_{leaf.arguments[1]}" if len(leaf.arguments) > 1 else ""
        return Code(read_slot, a=layout.baseline(kind + suffix, int(leaf.arguments[0])).offset + part)

    return encode


def _high_buys(layout: Layout, leaf: Leaf) -> Code:
    offset = layout.baseline("high_buys", int(leaf.arguments[0])).offset
    return Code(read_floored, a=offset + HIGH, b=offset + MEDIAN)


def _trades_of_a_bin(part: int) -> Encode:
    return lambda layout, leaf: Code(read_slot, a=layout.baseline("trades", int(leaf.arguments[0])).offset + part)


def _usual_depth(part: int) -> Encode:
    return lambda layout, leaf: Code(read_slot, a=layout.usual_depth(leaf).offset + part)


def _ewma_price(layout: Layout, leaf: Leaf) -> Code:
    number = layout.average(leaf)
    return Code(read_ewma_price) if number < 0 else Code(read_average_price, a=number)


def _depth(_layout: Layout, leaf: Leaf) -> Code:
    return Code(read_depth, b=_SIDES[str(leaf.arguments[1])], floats=(float(leaf.arguments[0]),))


def _slippage(_layout: Layout, leaf: Leaf) -> Code:
    usd, side = leaf.arguments
    return Code(read_slippage, b=-1 if side == "buy" else 1, floats=(float(usd),))


def _peers_ret(layout: Layout, leaf: Leaf) -> Code:
    return Code(read_peers_ret, _window(layout, leaf), a=int(leaf.arguments[1]))


def _divergence(_layout: Layout, leaf: Leaf) -> Code:
    return Code(read_divergence, a=int(leaf.arguments[0]))


def _age(_layout: Layout, leaf: Leaf) -> Code:
    return Code(read_age, a=s.BOOK_RECEIVED if leaf.arguments[0] == "book" else s.TRADE_RECEIVED)


def _lag(_layout: Layout, leaf: Leaf) -> Code:
    if leaf.arguments[0] == "book":
        return Code(read_lag, a=s.BOOK_RECEIVED, b=s.BOOK_SENT)
    return Code(read_lag, a=s.TRADE_RECEIVED, b=s.TRADE_SENT)


TABLE: Final[dict[str, Encode]] = {
    "price": _plain(read_price),
    "ewma_price": _ewma_price,
    "open_price": _windowed(read_before, s.PRICE),
    "high": _windowed(read_high),
    "low": _windowed(read_low),
    "volume": _total(s.VOLUME),
    "buy_volume": _total(s.BUY_VOLUME),
    "turnover": _total(s.TURNOVER),
    "buy_turnover": _total(s.BUY_TURNOVER),
    "trades": _total(s.TRADES),
    "unsure_volume": _total(s.UNSURE_VOLUME),
    "buy_share": _windowed(read_buy_share),
    "squares": _total(s.SQUARES),
    "path": _total(s.PATH),
    "mirrored": _total(s.MIRRORED),
    "flow_return": _total(s.FLOW_RETURN),
    "flow_squares": _total(s.FLOW_SQUARES),
    "bar_impact": _total(s.BAR_IMPACT),
    "bars": _total(s.BARS),
    "bar_ranges": _total(s.BAR_RANGES),
    "rush": _sided(s.RUSH_BUY_LEVELS, s.RUSH_SELL_LEVELS),
    "rush_orders": _sided(s.RUSH_BUY_ORDERS, s.RUSH_SELL_ORDERS),
    "rush_seconds": _sided(s.RUSH_BUY_SECONDS, s.RUSH_SELL_SECONDS),
    "swept": _sided(s.SWEPT_BUY, s.SWEPT_SELL),
    "high_buys": _high_buys,
    "high_rush": _answer("high_rush", HIGH),
    "low_trades": _trades_of_a_bin(LOW),
    "median_trades": _trades_of_a_bin(MIDDLE),
    "minute_median": _answer("minute", MEDIAN),
    "minute_mean": _answer("minute", MEAN),
    "minute_sd": _answer("minute", SD),
    "mid": _plain(read_book_slot, s.MID),
    "bid": _plain(read_book_slot, s.BID),
    "ask": _plain(read_book_slot, s.ASK),
    "open_mid": _windowed(read_before, s.MID, _BOOK),
    "spread": _plain(read_spread),
    "depth": _depth,
    "depth_median": _usual_depth(MIDDLE),
    "depth_low": _usual_depth(LOW),
    "high_churn": _answer("high_churn", HIGH),
    "level_churn": _total(s.CHURN, _BOOK),
    "removed_unfilled": _sided(s.REMOVED_BID, s.REMOVED_ASK, _BOOK),
    "book_messages": _total(s.MESSAGES, _BOOK),
    "flow_imbalance": _total(s.FLOW_IMBALANCE, _BOOK),
    "added": _sided(s.ADDED_BID, s.ADDED_ASK, _BOOK),
    "slippage": _slippage,
    "high_removed": _answer("high_removed", HIGH),
    "spread_median": _answer("spread", MEDIAN),
    "spread_mean": _answer("spread", MEAN),
    "spread_sd": _answer("spread", SD),
    "spread_high": _answer("spread", HIGH),
    "crossed": _plain(read_crossed),
    "crossings": _total(s.CROSSINGS, _BOOK),
    "inside_volume": _total(s.INSIDE_VOLUME),
    "divergence": _divergence,
    "peers_ret": _peers_ret,
    "hour_shift": lambda layout, leaf: Code(read_hour_shift, a=layout.curve(int(leaf.arguments[0]))),
    "tick": _plain(read_tick),
    "beta": _plain(read_beta),
    "corr": _plain(read_corr),
    "reference_ret": _windowed(read_reference_ret),
    "reference_gap": _plain(read_reference_gap),
    "prints_count": _plain(read_prints_count),
    "prints_pairs": _plain(read_prints_pairs),
    "prints_alternation": _plain(read_prints_alternation),
    "prints_path": _plain(read_prints_path),
    "prints_turnover": _plain(read_prints_turnover),
    "prints_top_size": _plain(read_prints_top_size),
    "prints_entropy": _plain(read_prints_entropy),
    "prints_regularity": _plain(read_prints_digits, REGULARITY),
    "prints_benford": _plain(read_prints_digits, BENFORD),
    "prints_round": _plain(read_prints_digits, ROUND),
    "prints_hill": _plain(read_prints_digits, HILL),
    "age": _age,
    "lag": _lag,
    "market_age": _plain(read_market_age),
    "coverage": _windowed(read_coverage),
    "gaps": _windowed(read_counted, s.GAPS),
    "events": _windowed(read_counted, s.EVENTS),
    "late": _windowed(read_counted, s.LATE_EVENTS),
    "usd_rate": _plain(read_slot, s.USD_RATE),
    "volume_24h_usd": _plain(read_slot, s.VOLUME_24H),
}
