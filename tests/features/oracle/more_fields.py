"""What the fields of impact, order flow, sizes and data quality mean, read slowly from everything that happened."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple

from features.oracle.answers import Answer, exact, near, rounded
from features.oracle.fields import BETA_DECAY, Moment, Reader, minute_returns, total
from features.oracle.memory import MINUTE
from features.oracle.prints import neighbours, prints_reader
from features.oracle.streams import FULL_US, SECOND, left_edge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from features.oracle.memory import Print
    from features.oracle.streams import Stream

    from guard.features.tables import Leaf

__all__ = ["MORE_ORACLES"]

DIGITS = range(1, 10)


def _windowed(booked: Callable[[list[Print]], list[tuple[int, float]]]) -> Reader:
    """Sum what all trades book, over the window."""

    def read(moment: Moment, leaf: Leaf) -> Answer | None:
        window = int(leaf.arguments[0])
        if not moment.is_covered(moment.market.trades, window):
            return None
        edge = left_edge(moment.market.at_us, window)
        rows = booked(moment.market.prints)
        value = math.fsum(amount for at, amount in rows if at >= edge)
        return near(value, share=1e-9, distance=math.fsum(abs(amount) for _, amount in rows) / 2**46) if value else exact(0)

    return read


def _path(prints: list[Print]) -> list[tuple[int, float]]:
    return [(b.at_us, float(abs(b.price / a.price - 1))) for a, b in neighbours(prints)]


def _mirrored(prints: list[Print]) -> list[tuple[int, float]]:
    return [
        (b.at_us, float(b.amount))
        for a, b in neighbours(prints)
        if a.side * b.side < 0 and a.amount == b.amount and 0 <= b.stamp_us - a.stamp_us <= 2 * SECOND
    ]


class Bar(NamedTuple):
    """One traded span: when it was booked, its log return, the flow, turnover and range of its trades."""

    at_us: int
    change: float
    flow: float
    turnover: float
    range: float


def _bars(prints: list[Print], length_us: int, *, from_first: bool) -> list[Bar]:
    """Cut trades into bars, each booked when a later one trades; the first has a return only from its own first price.

    A bar that a hole cuts is left out, and all begins anew after it.
    """
    bars = []
    for unbroken, before in _unbroken(prints):
        spans = [list(span) for _, span in groupby(unbroken, lambda item: item.at_us // length_us)]
        is_whole = before is None or before.at_us // length_us != unbroken[0].at_us // length_us
        close = unbroken[0].price if from_first and is_whole else None
        for span, after in pairwise(spans):
            if close is not None:
                bars.append(_bar(span, close, after[0].at_us))
            close = span[-1].price
    return bars


def _unbroken(prints: list[Print]) -> Iterator[tuple[list[Print], Print | None]]:
    """Return the runs of trades without a hole, each with the last trade before it."""
    starts = [number for number, item in enumerate(prints) if item.is_torn or number == 0]
    for start, end in pairwise([*starts, len(prints)]):
        yield prints[start:end], prints[start - 1] if start else None


def _bar(span: list[Print], close: Fraction, at_us: int) -> Bar:
    prices = [item.price for item in span]
    flow = sum((item.price * item.amount * item.side for item in span), Fraction(0))
    turnover = sum((item.price * item.amount for item in span), Fraction(0))
    change, reach = math.log(span[-1].price / close), math.log(max(prices) / min(prices))
    return Bar(at_us, change, float(flow), float(turnover), reach)


def _of_bars(length_us: int, amount: Callable[[Bar], float], *, from_first: bool) -> Reader:
    return _windowed(lambda prints: [(bar.at_us, amount(bar)) for bar in _bars(prints, length_us, from_first=from_first)])


def _slippage(moment: Moment, leaf: Leaf) -> Answer | None:
    market, (usd, side) = moment.market, leaf.arguments
    book = market.book
    if not book.is_whole or book.is_crossed or book.mid is None or market.usd_rate is None or float(usd) <= 0:
        return None
    wanted = left = Fraction(usd) / market.usd_rate
    taken = Fraction(0)
    resting = book.sides[-1 if side == "buy" else 1]
    for price in sorted(resting, reverse=side == "sell"):
        value = min(left, price * resting[price].size)
        taken += value / price
        left -= value
    if left > wanted / 10**12:
        return Answer(0, 0, is_sure=False) if left < wanted / 10**9 else None
    return near(abs(wanted / taken - book.mid) / book.mid, distance=1e-12)


def _coverage(moment: Moment, leaf: Leaf) -> Answer | None:
    market, window = moment.market, int(leaf.arguments[0])
    return exact(min(_share(stream, market.at_us, window, market.watched_us) for stream in (market.trades, market.books)))


def _share(stream: Stream, at_us: int, window_us: int, watched_us: int) -> Fraction:
    if stream.since is None or stream.began is None:
        return Fraction(0)
    edge = left_edge(at_us, window_us)
    lost = sum(end - start for start, end in stream.losses if end >= edge)
    full = Fraction(min(at_us - max(stream.began, watched_us), window_us) - lost, window_us)
    unbroken = Fraction(at_us - stream.since, window_us) if window_us <= FULL_US else full
    return max(Fraction(0), min(full, unbroken))


def _market_age(moment: Moment, _leaf: Leaf) -> Answer | None:
    listed = moment.market.facts.listed_us
    return exact(moment.market.at_us - listed) if listed is not None and listed <= moment.market.at_us else None


def _lag(moment: Moment, leaf: Leaf) -> Answer | None:
    found = moment.market.lags.get(str(leaf.arguments[0]))
    return None if found is None else exact(found[1])


def _counted(name: str) -> Reader:
    return lambda moment, leaf: exact(sum(moment.since(name, int(leaf.arguments[0]))))


def _corr(moment: Moment, _leaf: Leaf) -> Answer | None:
    if moment.reference is None:
        return exact(0)
    changes = minute_returns(moment.market)
    fade = [BETA_DECAY ** (len(changes) - 1 - number) for number in range(len(changes))]
    rows = list(zip(fade, changes, strict=True))
    both, theirs, own = (math.fsum(w * part(x, y) for w, (x, y) in rows) for part in (_xy, _xx, _yy))
    if math.fsum(fade) < 30 or not theirs or not own:
        return None
    return near(both / math.sqrt(theirs * own), distance=1e-9)


def _xy(x: float, y: float) -> float:
    return x * y


def _xx(x: float, _y: float) -> float:
    return x * x


def _yy(_x: float, y: float) -> float:
    return y * y


def _regularity(kept: list[Print]) -> Answer | None:
    waits = [b.at_us // 1_000 - a.at_us // 1_000 for a, b in neighbours(kept)]
    waits = [wait for wait in waits if wait > 0]
    if len(waits) < 30:
        return None
    return near(
        math.sqrt(max(Fraction(0), Fraction(len(waits) * sum(wait**2 for wait in waits), sum(waits) ** 2) - 1)), distance=1e-7
    )


def _decimal(amount: Fraction) -> str:
    """Return the significant decimal digits of a size as an exchange wrote it."""
    return f"{float(amount):.12e}"


def _benford(kept: list[Print]) -> Answer:
    digits = Counter(int(_decimal(item.amount)[0]) for item in kept)
    return near(math.fsum(abs(digits[d] / len(kept) - math.log10(1 + 1 / d)) for d in DIGITS) / 2, distance=1e-9)


def _round(kept: list[Print]) -> Answer:
    plain = sum(_decimal(item.amount).partition("e")[0][3:].strip("0") == "" for item in kept)
    return exact(Fraction(plain, len(kept)))


def _hill(kept: list[Print]) -> Answer | None:
    buckets = sorted((math.floor(8 * math.log2(item.amount)) for item in kept), reverse=True)
    k = len(kept) // 10
    total_log = math.fsum((bucket - buckets[k]) / 8 * math.log(2) for bucket in buckets[:k])
    return near(k / total_log, share=1e-9) if total_log else None


def _flow_imbalance(moment: Moment, leaf: Leaf) -> Answer | None:
    window = int(leaf.arguments[0])
    if not moment.is_covered(moment.market.books, window):
        return None
    booked = moment.market.log("flow_imbalance")
    value = sum(moment.since("flow_imbalance", window), Fraction(0))
    return rounded(value, sum((abs(amount) for amount in booked.amounts), Fraction(0)))


MORE_ORACLES: dict[str, Reader] = {
    "path": _windowed(_path),
    "swept": total("swept_buy", "swept_sell"),
    "mirrored": _windowed(_mirrored),
    "flow_return": _of_bars(SECOND, lambda bar: bar.flow * bar.change, from_first=True),
    "flow_squares": _of_bars(SECOND, lambda bar: bar.flow**2, from_first=True),
    "bar_impact": _of_bars(MINUTE, lambda bar: abs(bar.change) / bar.turnover, from_first=False),
    "bars": _of_bars(MINUTE, lambda _bar: 1.0, from_first=False),
    "bar_ranges": _of_bars(MINUTE, lambda bar: bar.range**2, from_first=False),
    "slippage": _slippage,
    "coverage": _coverage,
    "market_age": _market_age,
    "lag": _lag,
    "events": _counted("events"),
    "late": _counted("late"),
    "corr": _corr,
    "flow_imbalance": _flow_imbalance,
    "book_messages": total("book_messages", stream="books"),
    "added": total("added_bid", "added_ask", stream="books"),
    "prints_regularity": prints_reader(31, _regularity),
    "prints_benford": prints_reader(100, _benford),
    "prints_round": prints_reader(100, _round),
    "prints_hill": prints_reader(100, _hill),
}
