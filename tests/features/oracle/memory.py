"""What one market remembers: everything booked at its time, in fractions, and the baselines that time and history teach."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from features.oracle.answers import Answer
from features.oracle.book import HOLD_US, TIMEOUT_US, Book, Removal
from features.oracle.histogram import Between, Histogram
from features.oracle.hours import Hours
from features.oracle.streams import SECOND, Log, Stream

if TYPE_CHECKING:
    from collections.abc import Iterable

    from features.streams import Row

    from guard.features.tables import Leaf
    from guard.model import MarketFacts

__all__ = ["DAY", "MINUTE", "Memory", "Print", "histogram_key"]

MINUTE = 60 * SECOND
DAY = 86_400 * SECOND
TRADED_MAX = Fraction(1, 20)
SAMPLES_MAX = 60
USUAL_SPREAD = ("spread", DAY)
SOURCES = {
    "high_buys": "buy_turnover",
    "high_rush_buy": "rush_buy",
    "high_rush_sell": "rush_sell",
    "high_removed_bid": "removed_bid",
    "high_removed_ask": "removed_ask",
    "high_churn": "level_churn",
    "trades": "trades",
    "minute": "turnover",
}
KINDS = {
    "high_buys": "high_buys",
    "high_churn": "high_churn",
    "low_trades": "trades",
    "median_trades": "trades",
    "hour_shift": "minute",
}
BOOK_KINDS = ("high_removed", "high_churn")
SIDES = {"bid": (1,), "ask": (-1,), "both": (1, -1)}
ROUNDING = Fraction(1, 10**12)


class Print(NamedTuple):
    """One live trade: `at_us` is the market's time when it came, `stamp_us` its own."""

    at_us: int
    stamp_us: int
    price: Fraction
    amount: Fraction
    side: int
    is_torn: bool
    """Whether trades right before it are missing."""


def histogram_key(leaf: Leaf) -> tuple[str, int] | None:
    """Return the baseline that a leaf reads: its kind and duration."""
    name, arguments = leaf
    if name in KINDS:
        return KINDS[name], int(arguments[0])
    if name in ("depth_median", "depth_low"):
        return f"depth {arguments[1]} {arguments[0]}", int(arguments[2])
    if name in ("high_rush", "high_removed"):
        return f"{name}_{arguments[1]}", int(arguments[0])
    if name in ("minute_median", "minute_mean", "minute_sd"):
        return "minute", int(arguments[0])
    if name in ("spread_median", "spread_mean", "spread_sd", "spread_high"):
        return "spread", int(arguments[0])
    return None


