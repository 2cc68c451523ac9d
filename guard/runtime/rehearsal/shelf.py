"""The book of a scripted market: what should rest at a time, and the messages that lead from one state to the next."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, floor, log10
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.model import ASK, BID, Flag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from guard.runtime.rehearsal.noise import Noise
    from guard.runtime.rehearsal.script import Wall

__all__ = ["Shelf", "book_messages", "on_tick"]

# Levels behind the best one stand 4 bp apart: five of them in 20 bp, and 60 bp in all.
_GAP: Final = 0.0004
_LEVELS: Final = 15
_IN_BAND: Final = 5.0

Side = dict[float, float]


def on_tick(price: float, tick: float) -> float:
    """Return the multiple of `tick`, > 0, that is nearest to a price, free of the noise of multiplication.

    Examples
    --------
    >>> on_tick(0.3049, 0.1)
    0.3
    """
    return round(max(1, round(price / tick)) * tick, _digits(tick))


@lru_cache(maxsize=64)
def _digits(tick: float) -> int:
    """Return to how many digits a price is rounded; a test asks a million times, of a few ticks."""
    return max(0, 3 - floor(log10(tick)))


class Shelf(NamedTuple):
    """What a book is made of.

    `mid`, `half` (half the spread, a ratio) and `depth` (value within 20 bp on a side, in quote) are functions of time; `walls`
    come with the time of their first placement, and are sized by `depth_quote`, the calm depth.
    """

    mid: Callable[[int], float]
    half: Callable[[int], float]
    depth: Callable[[int], float]
    tick: float
    walls: Sequence[tuple[int, Wall]]
    depth_quote: float

    def side(self, at_us: int, side: int, wobble: dict[int, float]) -> Side:
        """Return price -> amount of one side; `wobble` maps the number of a level to how its size strays."""
        mid, level_quote = self.mid(at_us), self.depth(at_us) / _IN_BAND
        best = self._on_tick(mid * (1.0 - side * self.half(at_us)))
        gap = max(self.tick, self._on_tick(_GAP * mid))
        # The levels behind the best stand on a grid of their own, so that a small move leaves them where they are.
        number = ceil(best / gap) - 1 if side == BID else floor(best / gap) + 1
        found = {best: level_quote / best}
        for place in range(number, number - side * _LEVELS, -side):
            if place > 0:
                price = self._on_tick(place * gap)
                found[price] = level_quote * wobble.get(place % _LEVELS, 1.0) / price
        for price, value in self._standing(at_us, side, best):
            found[price] = found.get(price, 0.0) + value / price
        return {price: float(f"{amount:.6g}") for price, amount in found.items()}

    def _standing(self, at_us: int, side: int, best: float) -> Iterator[tuple[float, float]]:
        """Yield price and value of the layers of walls that stand; a price that the market has passed is taken."""
        for first_us, wall in self.walls:
            if (wall.side == "bid") != (side == BID):
                continue
            for number in range(wall.times):
                placed = first_us + number * (wall.every_us or 0)
                if placed <= at_us < placed + wall.for_us:
                    at = self.mid(placed) * (1.0 - side * wall.at)
                    for layer in range(wall.layers):
                        price = self._on_tick(at - side * layer * self.tick)
                        if (best - price) * side >= 0.0:
                            yield price, wall.size * self.depth_quote / wall.layers

    def _on_tick(self, price: float) -> float:
        return on_tick(price, self.tick)


def book_messages(
    shelf: Shelf, noise: Noise, times: Sequence[int], is_silent: Callable[[int], bool]
) -> Iterator[tuple[int, float, float, int, int]]:
    """Yield time, price, amount, side and flags of each row: a full book first and after each silence, else what changed."""
    shown: dict[int, Side] | None = None
    wobble: dict[int, float] = {}
    for at_us in times:
        if is_silent(at_us):
            shown = None
            continue
        wobble[int(noise.random() * _LEVELS)] = 0.7 + 0.6 * noise.random()
        book = {side: shelf.side(at_us, side, wobble) for side in (BID, ASK)}
        rows = list(_whole(book) if shown is None else _changed(shown, book))
        for number, (price, amount, side) in enumerate(rows):
            flags = (Flag.SNAPSHOT if shown is None else Flag.NONE) | (Flag.LAST if number + 1 == len(rows) else Flag.NONE)
            yield at_us, price, amount, side, flags
        shown = book


def _whole(book: dict[int, Side]) -> Iterator[tuple[float, float, int]]:
    for side, levels in book.items():
        for price, amount in levels.items():
            yield price, amount, side


def _changed(before: dict[int, Side], after: dict[int, Side]) -> Iterator[tuple[float, float, int]]:
    """Yield what differs, removals first, so that no level is crossed on the way."""
    for side, levels in before.items():
        for price in (price for price in levels if price not in after[side]):
            yield price, 0.0, side
    for side, levels in after.items():
        for price, amount in levels.items():
            if before[side].get(price) != amount:
                yield price, amount, side
