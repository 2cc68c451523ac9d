"""Numbers of book changes that must not skip."""

from __future__ import annotations

from typing import Any

import ccxt
import ccxt.pro
import pytest

from guard_ccxt.connections.faults import Fault, classify
from guard_ccxt.stream.sequence import PassedOver, begin_anew, watch_book_numbers


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


def test_changes_of_kucoins_futures_must_follow_one_another() -> None:
    exchange: Any = ccxt.pro.kucoin()
    holes: list[str] = []
    watch_book_numbers(exchange, holes.append)
    book = exchange.order_book({"symbol": "A/B:B", "bids": [[1.0, 2.0]], "asks": [[3.0, 4.0]], "nonce": 10})

    def change(sequence: int, text: str) -> None:
        exchange.handle_book_delta(book, {"sequence": sequence, "change": text, "timestamp": 1_700_000_000_000})

    change(11, "1.5,buy,1")
    change(9, "1.4,buy,7")  # ccxt would lay it over the book
    assert (book["nonce"], [list(level) for level in book["bids"]]) == (11, [[1.5, 1.0], [1.0, 2.0]])
    with pytest.raises(PassedOver):
        change(13, "1.6,buy,1")
    assert (book["nonce"], holes) == (11, ["A/B:B"])


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
