"""The scripted market: a calm market with seeded noise, on which steps happen."""

from __future__ import annotations

from math import floor, log10
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.model import BUY, SELL, Channel, Flag, Kind, Status
from guard.runtime.rehearsal.course import Wander, change_course, price_course, start_price
from guard.runtime.rehearsal.noise import Noise
from guard.runtime.rehearsal.shelf import Shelf, book_messages, on_tick

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard.runtime.rehearsal.script import MarketSpec, Step

__all__ = ["Row", "ScriptedMarket"]

_SECOND_US: Final = 1_000_000
_DAY_S: Final = 86_400.0
_HISTORY_US: Final = 20 * _SECOND_US
# How much the sizes of calm orders differ: the deviation of their logarithm.
_SIZES_SPREAD: Final = 0.8
_DIGITS: Final = 5
# A hand that trades with itself inside the spread looks at the book first.
_AFTER_BOOK_US: Final = 20_000
_DEPTH_SHARE: Final = 1 / 200


class Row(NamedTuple):
    """One row of a batch; times count from the beginning of the test."""

    at_us: int
    kind: int
    price: float = 0.0
    amount: float = 0.0
    side: int = 0
    key: int = 0
    flags: int = 0


class ScriptedMarket:
    """All rows of one market, from the warm-up to the end.

    Parameters
    ----------
    spec
        How it trades while it is calm.
    steps
        What happens on it, each with its place in the feed.
    name, seed
        Fix the noise.
    begin_us, end_us
        Since when it is live, < 0, and until when.
    history_us
        How much calm history lies before `begin_us`.

    Raises
    ------
    Unplayable
        Where a move begins at a price at which the market does not stand.
    """

    def __init__(
        self,
        spec: MarketSpec,
        steps: Sequence[tuple[int, Step]],
        *,
        name: str,
        seed: int,
        begin_us: int,
        end_us: int,
        history_us: int,
    ) -> None:
        self.spec = spec
        self._steps = [step for _, step in steps]
        self._begin_us, self._end_us, self._history_us = begin_us, end_us, history_us
        self._noise = {part: Noise(seed, f"{name}|{part}") for part in ("history", "calm", "steps", "book", "wander")}
        self.start = spec.price or start_price(self._steps)
        self.tick = spec.tick or 10.0 ** (floor(log10(self.start)) + 1 - _DIGITS)
        self._price = price_course(self.start, steps)
        self._spread = change_course((step.at_us, step.spread) for step in self._steps if step.spread)
        self._depth = change_course((step.at_us, step.depth) for step in self._steps if step.depth)
        self._wander = Wander(self._noise["wander"], 0.2 * spec.spread, begin_us=begin_us, end_us=end_us)
        self._pauses = [
            (step.at_us, step.at_us + (step.silence_us or step.lost_us or 0))
            for step in self._steps
            if step.silence_us or step.lost_us
        ]
        self._turnover = spec.volume_24h_usd / _DAY_S / spec.trades / spec.usd_rate

    def rows(self) -> list[Row]:
        """Return the rows in order of time; the rows of one book message are neighbours."""
        found = [row for source in self._live() for row in source if not self._is_silent(row.at_us)]
        found += self._news()
        found.sort(key=lambda row: row.at_us)
        return [*self._history(), *self._opening(), *found]

    def _live(self) -> Iterator[Iterator[Row]]:
        if "trades" in self.spec.streams:
            yield self._calm()
            for step in self._steps:
                yield self._trades_of(step)
        if "book" in self.spec.streams:
            shelf = Shelf(
                mid=self.mid,
                half=lambda at_us: 0.5 * self.spec.spread * self._spread.value(at_us),
                depth=lambda at_us: self._depth_quote * self._depth.value(at_us),
                tick=self.tick,
                walls=[(step.at_us, step.wall) for step in self._steps if step.wall],
                depth_quote=self._depth_quote,
            )
            messages = book_messages(shelf, self._noise["book"], self._book_times(), self._is_silent)
            yield (Row(at_us, Kind.LEVEL, price, amount, side, 0, flags) for at_us, price, amount, side, flags in messages)

    @property
    def _depth_quote(self) -> float:
        """Calm value within 20 bp on one side, in quote."""
        return (self.spec.depth_usd or self.spec.volume_24h_usd * _DEPTH_SHARE) / self.spec.usd_rate

    def mid(self, at_us: int) -> float:
        """Return the middle of bid and ask."""
        return self._price.value(at_us) * (1.0 + self._wander.value(at_us))

    def touch(self, at_us: int, side: int) -> float:
        """Return the price that a taker of `side` meets first."""
        half = 0.5 * self.spec.spread * self._spread.value(at_us)
        return self._rounded(self.mid(at_us) * (1.0 + side * half))

    def _rounded(self, price: float) -> float:
        return on_tick(price, self.tick)

    def _is_silent(self, at_us: int) -> bool:
        return any(begin <= at_us < end for begin, end in self._pauses)

    def _history(self) -> Iterator[Row]:
        """Calm trades of the past; a row stands for what traded since the one before."""
        noise = self._noise["history"]
        at_us = self._begin_us - self._history_us
        per_us = self.spec.volume_24h_usd / self.spec.usd_rate / (_DAY_S * _SECOND_US)
        while self._history_us and "trades" in self.spec.streams:
            gap = noise.wait_us(max(_HISTORY_US, _SECOND_US / self.spec.trades))
            at_us += gap
            if at_us >= self._begin_us:
                break
            side = BUY if noise.random() < 0.5 else SELL  # noqa: PLR2004 - a coin
            price = self._rounded(self.start * (1.0 + 0.5 * self.spec.spread * side))
            yield Row(at_us, Kind.TRADE, price, max(_SECOND_US, gap) * per_us / price, side, 0, Flag.BACKFILL)

    def _opening(self) -> Iterator[Row]:
        yield Row(self._begin_us, Kind.STATUS, side=Channel.ALL, key=Status.WARM)
        for stream in self.spec.streams:
            yield Row(self._begin_us, Kind.STATUS, side=Channel[stream.upper()], key=Status.LIVE)

    def _news(self) -> Iterator[Row]:
        """Yield what the connection says about itself."""
        for step in self._steps:
            if step.lost_us:
                yield Row(step.at_us, Kind.STATUS, side=Channel.ALL, key=Status.LOST)
                # Before the first rows that come back, so that the book begins with its snapshot.
                yield Row(step.at_us + step.lost_us - 1, Kind.STATUS, side=Channel.ALL, key=Status.LIVE)

    def _calm(self) -> Iterator[Row]:
        noise = self._noise["calm"]
        at_us = self._begin_us
        while (at_us := at_us + noise.wait_us(_SECOND_US / self.spec.trades)) < self._end_us:
            yield from self._order(at_us, BUY if noise.random() < 0.5 else SELL, noise.spread_out(_SIZES_SPREAD), 1)  # noqa: PLR2004 - a coin

    def _order(self, at_us: int, side: int, size: float, sweep: int, price: float | None = None) -> Iterator[Row]:
        """One taker order of `size` calm orders: one print for each level that it takes."""
        first = self.touch(at_us, side) if price is None else price
        for level in range(sweep):
            at = self._rounded(first + side * level * self.tick)
            # Five digits: sizes of chance hardly ever meet, as in a market.
            amount = float(f"{size * self._turnover / at / sweep:.5g}")
            yield Row(at_us, Kind.TRADE, at, amount, side)

    def _trades_of(self, step: Step) -> Iterator[Row]:
        noise = self._noise["steps"]
        if step.order:
            yield from self._order(step.at_us, BUY if step.order.side == "buy" else SELL, step.order.size, step.order.sweep)
        if step.trades:
            at_us, end_us = step.at_us, min(self._end_us, step.at_us + step.lasts_us)
            while (at_us := at_us + noise.wait_us(_SECOND_US / step.trades)) < end_us:
                side = BUY if step.side == "buy" or (step.side == "both" and noise.random() < 0.5) else SELL  # noqa: PLR2004 - a coin
                yield from self._order(at_us, side, step.size * noise.spread_out(_SIZES_SPREAD), step.sweep)
        if step.wash:
            yield from self._wash(step, noise)

    def _wash(self, step: Step, noise: Noise) -> Iterator[Row]:
        wash = step.wash
        assert wash is not None
        for number in range(wash.for_us // wash.every_us):
            at_us = step.at_us + number * wash.every_us + _AFTER_BOOK_US
            side = BUY if noise.random() < 0.5 else SELL  # noqa: PLR2004 - a coin
            size = wash.size * noise.spread_out(_SIZES_SPREAD)
            middle = self._rounded(self.mid(at_us))
            for again in range(wash.prints if at_us < self._end_us else 0):
                # The hand's second order comes at once, before anybody else can trade.
                yield from self._order(at_us + again * 50_000, -side if again else side, size, 1, middle)

    def _book_times(self) -> list[int]:
        """When a book message comes: each 5 s while warm, then each second, four times a second while the script moves it."""
        times = set(range(self._begin_us, 0, 5 * _SECOND_US)) | set(range(0, self._end_us, _SECOND_US))
        for step in self._steps:
            moves = [part for part in (step.price, step.spread, step.depth) if part]
            for part in moves:
                times |= set(range(step.at_us, step.at_us + part.over_us + 1, 250_000))
            for change in (step.spread, step.depth):
                if change and change.for_us is not None:
                    times.add(step.at_us + change.over_us + change.for_us)
            if step.wash:
                times |= set(range(step.at_us, step.at_us + step.wash.for_us, step.wash.every_us))
            if step.wall:
                for number in range(step.wall.times):
                    placed = step.at_us + number * (step.wall.every_us or 0)
                    times |= {placed, placed + step.wall.for_us}
        return sorted(time for time in times if self._begin_us <= time < self._end_us)
