"""What the pipeline has been shown of one order book, so that only changes are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.model import ASK, BID

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["BookMirror", "Change"]

Change = tuple[int, float, float]


class BookMirror:
    """The levels shown so far, price -> amount on each side, in the exchange's own units.

    Notes
    -----
    Bounded by the book it follows: a level that leaves the book leaves the mirror with the change that says so.

    Examples
    --------
    >>> mirror = BookMirror()
    >>> mirror.replace([[99.0, 1.0]], [[101.0, 2.0]])
    [(1, 99.0, 1.0), (-1, 101.0, 2.0)]
    >>> mirror.apply(1, {99.0: 0.0, 98.0: 4.0, 97.0: 0.0})
    [(1, 99.0, 0.0), (1, 98.0, 4.0)]
    >>> mirror.compare(-1, [[101.0, 2.0], [102.0, 3.0]])
    [(-1, 102.0, 3.0)]
    """

    __slots__ = ("asks", "bids")

    def __init__(self) -> None:
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}

    def replace(self, bids: Iterable[Sequence[float]], asks: Iterable[Sequence[float]]) -> list[Change]:
        """Forget what was shown and return all levels, bids first."""
        self.bids = totals(bids)
        self.asks = totals(asks)
        return self.levels()

    def levels(self) -> list[Change]:
        """Return all that is shown, bids first."""
        return [(BID, price, amount) for price, amount in self.bids.items()] + [
            (ASK, price, amount) for price, amount in self.asks.items()
        ]

    def apply(self, side: int, touched: Mapping[float, float]) -> list[Change]:
        """Return which of the `touched` levels (price -> amount now, 0 = gone) differ from what was shown."""
        shown = self.bids if side == BID else self.asks
        resting = shown.get
        changes: list[Change] = []
        for price, amount in touched.items():
            if resting(price, 0.0) == amount:
                continue
            if amount:
                shown[price] = amount
            else:
                del shown[price]
            changes.append((side, price, amount))
        return changes

    def cut(self, levels_max: int) -> bool:
        """Keep the best `levels_max` levels of a side that is half as long again, and order both; return whether one was cut.

        Examples
        --------
        >>> mirror = BookMirror()
        >>> mirror.replace([[97.0, 1.0], [99.0, 1.0], [98.0, 1.0]], [])
        [(1, 97.0, 1.0), (1, 99.0, 1.0), (1, 98.0, 1.0)]
        >>> mirror.cut(2), mirror.cut(1), mirror.levels()
        (False, True, [(1, 99.0, 1.0)])
        """
        most = levels_max + levels_max // 2
        if len(self.bids) <= most and len(self.asks) <= most:
            return False
        self.bids = _best(self.bids, levels_max, most, reverse=True)
        self.asks = _best(self.asks, levels_max, most, reverse=False)
        return True

    def compare(self, side: int, levels: Iterable[Sequence[float]]) -> list[Change]:
        """Return the changes that lead from what was shown to `levels`, the whole side as it is now."""
        now = totals(levels)
        shown = self.bids if side == BID else self.asks
        gone = dict.fromkeys((price for price in shown if price not in now), 0.0)
        return self.apply(side, {**gone, **now})


def _best(levels: Mapping[float, float], levels_max: int, most: int, *, reverse: bool) -> dict[float, float]:
    prices = sorted(levels, reverse=reverse)
    return {price: levels[price] for price in (prices[:levels_max] if len(prices) > most else prices)}


def totals(levels: Iterable[Sequence[float]]) -> dict[float, float]:
    """Return the amount resting at each price; books kept by order id list a price once for each order."""
    amounts: dict[float, float] = {}
    for level in levels:
        price, amount = level[0], level[1]
        if amount:
            amounts[price] = amounts[price] + amount if price in amounts else amount
    return amounts