class Memory:
    """A market's streams, book, logs and baselines, and what passes with time."""

    def __init__(self, facts: MarketFacts, leaves: Iterable[Leaf]) -> None:
        self.facts = facts
        self.at_us = 0
        self.watched_us = 0
        self.trades, self.books = Stream(), Stream()
        self.book = Book()
        self.prints: list[Print] = []
        self.logs: dict[str, Log] = {}
        self.held: list[tuple[int, Fraction]] = []
        self.removals: list[Removal] = []
        self.fills: list[Removal] = []
        self.price: Fraction | None = None
        self.pairs: list[list[tuple[int, Fraction, Fraction]]] = [[]]
        self.usd_rate = _known(facts.usd_rate)
        self.volume_24h_usd = _known(facts.volume_24h_usd)
        self.received = {"trades": -1, "book": -1}
        self.book_stamp_us = 0
        self.trade_stamp_us = 0
        self.lags: dict[str, tuple[int, int]] = {}
        self._newest_us = 0
        self._quote: tuple[Fraction, Fraction, Fraction, Fraction] | None = None
        self._sampled_s = 0
        self._sampled_depth_s: int | None = None
        self._sweeps: dict[tuple[str, int], tuple[int, Fraction]] = {}
        self._orders: dict[int, tuple[int, bool]] = {}
        self._seconds: dict[int, int] = {}
        self._past: dict[tuple[str, int], tuple[int, Fraction]] = {}
        self._open: dict[tuple[str, int], int] = {}
        leaves = list(leaves)
        keys = set(map(histogram_key, leaves)) - {None}
        if any(leaf.field.startswith("depth") for leaf in leaves):
            keys.add(USUAL_SPREAD)
        self.hours = {int(leaf.arguments[0]): Hours() for leaf in leaves if leaf.field == "hour_shift"}
        self.histograms = {key: _histogram(*key) for key in sorted(keys)}

    def log(self, name: str) -> Log:
        """Return the log of a quantity."""
        return self.logs.setdefault(name, Log())

    def move(self, at_us: int) -> None:
        """Let time pass; an earlier time changes nothing."""
        if at_us <= self.at_us:
            return
        if not self.watched_us:
            self.watched_us = at_us
        self.at_us = at_us
        for key, histogram in self.histograms.items():
            if not _is_sampled(key[0]):
                self._close(key, histogram)
        self._classify()

    def _close(self, key: tuple[str, int], histogram: Histogram) -> None:
        """Observe every bin that is over, where the stream was unbroken from its beginning on."""
        bin_us = _bin(*key)
        now = self.at_us // bin_us
        opened = self._open.setdefault(key, now)
        since = (self.books if key[0].startswith(BOOK_KINDS) else self.trades).since
        if now > opened and since is not None:
            if key[0] == "minute" and key[1] in self.hours:
                self._learn_hours(self.hours[key[1]], histogram, opened, now, since)
            if opened * bin_us >= since:
                grown = self.log(SOURCES[key[0]]).between(opened * bin_us, (opened + 1) * bin_us)
                histogram.observe(sum(grown, Fraction(0)))
            if (opened + 1) * bin_us > since:
                histogram.observe(0, now - opened - 1)
        self._open[key] = now
        if key[0] == "minute" and key[1] in self.hours:
            self.hours[key[1]].pass_to(now)

    def _learn_hours(self, hours: Hours, histogram: Histogram, opened: int, now: int, since: int) -> None:
        """Tell the curve of the day the minutes that are over, with the median from before them."""
        median = histogram.median()
        if opened * MINUTE >= since:
            turnover = sum(self.log("turnover").between(opened * MINUTE, (opened + 1) * MINUTE), Fraction(0))
            hours.minute(opened, turnover, median)
        if (opened + 1) * MINUTE > since:
            hours.silence(opened + 1, now, median)

    def _classify(self) -> None:
        """Book the removals that waited long enough and that no trade explains."""
        while self.removals:
            first = self.removals[0]
            if self.trade_stamp_us < first.at_us + HOLD_US and self.at_us < first.at_us + TIMEOUT_US:
                return
            self.removals.pop(0)
            if first.left >= (1 - TRADED_MAX) * first.amount:
                self.log("removed_bid" if first.side > 0 else "removed_ask").add(self.at_us, first.left * first.price)

    def _history(self, row: Row) -> None:
        if self.trades.began is not None and row.at_us >= self.trades.began:
            return
        price, amount, side = Fraction(row.price), Fraction(row.amount), row.side
        turnover = price * amount
        swept = self._swept("past", row.at_us, price, side)
        grown = {
            "turnover": turnover,
            "buy_turnover": turnover if side > 0 else turnover / 2 if side == 0 else Fraction(0),
            "rush_buy": Fraction(swept and side > 0),
            "rush_sell": Fraction(swept and side < 0),
        }
        for key in self.histograms:
            if SOURCES.get(key[0]) in grown:
                self._past_bin(key, row.at_us // _bin(*key), grown[SOURCES[key[0]]])
        if self.trades.began is None or self.trades.since == self.trades.began:
            self._hold(row.at_us, price)

    def _past_bin(self, key: tuple[str, int], number: int, growth: Fraction) -> None:
        opened, held = self._past.get(key, (0, Fraction(0)))
        if number > opened:
            if opened:
                self._close_past(key, number)
            opened, held = number, Fraction(0)
        if number == opened:
            self._past[key] = (opened, held + growth)

    def _close_past(self, key: tuple[str, int], number: int) -> None:
        opened, held = self._past[key]
        self.histograms[key].observe(held)
        self.histograms[key].observe(0, number - opened - 1)

    def _hold(self, at_us: int, price: Fraction) -> None:
        """Note from when on a price held; a time before the last one is left out."""
        if not self.held or at_us >= self.held[-1][0]:
            self.held.append((at_us, price))

    def _swept(self, kind: str, stamp_us: int, price: Fraction, side: int) -> bool:
        """Whether a print lies beyond its side's one before, at most 1 s after it."""
        if side == 0:
            return False
        before = self._sweeps.get((kind, side))
        self._sweeps[kind, side] = (stamp_us, price)
        return before is not None and 0 <= stamp_us - before[0] <= SECOND and (price - before[1]) * side > 0

    def _sample_depths(self) -> None:
        """Observe the depths that held before a message changes them, once for each second since the last one, at most 60 times."""
        second = self.at_us // SECOND
        lasted, self._sampled_depth_s = second - (self._sampled_depth_s or second), second
        for key, histogram in self.histograms.items():
            if key[0].startswith("depth") and lasted > 0:
                _, side, band = key[0].split()
                span = self.resting(side, float(band))
                if span is not None:
                    histogram.observe(span, min(lasted, SAMPLES_MAX))

    @property
    def tick(self) -> Fraction | None:
        """The price step: as told, else the smallest seen."""
        if self.facts.tick is not None:
            return Fraction(self.facts.tick)
        steps = [abs(after.price - before.price) for before, after in pairwise(self.prints) if not after.is_torn]
        return min((step for step in steps if step), default=None)

    def resting(self, side: str, band: float) -> Answer | None:
        """Return what rests within a band of the mid, which is at least 2 usual spreads and 5 ticks."""
        spread, mid = self.book.spread, self.book.mid
        if spread is None or mid is None:
            return None
        middle = self.histograms[USUAL_SPREAD].median()
        widths = [spread] if middle is None or not middle.is_sure else []
        widths += [Fraction(middle.low), Fraction(middle.high)] if middle is not None else []
        least = 5 * (self.tick or Fraction(0)) / mid
        reaches = [max(Fraction(band), 2 * width, least) * (1 + part) for width in widths for part in (-ROUNDING, ROUNDING)]
        found = [sum(self.book.depth(one, reach) for one in SIDES[side]) for reach in reaches]
        return Answer(min(found), max(found))

    def _sample(self) -> None:
        """Observe the spread that held, once for each second since the last message, at most 60 times."""
        second = self.at_us // SECOND
        lasted, self._sampled_s = second - self._sampled_s, second
        spread = self.book.spread
        if lasted <= 0 or spread is None:
            return
        for key, histogram in self.histograms.items():
            if key[0] == "spread":
                histogram.observe(spread, min(lasted, SAMPLES_MAX))


def _known(value: float | None) -> Fraction | None:
    return None if value is None else Fraction(value)


def _bin(kind: str, key_us: int) -> int:
    return SECOND if _is_sampled(kind) else MINUTE if kind == "minute" else key_us


def _is_sampled(kind: str) -> bool:
    return kind.startswith(("spread", "depth"))


def _histogram(kind: str, key_us: int) -> Histogram | Between:
    bin_us = _bin(kind, key_us)
    decay_us = key_us if _is_sampled(kind) or kind == "minute" else max(2 * DAY, 1024 * bin_us)
    kept = Between if kind.startswith("depth") else Histogram
    return kept(bin_us / decay_us, 8 if _is_sampled(kind) else 4)
