"""Best prices of thin coins and of a busy market, streamed truly or cut, beside tickers that lag and polls that fail."""

from __future__ import annotations

import gzip
import heapq
from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from silent_tapes import EVERY_US, GRACE_US, TAPES, Exchange, S, Watch, between, load

from guard_ccxt.alive.still_book import HereBook, Quote, StillBook

if TYPE_CHECKING:
    from silent_tapes import Tape

    from guard.model.ports import Random

ORDERS = Path(__file__).parents[3] / "../shared/data/book/bitstamp_btcusd_2015-05-01_orders_first_half.csv.gz"


class BookTape(NamedTuple):
    """Messages of a book in order: when each came, the best prices after it; and the trades beside it."""

    at_us: list[int]
    quotes: list[Quote]
    trades: Tape

    def before(self, at_us: int) -> int:
        """Return how many messages are not later than `at_us`."""
        return bisect_right(self.at_us, at_us)

    def quote(self, at_us: int) -> Quote | None:
        """Return the best prices at a time; None before the first message."""
        seen = self.before(at_us)
        return self.quotes[seen - 1] if seen else None


def thin(path: Path) -> BookTape:
    """Make the stillest book that fits a tape of trades: its best prices are those of the last purchase and the last sale."""
    trades, at_us, quotes = load(path), [], []
    bid = ask = None
    with gzip.open(path, "rt") as lines:
        next(lines)
        for line in lines:
            _, stamp, _, side, price, _, _ = line.split(",")
            bid, ask = (bid, float(price)) if side == "buy" else (float(price), ask)
            if bid is None or ask is None:
                continue
            # A trade through the other side leaves nothing of it.
            bid, ask = min(bid, ask), max(bid, ask)
            at_us.append(int(stamp) * 1000)
            quotes.append(Quote(bid, ask))
    return BookTape(at_us, quotes, trades)


def busy() -> BookTape:
    """Read the orders of half a day of a busy market; only those that change a best price are told of."""
    sizes: dict[str, dict[float, float]] = {"bid": {}, "ask": {}}
    heaps: dict[str, list[float]] = {"bid": [], "ask": []}
    orders: dict[str, tuple[str, float, float]] = {}
    at_us: list[int] = []
    quotes: list[Quote] = []
    with gzip.open(ORDERS, "rt") as lines:
        next(lines)
        for line in lines:
            number, stamp, _, price, volume, action, side = line.strip().split(",")
            level, size = float(price), float(volume)
            if number in orders:
                old_side, old_level, old_size = orders.pop(number)
                sizes[old_side][old_level] -= old_size
                if sizes[old_side][old_level] <= 0:
                    del sizes[old_side][old_level]
            if action != "deleted" and size > 0:
                orders[number] = side, level, size
                if level not in sizes[side]:
                    sizes[side][level] = 0.0
                    heapq.heappush(heaps[side], -level if side == "bid" else level)
                sizes[side][level] += size
            for each, heap in heaps.items():
                while heap and abs(heap[0]) not in sizes[each]:
                    heapq.heappop(heap)
            if heaps["bid"] and heaps["ask"]:
                now = Quote(-heaps["bid"][0], heaps["ask"][0])
                if now.bid <= now.ask and (not quotes or quotes[-1] != now):
                    at_us.append(int(stamp) * 1000)
                    quotes.append(now)
    middle = [(one.bid + one.ask) / 2 for one in quotes]
    counts = [float(number) for number in range(len(quotes))]
    return BookTape(at_us, quotes, type(load(next(TAPES.glob("*.csv.gz"))))(at_us, middle, counts, counts))


class BookWatch:
    """One stream of a book under the poll, its trades beside it: the steps of `TickerPoll.run` and `Books`, in the tape's time.

    `marks` are the times at which it was taken for dead while it was not, `resubscribed` counts those that were proven to be.
    """

    def __init__(self, tape: BookTape, exchange: Exchange, random: Random) -> None:
        self.tape, self.exchange, self.random = tape, exchange, random
        self.still = StillBook()
        self.trades = Watch(tape.trades, exchange, random)  # its tickers teach the lag
        self.marks: list[int] = []
        self.resubscribed = 0

    def here(self, now_us: int, delay_us: int, cut_us: int | None) -> HereBook:
        seen = self.tape.before(min(now_us - delay_us, now_us if cut_us is None else cut_us))
        if not seen:
            return HereBook((0,), None, None)
        return HereBook((seen,), self.tape.at_us[seen - 1], self.tape.quotes[seen - 1])

    def _learn(self, at_us: int, delay_us: int, lag_us: int) -> None:
        trades = self.trades
        here, seen = trades.here(at_us, delay_us, None), trades.tape.ticker(at_us - lag_us, has_ids=False)
        is_deaf = trades.silence.misses(here, seen, now_us=at_us, steady_us=at_us)
        if is_deaf and trades.here(at_us + GRACE_US, delay_us, None).arrivals == here.arrivals:
            trades.marks.append(at_us)
            trades.silence.refute()

    def run(self, start_us: int, end_us: int, *, cut_us: int | None = None) -> int | None:
        """Watch from `start_us` to `end_us`; returns when the cut was noticed."""
        for at_us in self.trades.polls(start_us, end_us):
            delay_us = between(self.random, *self.exchange.delay_us)
            lag_us = between(self.random, *self.exchange.lag_us)
            self._learn(at_us, delay_us, lag_us)
            here, seen = self.here(at_us, delay_us, cut_us), self.tape.quote(at_us - lag_us)
            if not self.still.misses(here, seen, lag=self.trades.lag, now_us=at_us, steady_us=at_us):
                continue
            late_us = at_us + GRACE_US
            if self.here(late_us, delay_us, cut_us).token != here.token:
                continue
            if cut_us is None:
                self.marks.append(late_us)
            if self.here(late_us + GRACE_US, delay_us, cut_us).token != here.token:
                continue  # a message came, and it is live again
            if self.tape.quote(late_us) == here.quote:
                self.still.refute()
                continue
            if cut_us is not None:
                return late_us
            self.resubscribed += 1
            self.still.confirm()
        return None


def moved_us(tape: BookTape, cut_us: int, *, hold_us: int) -> int | None:
    """Return since when, after a cut, the best prices were other ones than the last that came, for `hold_us` at least."""
    at, since_us = tape.before(cut_us), None
    ours = tape.quotes[at - 1]
    for number in range(at, len(tape.at_us)):
        if tape.quotes[number] != ours:
            since_us = tape.at_us[number] if since_us is None else since_us
        elif since_us is not None and tape.at_us[number] - since_us >= hold_us:
            return since_us
        else:
            since_us = None
    return since_us


__all__ = ["EVERY_US", "ORDERS", "BookTape", "BookWatch", "S", "busy", "moved_us", "thin"]
