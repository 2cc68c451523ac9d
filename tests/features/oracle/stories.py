"""Streams of events that meet every case: bursts, silence, late trades, gaps, losses, crossed books, other markets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.streams import SECOND, START, Row
from hypothesis import strategies as st

from guard.model import ASK, BID, Channel, Flag, Kind, Status
from guard.runtime.clock import seeded_random

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["READ", "long_story", "stories"]

READ = 0
"""Kind of a row that asks for a reading."""
STEPS_US = (0, 0, 0, 1_000, 40_000, 150_000, 300_000, 900_000, 2 * SECOND, 7 * SECOND, 61 * SECOND, 700 * SECOND)
LATE_US = (400_000, 5 * SECOND, 90 * SECOND)
MID = 100.0
LOST_S = 37


class Teller:
    """Writes rows; `pick` chooses a number below its argument."""

    def __init__(self, pick: Callable[[int], int], *, has_outages: bool) -> None:
        self.rows: list[Row] = []
        self.now = START
        self.has_outages = has_outages
        self._pick = pick

    def trade(self, market: int = 0, flags: int = 0) -> None:
        pick = self._pick
        price = MID + (pick(25) - 12) / 8
        side = (1, -1, 1, -1, 0)[pick(5)]
        amount = (1 + pick(6)) / 4 * (1, 1, 1, 1, 1, 1, 1, 3, 5, 11)[pick(10)]
        self._put(Row(Kind.TRADE, self.now, price, amount, side, 0, flags, market))

    def late(self) -> None:
        by_us = LATE_US[self._pick(3)]
        row = Row(Kind.TRADE, self.now - by_us, MID + (self._pick(25) - 12) / 8, 0.5, 1, 0, 0, 0, by_us + 1_000)
        if row.at_us > START:
            self._put(row)

    def sweep(self) -> None:
        """Several prints of one taker, each beyond the last."""
        side, first = 1 - 2 * self._pick(2), self._pick(10)
        for step in range(2 + self._pick(4)):
            self._put(Row(Kind.TRADE, self.now, MID + side * (first + step) / 8, 0.25 * (1 + step), side))

    def snapshot(self, market: int = 0) -> None:
        shift = self._pick(5) / 8
        levels = [(side, MID + shift - side * (1 + step) / 8, (2.0 + step) / 4) for step in range(6) for side in (BID, ASK)]
        self._message(levels, Flag.SNAPSHOT, market)

    def levels(self) -> None:
        pick = self._pick
        self._message([((BID, ASK)[pick(2)], MID + (pick(17) - 8) / 8, pick(5) / 2) for _ in range(1 + pick(3))], Flag.NONE, 0)

    def bait(self) -> None:
        """Volume near the mid that is taken away again, at times met by a trade."""
        side = (BID, ASK)[self._pick(2)]
        price = MID - side / 8
        self._message([(side, price, 9.0)], Flag.NONE, 0)
        self.now += (100_000, 3 * SECOND, 29 * SECOND, 40 * SECOND)[self._pick(4)]
        met = self._pick(4)
        if met == 0:
            self._put(Row(Kind.TRADE, self.now, price, 8.0, -side))
        self._message([(side, price, 1.0)], Flag.NONE, 0)
        if met == 1:
            self.now += 50_000
            self._put(Row(Kind.TRADE, self.now, MID + side, 0.25, side))
            self.now += (0, 100_000, 240_000)[self._pick(3)]
            self._put(Row(Kind.TRADE, self.now, price, 8.0, -side))
        self.now += (0, 200_000, SECOND)[self._pick(3)]
        self._put(Row(Kind.TRADE, self.now, price, 0.5, -side))

    def inside(self) -> None:
        """Print between the best prices of a fresh or a stale book."""
        self.snapshot()
        self.now += (0, 60_000, 99_999, 100_000, 150_000)[self._pick(5)]
        self._put(Row(Kind.TRADE, self.now, MID + self._pick(5) / 8, 0.5, 1 - 2 * self._pick(2)))
        self.read()

    def compare(self) -> None:
        """Books on all exchanges, then a reading while some are fresh."""
        for market in (3, 2, 0):
            self.snapshot(market)
            self.now += (0, 100_000, SECOND)[self._pick(3)]
        self.now += (0, 1_200_000)[self._pick(2)]
        self.read()

    def _message(self, levels: list[tuple[int, float, float]], flags: Flag, market: int) -> None:
        rows = [Row(Kind.LEVEL, self.now, price, size, side, 0, flags, market) for side, price, size in levels]
        rows[-1] = rows[-1]._replace(flags=flags | Flag.LAST)
        for row in rows:
            self._put(row)

    def break_off(self) -> None:
        """Lose a stream, or some of its events."""
        channel = (Channel.TRADES, Channel.ALL, Channel.BOOK)[self._pick(3)]
        if self._pick(2):
            self._put(Row(Kind.GAP, self.now, side=channel, key=(0, self.now - 2 * SECOND)[self._pick(2)]))
        else:
            self._put(Row(Kind.STATUS, self.now, side=channel, key=(Status.LOST, Status.STALLED)[self._pick(2)]))
            self.now += (SECOND, LOST_S * SECOND, 400 * SECOND)[self._pick(3)]
            self._put(Row(Kind.STATUS, self.now, side=channel, key=Status.LIVE))
        if self._pick(2):
            self.snapshot()
        self.now += (0, 900_000, 8 * SECOND)[self._pick(3)]
        self.read()

    def cross(self) -> None:
        """Put a bid above the asks, or an ask below the bids."""
        side = (BID, ASK)[self._pick(2)]
        self._message([(side, MID + side * (1 + self._pick(9)) / 8, 1.0)], Flag.NONE, 0)
        self.read()

    def tell_rate(self) -> None:
        self._put(Row(Kind.STATUS, self.now, (0.0, 0.0625, 1.5)[self._pick(3)], side=0, key=Status.USD_RATE))

    def history(self, minutes: int) -> None:
        for minute in range(minutes, 0, -1):
            price, amount, side = MID + self._pick(4), (1 + self._pick(6)) / 4, self._pick(3) - 1
            self._put(Row(Kind.TRADE, START - 60 * minute * SECOND, price, amount, side, 0, Flag.BACKFILL))
        self._put(Row(Kind.STATUS, self.now, side=Channel.ALL, key=Status.WARM))

    def read(self) -> None:
        self._put(Row(READ, self.now))

    def _put(self, row: Row) -> None:
        self.rows.append(row)

    def step(self) -> None:
        """Tell one thing."""
        pick = self._pick
        trades = (self.trade, self.trade, self.trade, self.late, self.sweep, lambda: self.trade(1))
        books = (
            self.levels,
            self.levels,
            self.snapshot,
            self.bait,
            self.inside,
            self.cross,
            self.compare,
            lambda: self.snapshot(2 + pick(2)),
        )
        outage = (self.break_off,) if self.has_outages else ()
        every = (*trades, *books, self.tell_rate, self.read, self.read, *outage)
        every[pick(len(every))]()


@st.composite
def stories(draw: st.DrawFn) -> list[Row]:
    """Up to forty steps; every one may take no time or many minutes."""
    teller = Teller(lambda below: draw(st.integers(0, below - 1)), has_outages=draw(st.booleans()))
    if draw(st.booleans()):
        teller.history(3)
    for market in (0, 2, 3):
        teller.snapshot(market)
    for _ in range(draw(st.integers(3, 30))):
        teller.now += draw(st.sampled_from(STEPS_US))
        teller.step()
    teller.read()
    return teller.rows


def long_story(events: int = 3_000, seed: int = 20_180_907) -> list[Row]:
    """Tell a seeded day: history, dense and thin hours, silence, late trades, and towards the end outages."""
    random = seeded_random(seed)

    def pick(below: int) -> int:
        return int(random.random() * below)

    teller = Teller(pick, has_outages=False)
    teller.history(120)
    for market in (0, 2, 3):
        teller.snapshot(market)
    silence = events // 2
    outages = [events * part // 100 for part in (80, 84, 88, 92, 95, 98)]
    while len(teller.rows) < events:
        teller.now += (0, 20_000, 500_000, 2 * SECOND, 9 * SECOND, 20 * SECOND, 30 * SECOND)[pick(7)]
        (teller.trade, teller.bait, teller.step)[pick(3)]()
        if silence and len(teller.rows) >= silence:
            silence = 0
            teller.now += 2_400 * SECOND
        if outages and len(teller.rows) >= outages[0]:
            outages.pop(0)
            teller.has_outages = True
            teller.break_off()
            teller.snapshot()
            teller.has_outages = bool(outages)
    teller.read()
    return teller.rows
