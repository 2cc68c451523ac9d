"""An order book of fractions in two dicts, and what became of removed volume."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from guard.model import Flag

if TYPE_CHECKING:
    from features.streams import Row

__all__ = ["Book", "Level", "Removal"]

FRESH_US = 30_000_000
JOIN_US = 15_000_000
HOLD_US = 300_000
LEVELS_MAX = 128
TIMEOUT_US = 1_000_000
EDGE = Fraction(1, 10**9)


@dataclass
class Level:
    """What rests at a price; `added` holds what was added, each amount with its time: additions of 15 s share that of the first."""

    size: Fraction
    added: list[tuple[int, Fraction]]

    def add(self, at_us: int, amount: Fraction) -> None:
        """Grow by an amount."""
        self.size += amount
        if self.added and at_us - self.added[-1][0] <= JOIN_US:
            self.added[-1] = (self.added[-1][0], self.added[-1][1] + amount)
        else:
            self.added.append((at_us, amount))

    def take(self, at_us: int, amount: Fraction) -> Fraction:
        """Shrink by an amount, what was added last first, and return how much of it was added within 30 s."""
        self.size -= amount
        taken = Fraction(0)
        while self.added and amount > taken:
            added_us, held = self.added.pop()
            if at_us - added_us > FRESH_US:
                self.added = []
                break
            met = min(held, amount - taken)
            taken += met
            if held > met:
                self.added.append((added_us, held - met))
        return taken


@dataclass
class Removal:
    """Volume that was taken away and waits for trades to explain it."""

    at_us: int
    price: Fraction
    side: int
    amount: Fraction
    left: Fraction


class Book:
    """The book as messages left it."""

    def __init__(self) -> None:
        self.sides: dict[int, dict[Fraction, Level]] = {1: {}, -1: {}}
        self.is_whole = False
        self.is_crossed = False
        self.is_open = False
        self.newest = 1
        self.bid: Fraction | None = None
        self.ask: Fraction | None = None
        self.mid: Fraction | None = None

    def lose(self) -> None:
        """Forget everything: the stream is broken."""
        self.sides = {1: {}, -1: {}}
        self.is_whole = self.is_crossed = self.is_open = False
        self.bid = self.ask = self.mid = None

    def take(self, row: Row, at_us: int) -> Fraction:
        """Set one level and return how much was removed of what had been added lately."""
        is_full = bool(row.flags & Flag.SNAPSHOT)
        if not self.is_open:
            self.is_open = True
            if is_full:
                self.sides, self.is_whole = {1: {}, -1: {}}, True
        if not self.is_whole:
            return Fraction(0)
        side, price, size = self.sides[row.side], Fraction(row.price), Fraction(row.amount)
        level = side.get(price)
        if level is None:
            if size > 0 and self._has_room(row.side, price):
                self.newest = row.side
                side[price] = Level(size, [] if is_full else [(at_us, size)])
            return Fraction(0)
        self.newest = row.side
        if size > level.size:
            level.add(at_us, size - level.size)
            return Fraction(0)
        if size <= 0:
            del side[price]
        return level.take(at_us, level.size - size)

    def _has_room(self, side: int, price: Fraction) -> bool:
        """Whether a new level is kept; a full side loses its worst to a better one."""
        prices = self.sides[side]
        if len(prices) < LEVELS_MAX:
            return True
        worst = min(prices, key=lambda each: each * side)
        if price * side < worst * side:
            return False
        del prices[worst]
        return True

    def settle(self) -> None:
        """End a message: the side changed last wins over the levels it crosses."""
        self.is_open = False
        best = self.best(self.newest)
        beaten = [price for price in self.sides[-self.newest] if best is not None and (price - best) * self.newest <= 0]
        for price in beaten:
            del self.sides[-self.newest][price]
        self.is_crossed = bool(beaten)
        self.bid, self.ask = self.best(1), self.best(-1)
        self.mid = None if beaten or self.bid is None or self.ask is None else (self.bid + self.ask) / 2

    def best(self, side: int) -> Fraction | None:
        """Return the best price of a side."""
        prices = self.sides[side]
        return (max(prices) if side > 0 else min(prices)) if prices else None

    def depth(self, side: int, band: Fraction | float) -> Fraction:
        """Return the value that rests within a band of the mid."""
        assert self.mid is not None
        limit = self.mid * (1 - side * Fraction(band)) * (1 - side * EDGE)
        return sum((price * level.size for price, level in self.sides[side].items() if (price - limit) * side >= 0), Fraction(0))

    @property
    def spread(self) -> Fraction | None:
        """The distance of the best prices over the mid."""
        return None if self.mid is None or self.bid is None or self.ask is None else (self.ask - self.bid) / self.mid
