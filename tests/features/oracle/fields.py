"""What each field means, read slowly from everything that happened."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from features.oracle.answers import Answer, exact, near, rounded
from features.oracle.hours import DAYS_HALF
from features.oracle.memory import histogram_key
from features.oracle.streams import FULL_US, SECOND, left_edge, width_of

if TYPE_CHECKING:
    from features.oracle.market import Market
    from features.oracle.streams import Stream

    from guard.features.tables import Leaf

__all__ = ["BETA_DECAY", "FIELD_ORACLES", "Moment", "Reader", "minute_returns", "total"]

EWMA_US = 600 * SECOND
# The markets of the exchange whose curve of the day is shared.
EXCHANGE = ("sim:X/USDT", "sim:BTC/USDT")
AHEAD_US = 2 * SECOND
BETA_DECAY = 1 - 1 / 1440
BETA_PRIOR = 60 * 1e-6


class Moment(NamedTuple):
    """A market, those beside it, and the arrival time up to which all is known."""

    market: Market
    reference: Market | None
    peers: tuple[Market, ...]
    received_us: int
    leaves: tuple[Leaf, ...]

    def since(self, name: str, window_us: int) -> list[Fraction]:
        """Return what was booked since the window's left edge."""
        return self.market.log(name).since(left_edge(self.market.at_us, window_us))

    def opening(self, name: str, stream: Stream, window_us: int) -> Fraction | None:
        """Return a price or mid before a window; None where it was not known, or where a hole lies between."""
        at_us = self.market.at_us
        if not self.is_covered(stream, window_us) or stream.keeps_hole(at_us, window_us):
            return None
        found = self.market.log(name).before(left_edge(at_us, window_us))
        return None if found is None or math.isnan(found) else found

    def is_covered(self, stream: Stream, window_us: int) -> bool:
        """Whether a stream's window may be read."""
        times = self.market.at_us, window_us, self.market.watched_us
        is_covered = stream.is_covered(*times)
        assert not is_covered or stream.covered_us(*times) * 10 >= window_us * (10 if window_us <= FULL_US else 9)
        return is_covered


Reader = Callable[[Moment, "Leaf"], Answer | None]


def total(*names: str, stream: str = "trades") -> Reader:
    """Sum what was booked in the window."""

    def read(moment: Moment, leaf: Leaf) -> Answer | None:
        if not moment.is_covered(getattr(moment.market, stream), int(leaf.arguments[0])):
            return None
        chosen = names
        if len(leaf.arguments) > 1 and leaf.arguments[1] != "both":
            chosen = tuple(name for name in names if name.endswith(f"_{leaf.arguments[1]}"))
        window = int(leaf.arguments[0])
        value = sum((Fraction(amount) for name in chosen for amount in moment.since(name, window)), Fraction(0))
        _assert_between(moment, chosen, window, value)
        largest = sum((Fraction(amount) for name in chosen for amount in moment.market.log(name).amounts), Fraction(0))
        return rounded(value, largest)

    return read


