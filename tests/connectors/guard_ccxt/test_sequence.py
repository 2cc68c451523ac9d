"""Numbers that must not skip."""

from __future__ import annotations

from typing import Any

import ccxt
import ccxt.pro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard_ccxt.faults import Fault, classify
from guard_ccxt.sequence import Counting, PassedOver, begin_anew, watch_book_numbers


def _told(ids: list[int], *, start_us: int = 0) -> list[int]:
    counting = Counting()
    return [key for number, key in enumerate(ids) if counting.leaves_out(key, start_us + number)]


def test_a_hole_is_told_once_the_ids_counted_up_for_a_while() -> None:
    assert _told([*range(1, 30), 33, 34, 35]) == [33]
    assert _told([1, 2, 3, 7, 8]) == []


def test_ids_of_one_order_prove_nothing() -> None:
    counting = Counting()
    assert not any(counting.leaves_out(key, 5) for key in range(1, 100))
    assert not counting.leaves_out(200, 6)


def test_late_trades_make_it_learn_anew() -> None:
    counting = Counting()
    every_other = [*range(1, 20), *range(21, 41, 2)]
    told = [key for key in every_other if counting.leaves_out(key, key)]
    assert told == [21, 23, 25, 27]
    assert [key for key in [*range(41, 60), 70] if counting.leaves_out(key, key)] == [70]


def test_a_hole_that_was_none_is_not_told_again() -> None:
    counting = Counting()
    for key in range(1, 20):
        counting.leaves_out(key, key)
    counting.distrust()
    assert not any(counting.leaves_out(key, key) for key in (30, *range(31, 60), 70))


@given(st.lists(st.integers(min_value=-5, max_value=1 << 62), max_size=60))
def test_any_ids_are_taken(ids: list[int]) -> None:
    assert set(_told(ids)) <= set(ids)


@pytest.mark.parametrize(("name", "first", "last"), [("kucoin", "sequenceStart", "sequenceEnd"), ("gate", "U", "u")])
def test_a_book_change_that_leaves_numbers_out_is_not_applied(name: str, first: str, last: str) -> None:
    exchange: Any = getattr(ccxt.pro, name)()
    holes: list[str] = []
    watch_book_numbers(exchange, holes.append)
    book = exchange.order_book({"symbol": "A/B", "bids": [[1.0, 2.0]], "asks": [[3.0, 4.0]], "nonce": 10})
    change = {"changes": {"bids": [["1.5", "1"]], "asks": []}, "b": [["1.5", "1"]], "a": [], "time": 5, "t": 5}
    exchange.handle_book_delta(book, {**change, first: 9, last: 12})
    assert (book["nonce"], book["bids"][0][0]) == (12, 1.5)
    with pytest.raises(PassedOver):
        exchange.handle_book_delta(book, {**change, first: 14, last: 15})
    with pytest.raises(ValueError, match="without its number"):
        exchange.handle_book_delta(book, {**change, first: None, last: None})
    assert (book["nonce"], holes) == (12, ["A/B"])


def test_a_book_begins_anew_without_touching_the_trades() -> None:
    class Client:
        def __init__(self) -> None:
            self.subscriptions = {"/market/level2:A-B": 1, "/market/match:A-B": 2, "orderbook:A/B": 3}
            self.failed: list[str] = []

        def reject(self, why: Exception, message_hash: str) -> None:
            self.failed.append(message_hash)
            assert why.args

    exchange: Any = ccxt.pro.kucoin()
    exchange.markets = {"A/B": {"id": "A-B"}}
    client = Client()
    begin_anew(exchange, client, "A/B", {"orderbook:A/B"}, ValueError("why"))
    assert (list(client.subscriptions), client.failed) == (["/market/match:A-B"], ["orderbook:A/B"])


def test_a_book_that_gate_has_already_is_asked_for_again() -> None:
    assert classify(ccxt.BadRequest('gate {"error":{"code":2,"message":"Alert sub ob.BTC_USDT.50"}}')) is Fault.RESYNC
    assert classify(ccxt.BadRequest("gate depth")) is Fault.REQUEST
