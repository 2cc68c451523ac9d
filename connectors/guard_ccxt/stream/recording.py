"""ccxt's order book sides, with a note of what was stored since the last look. Imports ccxt."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from math import isfinite
from typing import TYPE_CHECKING, Any

from ccxt.async_support.base.ws.order_book import CountedOrderBook, IndexedOrderBook, OrderBook
from ccxt.async_support.base.ws.order_book_side import CountedOrderBookSide, IndexedOrderBookSide, OrderBookSide

if TYPE_CHECKING:
    from guard_ccxt.stream.mirror import BookMirror

__all__ = ["counted_order_book", "drain", "indexed_order_book", "lend", "order_book", "take_back", "trim"]


class _Recording:
    # Mixed in before a ccxt side. `touched` maps a price to the amount now resting there; after `clear` it says nothing.
    touched: dict[float, float]
    is_cleared: bool

    def __init__(self, deltas: Any = (), depth: Any = None) -> None:
        self.touched = {}
        self.is_cleared = False
        super().__init__(deltas, depth)  # type: ignore[call-arg]  # the ccxt side that follows takes them

    def clear(self) -> None:
        self.is_cleared = True
        self.touched.clear()
        super().clear()  # type: ignore[misc]  # list.clear of the ccxt side

    def remove_index(self, order: Any) -> None:
        # ccxt calls this for each level that truncation drops.
        self.touched[order[0]] = 0.0
        super().remove_index(order)  # type: ignore[misc]


class _PlainSide(_Recording, OrderBookSide):  # type: ignore[misc]  # ccxt is untyped
    # While it is lent, the levels stand in `lender` and the list here is behind.
    lender: BookMirror | None = None

    def storeArray(self, delta: Any) -> None:  # noqa: N802  # ccxt's name
        if self.lender is not None:
            self.take_back()
        self.touched[delta[0]] = delta[1] or 0.0
        super().storeArray(delta)

    def clear(self) -> None:
        self.lender = None
        super().clear()

    def limit(self) -> None:
        if self.lender is not None:
            self.take_back()
        super().limit()

    def take_back(self) -> None:
        lender, self.lender = self.lender, None
        if lender is not None:
            levels = lender.bids if self.side else lender.asks
            prices = sorted(levels, reverse=bool(self.side))
            self[:] = [[price, levels[price]] for price in prices]
            self._index[:] = [-price for price in prices] if self.side else prices


class _CountedSide(_Recording, CountedOrderBookSide):  # type: ignore[misc]
    def storeArray(self, delta: Any) -> None:  # noqa: N802  # ccxt's name
        self.touched[delta[0]] = delta[1] if delta[1] and delta[2] else 0.0
        super().storeArray(delta)


class _IndexedSide(_Recording, IndexedOrderBookSide):  # type: ignore[misc]
    # Kept by order id: a delta may move an order, and a price holds the sum of its orders.
    def storeArray(self, delta: Any) -> None:  # noqa: N802  # ccxt's name
        before = self._hashmap.get(delta[2])
        super().storeArray(delta)
        after = self._hashmap.get(delta[2])
        for index_price in {before, after} - {None}:
            self.touched[abs(index_price)] = self._resting(index_price)

    def clear(self) -> None:
        # ccxt's reset forgets this, and the next delta of a known order raises IndexError.
        self._hashmap.clear()
        super().clear()

    def remove_index(self, order: Any) -> None:
        super().remove_index(order)
        # The level's list entry is popped already, its index entry right after this call.
        self.touched[order[0]] = sum(entry[1] for entry in self if entry[0] == order[0])

    def _resting(self, index_price: float) -> float:
        first, end = bisect_left(self._index, index_price), bisect_right(self._index, index_price)
        return float(sum(self[at][1] for at in range(first, end)))


class _Bids(_PlainSide):
    side = True


class _Asks(_PlainSide):
    side = False


class _CountedBids(_CountedSide):
    side = True


class _CountedAsks(_CountedSide):
    side = False


class _IndexedBids(_IndexedSide):
    side = True


class _IndexedAsks(_IndexedSide):
    side = False


def _book(kind: Any, bids: Any, asks: Any, snapshot: Any, depth: Any) -> Any:
    given = dict(snapshot or {})
    book = kind({name: value for name, value in given.items() if name not in ("bids", "asks")}, depth)
    book["bids"] = bids(given.get("bids", ()), depth)
    book["asks"] = asks(given.get("asks", ()), depth)
    return book


def order_book(snapshot: Any = None, depth: Any = None) -> Any:
    """Stand in for the exchange's `order_book` factory."""
    return _book(OrderBook, _Bids, _Asks, snapshot, depth)


def counted_order_book(snapshot: Any = None, depth: Any = None) -> Any:
    """Stand in for the exchange's `counted_order_book` factory."""
    return _book(CountedOrderBook, _CountedBids, _CountedAsks, snapshot, depth)


def indexed_order_book(snapshot: Any = None, depth: Any = None) -> Any:
    """Stand in for the exchange's `indexed_order_book` factory."""
    return _book(IndexedOrderBook, _IndexedBids, _IndexedAsks, snapshot, depth)


def drain(side: Any) -> dict[float, float] | None:
    """Return what was stored in `side` since the last call, price -> amount; None where only a full comparison can tell."""
    if not isinstance(side, _Recording):
        return None
    touched, is_cleared = side.touched, side.is_cleared
    side.touched, side.is_cleared = {}, False
    return None if is_cleared else touched


def lend(book: Any, mirror: BookMirror) -> bool:
    """Let `mirror`, which has shown all of `book`, keep its levels from now on; False where that cannot be.

    ccxt's lists stand behind then. They are made whole again when ccxt stores into them, or by `take_back`.
    """
    bids, asks = book["bids"], book["asks"]
    if type(bids) is not _Bids or type(asks) is not _Asks:
        return False
    if bids.lender is mirror and asks.lender is mirror:
        return True
    take_back(book)
    if bids.touched or asks.touched or bids.is_cleared or asks.is_cleared:
        return False
    if len(bids) != len(mirror.bids) or len(asks) != len(mirror.asks):
        return False
    if not isfinite(sum(mirror.bids) + sum(mirror.asks)):  # a price that is no number has no place in an order
        return False
    bids.lender = asks.lender = mirror
    return True


def take_back(book: Any) -> None:
    """Make the lists of `book` whole again where its levels were lent."""
    for side in (book["bids"], book["asks"]):
        if isinstance(side, _PlainSide):
            side.take_back()


def trim(side: Any, levels_max: int) -> bool:
    """Cut `side` down to its best `levels_max` levels once it is half as long again; return whether it was cut."""
    if not isinstance(side, OrderBookSide) or len(side) <= levels_max + levels_max // 2:
        return False
    depth, side._depth = side._depth, levels_max  # noqa: SLF001  # ccxt's limit() knows no other depth
    side.limit()
    side._depth = depth  # noqa: SLF001  # likewise
    return True
