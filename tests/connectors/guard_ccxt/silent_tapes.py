"""Two days of real trades of thin coins, streamed truly or cut, beside a ticker that lags and polls that fail."""

from __future__ import annotations

import gzip
from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from guard_ccxt.alive.silence import Here, Silence, There, TickerLag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.model.ports import Random

TAPES = Path(__file__).parents[3] / "../shared/data/pump_trades"
S = 1_000_000
DAY_US = 86_400 * S
EVERY_US, AGAIN_US, GRACE_US = 60 * S, 10 * S, 5 * S


class Tape(NamedTuple):
    """Trades in order: exchange times, prices, and amounts in base and in quote summed up."""

    at_us: list[int]
    price: list[float]
    total: list[float]
    paid: list[float]

    def before(self, at_us: int) -> int:
        """Return how many trades are not later than `at_us`."""
        return bisect_right(self.at_us, at_us)

    def ticker(self, at_us: int, *, has_ids: bool) -> There:
        """Return what the exchange's ticker of a day says of `at_us`."""
        seen, old = self.before(at_us), self.before(at_us - DAY_US)
        if not seen:
            return There()
        volume = self.total[seen - 1] - (self.total[old - 1] if old else 0.0)
        # Decimal strings on the wire: no noise of sums.
        volume = round(volume, 6)
        turnover = round(self.paid[seen - 1] - (self.paid[old - 1] if old else 0.0), 8)
        return There(self.price[seen - 1], volume, seen - old if has_ids else None, seen if has_ids else None, turnover)


def load(path: Path) -> Tape:
    """Read one tape."""
    times, prices, totals, paid, total, spent = [], [], [], [], 0.0, 0.0
    with gzip.open(path, "rt") as lines:
        next(lines)
        for line in lines:
            _, stamp, _, _, price, amount, _ = line.split(",")
            total += float(amount)
            spent += float(amount) * float(price)
            times.append(int(stamp) * 1000)
            prices.append(float(price))
            totals.append(total)
            paid.append(spent)
    return Tape(times, prices, totals, paid)


def between(random: Random, least: int, most: int) -> int:
    """Return a whole number from `least` to below `most`."""
    return least + int(random.random() * (most - least))


class Exchange(NamedTuple):
    """How the exchange behaves: REST lag of the ticker and delay of the stream in microseconds, share of polls that fail."""

    lag_us: tuple[int, int] = (0, 3 * S)
    delay_us: tuple[int, int] = (20_000, 1_500_000)
    fails: float = 0.02
    has_ids: bool = False
    has_pages: bool = True


class Watch:
    """One stream under the poll: the same steps as `TickerPoll.run` and `Suspicion`, in the tape's time.

    `cut_us` is when the stream dies, `marks` when it was taken for dead while it was not, `noticed_us` when it was found dead.
    """

    def __init__(self, tape: Tape, exchange: Exchange, random: Random) -> None:
        self.tape, self.exchange, self.random = tape, exchange, random
        self.lag = TickerLag(EVERY_US)
        self.silence = Silence(self.lag)
        self.marks: list[int] = []
        self.pages = 0

    def here(self, now_us: int, delay_us: int, cut_us: int | None) -> Here:
        seen = self.tape.before(min(now_us - delay_us, now_us if cut_us is None else cut_us))
        if not seen:
            return Here(0)
        key = seen if self.exchange.has_ids else 0
        return Here(seen, self.tape.price[seen - 1], self.tape.at_us[seen - 1], key, self.tape.total[seen - 1])

    def polls(self, start_us: int, end_us: int) -> Iterator[int]:
        at_us = start_us
        while at_us < end_us:
            if self.random.random() < self.exchange.fails:
                at_us += AGAIN_US
                continue
            yield at_us
            at_us += EVERY_US + between(self.random, 0, S)

    def run(self, start_us: int, end_us: int, *, cut_us: int | None = None) -> int | None:
        """Watch from `start_us` to `end_us`; returns when the cut was noticed."""
        for at_us in self.polls(start_us, end_us):
            delay_us = between(self.random, *self.exchange.delay_us)
            here = self.here(at_us, delay_us, cut_us)
            seen = self.tape.ticker(at_us - between(self.random, *self.exchange.lag_us), has_ids=self.exchange.has_ids)
            late_us = at_us + GRACE_US
            if not self.silence.misses(here, seen, now_us=at_us, steady_us=at_us):
                if self.exchange.has_pages and self.silence.is_open:
                    self.pages += 1
                    asked_us = late_us + between(self.random, 0, 20 * S)  # it waits its turn
                    came = self.here(asked_us, delay_us, cut_us).arrivals
                    if cut_us is not None and self.tape.before(asked_us - GRACE_US) > came:
                        return asked_us
                    if self.tape.before(asked_us) <= came:
                        self.silence.settle(self.silence.state)
                continue
            if self.here(late_us, delay_us, cut_us).arrivals != here.arrivals:
                continue
            # Proof: the market's own last trades, where the stream has no newer one.
            if cut_us is not None and self.tape.before(late_us - S) > here.arrivals:
                return late_us
            self.marks.append(late_us)
            self.silence.refute()
        return None


def first_missed_us(tape: Tape, cut_us: int, *, counts_all: bool) -> int | None:
    """Return when the first trade after a cut happened: the first of all, or the first at another price than the last one had."""
    at = tape.before(cut_us)
    last = tape.price[at - 1] if at else None
    while at < len(tape.at_us):
        if counts_all or tape.price[at] != last:
            return tape.at_us[at]
        at += 1
    return None