def _assert_between(moment: Moment, names: tuple[str, ...], window_us: int, value: Fraction) -> None:
    """Hold the stretched window between the window itself and one of 1.05 times its length."""
    at_us = moment.market.at_us
    exactly, longer = (
        sum((Fraction(amount) for name in names for amount in moment.market.log(name).since(at_us - reach + 1)), Fraction(0))
        for reach in (window_us, window_us * 21 // 20)
    )
    assert exactly <= value <= longer
    assert width_of(window_us) * 20 <= window_us


def _price(moment: Moment, _leaf: Leaf) -> Answer | None:
    market = moment.market
    return exact(market.price) if market.trades.since is not None else None


def _open_price(moment: Moment, leaf: Leaf) -> Answer | None:
    window = int(leaf.arguments[0])
    return exact(moment.opening("price", moment.market.trades, window))


def _extreme(choose: Callable[..., Fraction]) -> Reader:
    def read(moment: Moment, leaf: Leaf) -> Answer | None:
        window = int(leaf.arguments[0])
        trades = moment.market.trades
        if not moment.is_covered(trades, window) or trades.keeps_hole(moment.market.at_us, window):
            return None
        opening = moment.opening("price", trades, window)
        prices = [price for price in (opening, *moment.since("price", window)) if price is not None and not math.isnan(price)]
        return exact(choose(prices)) if prices else None

    return read


def _average(market: Market, at_us: int, tau_us: int = EWMA_US) -> float | None:
    """Weigh each price by how long it held, and by its age."""
    if market.trades.since is None or not market.held or at_us - market.held[0][0] < tau_us:
        return None
    ends = [start for start, _ in market.held[1:]] + [at_us]
    parts = [float(market.held[0][1]) * math.exp(-(at_us - market.held[0][0]) / tau_us)]
    for (start, price), end in zip(market.held, ends, strict=True):
        parts.append(float(price) * math.exp(-(at_us - end) / tau_us) * -math.expm1(-(end - start) / tau_us))
    return math.fsum(parts)


def _ewma_price(moment: Moment, leaf: Leaf) -> Answer | None:
    average = _average(moment.market, moment.market.at_us, int(leaf.arguments[0]))
    return None if average is None else near(average, share=1e-12)


def _buy_share(moment: Moment, leaf: Leaf) -> Answer | None:
    window = int(leaf.arguments[0])
    if not moment.is_covered(moment.market.trades, window):
        return None
    volume, unsure, bought = (sum(moment.since(name, window), Fraction(0)) for name in ("volume", "unsure_volume", "buy_volume"))
    if volume == 0:
        return None
    if abs(unsure / volume - Fraction(0.2)) < Fraction(1, 10**9):
        return Answer(0, 1, is_sure=False)
    return None if unsure > Fraction(0.2) * volume else exact(bought / volume)


def _squares(moment: Moment, leaf: Leaf) -> Answer | None:
    """Sum squared log returns from one traded second to the next, each booked when a later second trades."""
    window = int(leaf.arguments[0])
    if not moment.is_covered(moment.market.trades, window):
        return None
    prints = moment.market.prints
    close = prints[0].price if prints else None
    booked: list[tuple[int, float]] = []
    for before, after in pairwise(prints):
        is_later = before.at_us // SECOND != after.at_us // SECOND
        if after.is_torn:
            close = after.price if is_later else None
        elif is_later:
            if close is not None:
                booked.append((after.at_us, math.log(before.price / close) ** 2))
            close = before.price
    edge = left_edge(moment.market.at_us, window)
    return rounded(math.fsum(square for at, square in booked if at >= edge), math.fsum(square for _, square in booked))


def _histogram(part: str) -> Reader:
    def read(moment: Moment, leaf: Leaf) -> Answer | None:
        key = histogram_key(leaf)
        assert key is not None
        found: Answer | None = getattr(moment.market.histograms[key], part)()
        return found

    return read


def _high_buys(moment: Moment, leaf: Leaf) -> Answer | None:
    histogram = moment.market.histograms["high_buys", int(leaf.arguments[0])]
    high, middle = histogram.high(), histogram.median()
    if high is None or middle is None:
        return None
    rate = moment.market.usd_rate
    floor = 0 if rate is None else 500 / rate
    is_sure = high.is_sure and middle.is_sure
    return Answer(max(high.low, 20 * middle.low, floor), max(high.high, 20 * middle.high, floor), is_sure)


def _hour_shift(moment: Moment, leaf: Leaf) -> Answer | None:
    """Return what the market's own hours say: the exchange's curve is known from 17 market-days on, which no story lasts."""
    market, baseline = moment.market, int(leaf.arguments[0])
    median = market.histograms["minute", baseline].median()
    if median is None:
        return None
    hours = market.hours[baseline]
    assert all(len(days) * len(EXCHANGE) < DAYS_HALF for days in hours.days.values())
    found = hours.shift(market.at_us // (3_600 * SECOND) % 24)
    return found._replace(is_sure=found.is_sure and median.is_sure)


def _tick(moment: Moment, _leaf: Leaf) -> Answer | None:
    return exact(moment.market.tick)


def _beta(moment: Moment, _leaf: Leaf) -> Answer | None:
    if moment.reference is None:
        return exact(0)
    changes = minute_returns(moment.market)
    fade = [BETA_DECAY ** (len(changes) - 1 - number) for number in range(len(changes))]
    both = math.fsum(weight * x * y for weight, (x, y) in zip(fade, changes, strict=True))
    theirs = math.fsum(weight * x * x for weight, (x, _) in zip(fade, changes, strict=True))
    return near((both + BETA_PRIOR) / (theirs + BETA_PRIOR), distance=1e-9)


def minute_returns(market: Market) -> list[tuple[float, float]]:
    """Return the log returns (reference, market) from the last pair of a traded minute to that of the next; the open one is out."""
    found = []
    for unbroken in market.pairs:
        minutes = {minute: (own, theirs) for minute, own, theirs in unbroken}
        closed = [minutes[minute] for minute in sorted(minutes)[:-1]]
        found += [
            (math.log(theirs / theirs0), math.log(own / own0))
            for (own0, theirs0), (own, theirs) in pairwise(closed)
            if theirs0 > 0 and theirs > 0
        ]
    return found


def _reference_ret(moment: Moment, leaf: Leaf) -> Answer | None:
    theirs, at_us, window = moment.reference, moment.market.at_us, int(leaf.arguments[0])
    if theirs is None:
        return exact(0)
    since = theirs.trades.since
    if since is None or at_us - max(since, theirs.watched_us) < window:
        return None
    before = theirs.log("price").before(left_edge(at_us, window))
    if theirs.price is None or not before or math.isnan(before) or theirs.trades.keeps_hole(at_us, window):
        return None
    # Edges are kept for 2 s more.
    value = theirs.price / before - 1
    return Answer(value, value, is_sure=theirs.at_us - at_us <= AHEAD_US)


def _reference_gap(moment: Moment, _leaf: Leaf) -> Answer | None:
    theirs = moment.reference
    if theirs is None:
        return exact(0)
    average = _average(theirs, max(moment.market.at_us, theirs.at_us))
    return near(math.log(theirs.price / Fraction(average)), distance=1e-9) if average and theirs.price is not None else None


def _of_book(name: str) -> Reader:
    def read(moment: Moment, _leaf: Leaf) -> Answer | None:
        book = moment.market.book
        return exact(getattr(book, name)) if book.is_whole and not book.is_crossed else None

    return read


def _open_mid(moment: Moment, leaf: Leaf) -> Answer | None:
    window = int(leaf.arguments[0])
    return exact(moment.opening("mid", moment.market.books, window))


def _depth(moment: Moment, leaf: Leaf) -> Answer | None:
    band, side = leaf.arguments
    return moment.market.resting(str(side), float(band))


def _crossed(moment: Moment, _leaf: Leaf) -> Answer | None:
    book = moment.market.book
    return exact(int(book.is_crossed)) if book.is_whole else None


def _fresh_mid(moment: Moment, market: Market, fresh_us: int) -> Fraction | None:
    return market.book.mid if moment.received_us - market.received["book"] <= fresh_us else None


def _divergence(moment: Moment, leaf: Leaf) -> Answer | None:
    """Return the distance that a majority of the others keeps on one side; who is silent is in no majority."""
    own = _fresh_mid(moment, moment.market, int(leaf.arguments[0]))
    others = [_fresh_mid(moment, market, int(leaf.arguments[0])) for market in moment.peers]
    most = len(others) // 2 + 1
    known = sorted(mid for mid in others if mid is not None)
    if own is None or len(others) < 2 or len(known) < most:
        return None
    lowest, highest = known[most - 1], known[-most]
    return near(own / (lowest if lowest < own else max(own, highest)) - 1, distance=1e-12)


def _peers_ret(moment: Moment, leaf: Leaf) -> Answer | None:
    window, fresh = map(int, leaf.arguments)
    at_us, found = moment.market.at_us, []
    for market in moment.peers:
        mid, since = _fresh_mid(moment, market, fresh), market.books.since
        if mid is None or since is None or at_us - max(since, market.watched_us) < window:
            continue
        before = market.log("mid").before(left_edge(at_us, window))
        if before and not math.isnan(before) and not market.books.keeps_hole(at_us, window):
            found.append(mid / before - 1)
    return near(median(found), distance=1e-12) if len(found) >= 2 else None


def _age(moment: Moment, leaf: Leaf) -> Answer | None:
    last = moment.market.received[str(leaf.arguments[0])]
    return exact(max(0, moment.received_us - last)) if last >= 0 else None


def _gaps(moment: Moment, leaf: Leaf) -> Answer | None:
    return exact(sum(moment.since("gaps", int(leaf.arguments[0]))))


FIELD_ORACLES: dict[str, Reader] = {
    "price": _price,
    "open_price": _open_price,
    "high": _extreme(max),
    "low": _extreme(min),
    "ewma_price": _ewma_price,
    "volume": total("volume"),
    "buy_volume": total("buy_volume"),
    "turnover": total("turnover"),
    "buy_turnover": total("buy_turnover"),
    "buy_share": _buy_share,
    "trades": total("trades"),
    "unsure_volume": total("unsure_volume"),
    "squares": _squares,
    "rush": total("rush_buy", "rush_sell"),
    "rush_orders": total("rush_orders_buy", "rush_orders_sell"),
    "rush_seconds": total("rush_seconds_buy", "rush_seconds_sell"),
    "high_buys": _high_buys,
    "high_rush": _histogram("high"),
    "low_trades": _histogram("low"),
    "median_trades": _histogram("middle"),
    "minute_median": _histogram("median"),
    "minute_mean": _histogram("mean"),
    "minute_sd": _histogram("deviation"),
    "hour_shift": _hour_shift,
    "tick": _tick,
    "beta": _beta,
    "reference_ret": _reference_ret,
    "reference_gap": _reference_gap,
    "mid": _of_book("mid"),
    "bid": _of_book("bid"),
    "ask": _of_book("ask"),
    "open_mid": _open_mid,
    "spread": _of_book("spread"),
    "depth": _depth,
    "level_churn": total("level_churn", stream="books"),
    "removed_unfilled": total("removed_bid", "removed_ask", stream="books"),
    "high_removed": _histogram("high"),
    "high_churn": _histogram("high"),
    "depth_median": _histogram("middle"),
    "depth_low": _histogram("low"),
    "spread_median": _histogram("median"),
    "spread_mean": _histogram("mean"),
    "spread_sd": _histogram("deviation"),
    "spread_high": _histogram("high"),
    "crossed": _crossed,
    "crossings": total("crossings", stream="books"),
    "inside_volume": total("inside_volume"),
    "divergence": _divergence,
    "peers_ret": _peers_ret,
    "age": _age,
    "gaps": _gaps,
    "usd_rate": lambda moment, _leaf: exact(moment.market.usd_rate),
    "volume_24h_usd": lambda moment, _leaf: exact(moment.market.volume_24h_usd),
}
