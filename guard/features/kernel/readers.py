"""How each field is read: the readers in the order of their numbers, and how a leaf becomes a record of the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from guard.features.fields import FIELDS_BY_NAME
from guard.features.kernel import slots as s
from guard.features.kernel.baselines import HIGH, MEAN, MEDIAN, SD
from guard.features.kernel.book_readers import (
    read_book_slot,
    read_crossed,
    read_depth,
    read_divergence,
    read_slippage,
    read_spread,
    read_tick,
)
from guard.features.kernel.groups import GROUP_OF, GROUPS
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
from guard.features.kernel.reading import (
    read_before,
    read_long,
    read_long_both,
    read_short,
    read_short_both,
    read_slot,
)
from guard.features.kernel.trade_readers import (
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
    from guard.features.kernel.rows import FloatRows, Floats, IntegerRows, Integers, Read
    from guard.features.tables import Leaf

__all__ = ["READERS", "TABLE", "Code", "encoded", "read_leaf"]


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

# The numbers of readers, by which a jitted reading finds them: places in READERS.
(
    _SHORT, _LONG, _SHORT_BOTH, _LONG_BOTH,
    _SLOT, _FLOORED, _PRICE, _EWMA_PRICE, _TICK, _AGE, _BETA, _REFERENCE_GAP, _CORR, _LAG,
    _MARKET_AGE, _BEFORE, _HIGH, _LOW, _BUY_SHARE, _COUNTED, _COVERAGE, _REFERENCE_RET,
    _BOOK_SLOT, _SPREAD, _DEPTH, _CROSSED, _SLIPPAGE, _DIVERGENCE,
    _COUNT, _PAIRS, _ALTERNATION, _PATH, _TURNOVER, _TOP_SIZE, _ENTROPY, _DIGITS,
) = range(36)  # fmt: skip

READERS: Final[tuple[Read, ...]] = (
    read_short, read_long, read_short_both, read_long_both,
    read_slot, read_floored, read_price, read_ewma_price, read_tick, read_age, read_beta, read_reference_gap,
    read_corr, read_lag, read_market_age,
    read_before, read_high, read_low, read_buy_share, read_counted, read_coverage, read_reference_ret,
    read_book_slot, read_spread, read_depth, read_crossed, read_slippage, read_divergence,
    read_prints_count, read_prints_pairs, read_prints_alternation, read_prints_path, read_prints_turnover, read_prints_top_size,
    read_prints_entropy, read_prints_digits,
)  # fmt: skip
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


def _depth(_layout: Layout, leaf: Leaf) -> Code:
    return Code(read_depth, b=_SIDES[str(leaf.arguments[1])], floats=(float(leaf.arguments[0]),))


def _slippage(_layout: Layout, leaf: Leaf) -> Code:
    usd, side = leaf.arguments
    return Code(read_slippage, b=-1 if side == "buy" else 1, floats=(float(usd),))


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
    "ewma_price": _plain(read_ewma_price),
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
    "minute_median": _answer("minute", MEDIAN),
    "minute_mean": _answer("minute", MEAN),
    "minute_sd": _answer("minute", SD),
    "mid": _plain(read_book_slot, s.MID),
    "bid": _plain(read_book_slot, s.BID),
    "ask": _plain(read_book_slot, s.ASK),
    "open_mid": _windowed(read_before, s.MID, _BOOK),
    "spread": _plain(read_spread),
    "depth": _depth,
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


def read_leaf(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the leaf whose record begins at `at`, as ``READERS[p[at]]`` does: for a compiler, which knows no table of functions."""
    op = p[at]
    if op == _SHORT:
        value = read_short(X, I, x, i, p, q, at, received)
    elif op == _LONG:
        value = read_long(X, I, x, i, p, q, at, received)
    elif op == _SHORT_BOTH:
        value = read_short_both(X, I, x, i, p, q, at, received)
    elif op == _LONG_BOTH:
        value = read_long_both(X, I, x, i, p, q, at, received)
    elif op < _MARKET_AGE:
        value = _read_value(X, I, x, i, p, q, at, received)
    elif op < _BOOK_SLOT:
        value = _read_window(X, I, x, i, p, q, at, received)
    elif op < _COUNT:
        value = _read_book(X, I, x, i, p, q, at, received)
    else:
        value = _read_prints(X, I, x, i, p, q, at, received)
    return value


def _read_value(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    op = p[at]
    if op == _SLOT:
        value = read_slot(X, I, x, i, p, q, at, received)
    elif op == _FLOORED:
        value = read_floored(X, I, x, i, p, q, at, received)
    elif op == _PRICE:
        value = read_price(X, I, x, i, p, q, at, received)
    elif op == _EWMA_PRICE:
        value = read_ewma_price(X, I, x, i, p, q, at, received)
    elif op == _TICK:
        value = read_tick(X, I, x, i, p, q, at, received)
    elif op == _AGE:
        value = read_age(X, I, x, i, p, q, at, received)
    elif op == _BETA:
        value = read_beta(X, I, x, i, p, q, at, received)
    elif op == _CORR:
        value = read_corr(X, I, x, i, p, q, at, received)
    elif op == _LAG:
        value = read_lag(X, I, x, i, p, q, at, received)
    else:
        value = read_reference_gap(X, I, x, i, p, q, at, received)
    return value


def _read_window(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    op = p[at]
    if op == _BEFORE:
        value = read_before(X, I, x, i, p, q, at, received)
    elif op == _HIGH:
        value = read_high(X, I, x, i, p, q, at, received)
    elif op == _LOW:
        value = read_low(X, I, x, i, p, q, at, received)
    elif op == _BUY_SHARE:
        value = read_buy_share(X, I, x, i, p, q, at, received)
    elif op == _MARKET_AGE:
        value = read_market_age(X, I, x, i, p, q, at, received)
    elif op == _COUNTED:
        value = read_counted(X, I, x, i, p, q, at, received)
    elif op == _COVERAGE:
        value = read_coverage(X, I, x, i, p, q, at, received)
    else:
        value = read_reference_ret(X, I, x, i, p, q, at, received)
    return value


def _read_book(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    op = p[at]
    if op == _BOOK_SLOT:
        value = read_book_slot(X, I, x, i, p, q, at, received)
    elif op == _SPREAD:
        value = read_spread(X, I, x, i, p, q, at, received)
    elif op == _DEPTH:
        value = read_depth(X, I, x, i, p, q, at, received)
    elif op == _CROSSED:
        value = read_crossed(X, I, x, i, p, q, at, received)
    elif op == _SLIPPAGE:
        value = read_slippage(X, I, x, i, p, q, at, received)
    else:
        value = read_divergence(X, I, x, i, p, q, at, received)
    return value


def _read_prints(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    op = p[at]
    if op == _COUNT:
        value = read_prints_count(X, I, x, i, p, q, at, received)
    elif op == _PAIRS:
        value = read_prints_pairs(X, I, x, i, p, q, at, received)
    elif op == _ALTERNATION:
        value = read_prints_alternation(X, I, x, i, p, q, at, received)
    elif op == _PATH:
        value = read_prints_path(X, I, x, i, p, q, at, received)
    elif op == _TURNOVER:
        value = read_prints_turnover(X, I, x, i, p, q, at, received)
    elif op == _TOP_SIZE:
        value = read_prints_top_size(X, I, x, i, p, q, at, received)
    elif op == _DIGITS:
        value = read_prints_digits(X, I, x, i, p, q, at, received)
    else:
        value = read_prints_entropy(X, I, x, i, p, q, at, received)
    return value
