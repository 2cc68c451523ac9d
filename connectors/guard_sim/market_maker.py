"""The market maker of one coin: a ladder of quotes that follows the fair value."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from guard.model import ASK, BID
from guard_sim.chance import Random, lognormal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard_sim.book import Book, Fill
    from guard_sim.coins import Coin

__all__ = ["Maker"]

LEVELS = 60
_HALF_SPREAD = 0.6
_SIGMA = 0.4
_REFRESHED = 2
_REFILL_SHARE = 0.7


class Maker:
    """Quotes 60 levels a side on a grid of prices around the fair value.

    When the fair value moves by a step, one level leaves on the near side and one comes on the other, as cancels and new orders
    do; a few sizes change at each look; levels that takers ate come back within a few looks. `withheld` names how many steps of
    the grid stay empty beside the middle, by side: actors raise it to pull quotes. `walls` is size that somebody else rests, by
    side and tick.
    """

    def __init__(self, coin: Coin, book: Book, draw: Random) -> None:
        self._book = book
        self._draw = draw
        self._step = coin.price * coin.step_bp * 1e-4 * coin.ticks_per_usdt
        self._stagger = int(self._step / 3) or 1
        self._level_lots = coin.level_usd / coin.price * coin.lots_per_coin
        self._top: dict[int, int] = {}
        self._eaten: dict[int, int] = {BID: 0, ASK: 0}
        self.withheld: dict[int, int] = {BID: 0, ASK: 0}
        self.walls: dict[tuple[int, int], int] = {}

    def tick(self, place: int) -> int:
        """Return the price of one place of the grid; places are a little uneven, as quotes are."""
        return round(place * self._step) + place * 7919 % self._stagger

    def quote(self, fair_ticks: float) -> None:
        """Look at the fair value and bring the ladder to it."""
        centre = fair_ticks / self._step
        bid = math.floor(centre - _HALF_SPREAD) - self.withheld[BID]
        ask = math.ceil(centre + _HALF_SPREAD) + self.withheld[ASK]
        if not self._top:
            self._start(bid, ask)
            return
        self._uncross(bid, ask)
        if bid != self._top[BID]:
            self._move(BID, bid)
        if ask != self._top[ASK]:
            self._move(ASK, ask)
        self._refill()
        self._refresh()

    def eaten(self, side: int, fills: Sequence[Fill]) -> None:
        """Tell what takers ate of `side`."""
        self._eaten[side] = max(self._eaten[side], min(len(fills) + 1, LEVELS))
        for fill in fills if self.walls else ():
            left = min(self.walls.get((side, fill.tick), 0), self._book.lots[side].get(fill.tick, 0))
            self._set_wall(side, fill.tick, left)

    def build_wall(self, side: int, below_top: int, lots: int) -> int:
        """Rest `lots` of somebody else `below_top` places behind the best quote and return the place."""
        place = self._top[side] - side * below_top
        tick = self.tick(place)
        self._set_wall(side, tick, self.walls.get((side, tick), 0) + lots)
        self._place(side, place, self._lots(below_top))
        return place

    def remove_wall(self, side: int, place: int) -> None:
        """Take the wall at `place` away; the maker's own size stays if the place is still on the ladder."""
        if self.walls.pop((side, self.tick(place)), None) is not None:
            depth = (self._top[side] - place) * side
            self._place(side, place, self._lots(depth) if 0 <= depth < LEVELS else 0)

    def _start(self, bid: int, ask: int) -> None:
        for depth in range(LEVELS):
            self._place(BID, bid - depth, self._lots(depth))
            self._place(ASK, ask + depth, self._lots(depth))
        self._top = {BID: bid, ASK: ask}

    def _uncross(self, bid: int, ask: int) -> None:
        """Cancel what the new quotes would trade against; also walls that the price ran through."""
        highest_bid, lowest_ask = self.tick(ask), self.tick(bid)
        while (best := self._book.best(BID)) is not None and best >= highest_bid:
            self._set_wall(BID, best, 0)
            self._book.set(BID, best, 0)
        while (best := self._book.best(ASK)) is not None and best <= lowest_ask:
            self._set_wall(ASK, best, 0)
            self._book.set(ASK, best, 0)

    def _move(self, side: int, top: int) -> None:
        before = self._top[side]
        self._top[side] = top
        steps = (top - before) * side
        # Moving towards the other side adds near levels and drops far ones; moving away does the reverse.
        if steps > 0:
            for depth in range(min(steps, LEVELS)):
                self._place(side, top - side * depth, self._lots(depth))
            for depth in range(LEVELS, LEVELS + min(steps, LEVELS)):
                self._place(side, top - side * depth, 0)
        else:
            for place in range(before, top, -side):
                self._place(side, place, 0)
            for depth in range(LEVELS - min(-steps, LEVELS), LEVELS):
                self._place(side, top - side * depth, self._lots(depth))

    def _refill(self) -> None:
        for side, levels in self._eaten.items():
            if not levels:
                continue
            present = self._book.lots[side]
            missing = False
            for depth in range(levels):
                place = self._top[side] - side * depth
                if self.tick(place) not in present:
                    if self._draw.random() < _REFILL_SHARE:
                        self._place(side, place, self._lots(depth))
                    else:
                        missing = True
            if not missing:
                self._eaten[side] = 0

    def _refresh(self) -> None:
        draw = self._draw
        for _ in range(_REFRESHED):
            side = BID if draw.random() < 0.5 else ASK  # noqa: PLR2004 - an even coin
            chosen = draw.random()
            depth = int(chosen * chosen * LEVELS)
            place = self._top[side] - side * depth
            if self.tick(place) in self._book.lots[side]:
                self._place(side, place, self._lots(depth))

    def _place(self, side: int, place: int, lots: int) -> None:
        tick = self.tick(place)
        self._book.set(side, tick, lots + self.walls.get((side, tick), 0))

    def _set_wall(self, side: int, tick: int, lots: int) -> None:
        if lots:
            self.walls[side, tick] = lots
        else:
            self.walls.pop((side, tick), None)

    def _lots(self, depth: int) -> int:
        return max(1, round(lognormal(self._draw, self._level_lots * (1.0 + 0.04 * depth), _SIGMA)))
