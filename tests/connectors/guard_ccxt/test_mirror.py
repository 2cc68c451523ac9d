"""ccxt's own books against what the rows of their mirror rebuild."""

from __future__ import annotations

from typing import Any

import pytest
from ccxt.async_support.base.ws.order_book import CountedOrderBook, IndexedOrderBook, OrderBook
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.model import ASK, BID
from guard_ccxt.stream import recording
from guard_ccxt.stream.mirror import BookMirror, totals

PRICES = st.sampled_from([float(price) for price in range(95, 106)])
SIZES = st.sampled_from([0.0, 0.0, 1.0, 2.0, 4.0])
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["store", "store", "store", "reset", "limit", "look"]), st.booleans(), PRICES, SIZES, st.integers(0, 4)
    ),
    max_size=60,
)
FACTORIES = {
    "plain": (recording.order_book, OrderBook),
    "counted": (recording.counted_order_book, CountedOrderBook),
    "indexed": (recording.indexed_order_book, IndexedOrderBook),
}


def delta(kind: str, price: float, size: float, extra: int) -> list[Any]:
    return {"plain": [price, size], "counted": [price, size, extra], "indexed": [price, size, f"order {extra}"]}[kind]


@pytest.mark.parametrize("kind", sorted(FACTORIES))
@settings(max_examples=60)
@given(operations=OPERATIONS)
def test_rows_of_a_mirror_rebuild_ccxts_book_after_any_operations(kind: str, operations: list[Any]) -> None:
    factory, stock = FACTORIES[kind]
    book, plain = factory({}, 6), stock({}, 6)
    mirror, rebuilt = BookMirror(), {BID: dict[float, float](), ASK: dict[float, float]()}
    for name, is_bid, price, size, extra in [*operations, ("look", True, 0.0, 0.0, 0)]:
        side = "bids" if is_bid else "asks"
        if name == "store":
            book[side].storeArray(delta(kind, price, size, extra))
            plain[side].storeArray(delta(kind, price, size, extra))
        elif name == "reset":
            snapshot = {side: [delta(kind, price, 3.0, 1)]}
            book.reset(snapshot)
            if kind == "indexed":  # ccxt forgets to, and raises
                plain["bids"]._hashmap.clear()
                plain["asks"]._hashmap.clear()
            plain.reset({side: [delta(kind, price, 3.0, 1)]})
        elif name == "limit":
            book.limit()
            plain.limit()
        else:
            for number, which in ((BID, "bids"), (ASK, "asks")):
                touched = recording.drain(book[which])
                changes = mirror.compare(number, book[which]) if touched is None else mirror.apply(number, touched)
                for _, level, amount in changes:
                    assert rebuilt[number].get(level, 0.0) != amount, "a row says something new"
                    if amount:
                        rebuilt[number][level] = amount
                    else:
                        del rebuilt[number][level]
                assert rebuilt[number] == totals(book[which])
    assert list(book["bids"]) == list(plain["bids"])
    assert list(book["asks"]) == list(plain["asks"])


def test_side_without_a_recording_asks_for_a_comparison() -> None:
    assert recording.drain([[1.0, 2.0]]) is None


def test_trim_keeps_the_best_levels_and_leaves_small_sides_alone() -> None:
    book = recording.order_book({"bids": [[float(price), 1.0] for price in range(1, 200)]}, 10)
    assert not recording.trim(book["bids"], 150)
    assert recording.trim(book["bids"], 100)
    assert [level[0] for level in book["bids"]] == [float(price) for price in range(199, 99, -1)]
    assert book["bids"]._depth == 10
