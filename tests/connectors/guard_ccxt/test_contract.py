"""The names of ccxt that the tap touches, as the pinned version has them."""

from __future__ import annotations

import inspect
import re

import ccxt.pro
import pytest
from ccxt.async_support.base.exchange import Exchange
from ccxt.async_support.base.ws.cache import ArrayCache
from ccxt.async_support.base.ws.client import Client
from ccxt.async_support.base.ws.order_book import OrderBook
from ccxt.async_support.base.ws.order_book_side import IndexedOrderBookSide, OrderBookSide

from guard_ccxt.connections.instance import _TABLE
from guard_ccxt.connections.tap import missing_names


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("owner", "name", "expected"),
    [
        (Client, "resolve", ["self", "result", "message_hash"]),
        (Client, "reject", ["self", "result", "message_hash"]),
        (Client, "future", ["self", "message_hash"]),
        (Client, "receive_loop", ["self"]),
        (Client, "handle_message", ["self", "message"]),
        (Client, "on_close", ["self", "code"]),
        (Client, "on_error", ["self", "error"]),
        (Client, "close", ["self", "code"]),
        (Client, "closed", ["self"]),
        (Client, "open", ["self", "session", "backoff_delay"]),
        (Client, "send", ["self", "message"]),
        (Exchange, "throttle", ["self", "cost"]),
        (Exchange, "load_order_book", ["self", "client", "messageHash", "symbol", "limit", "params"]),
        (Exchange, "client", ["self", "url"]),
        (Exchange, "fetch", ["self", "url", "method", "headers", "body"]),
        (Exchange, "order_book", ["self", "snapshot", "depth"]),
        (Exchange, "indexed_order_book", ["self", "snapshot", "depth"]),
        (Exchange, "counted_order_book", ["self", "snapshot", "depth"]),
        (OrderBookSide, "storeArray", ["self", "delta"]),
        (OrderBookSide, "remove_index", ["self", "order"]),
        (OrderBookSide, "limit", ["self"]),
        (OrderBook, "reset", ["self", "snapshot"]),
        (ArrayCache, "append", ["self", "item"]),
        (ArrayCache, "clear", ["self"]),
    ],
)
def test_ccxt_has_the_hook_with_these_parameters(owner: type, name: str, expected: list[str]) -> None:
    assert parameters(inspect.getattr_static(owner, name)) == expected or parameters(getattr(owner, name)) == expected[1:]


def test_ccxt_keeps_the_attributes_that_are_read() -> None:
    assert {"error", "connection", "connectionStarted", "subscriptions", "futures", "url"} <= set(vars(Client))
    side = IndexedOrderBookSide()
    assert (side._index, side._hashmap) == ([], {})
    assert side._depth > 10**9


def test_ccxt_calls_its_hooks_through_the_instance() -> None:
    assert "self.receive_loop" in inspect.getsource(Client.open)
    assert "self.client(url)" in inspect.getsource(Exchange.watch)
    assert "self.client(url)" in inspect.getsource(Exchange.watch_multiple)
    assert "self.last_response_headers = headers" in inspect.getsource(Exchange.fetch)
    assert "await self.fetch(" in inspect.getsource(Exchange.fetch2)


def test_a_request_is_sent_in_the_context_of_who_called_and_the_dial_in_a_task_of_its_own() -> None:
    for source in (inspect.getsource(Exchange.watch), inspect.getsource(Exchange.watch_multiple)):
        assert "connected.add_done_callback(after)" in source
        assert "asyncio.ensure_future(send_message())" in source
    assert "ensure_future(self.open(session, backoff_delay)" in inspect.getsource(Client.connect)
    assert "self.on_message_callback(self, decode)" in inspect.getsource(Client.handle_text_or_binary_message)


def test_the_market_table_that_shards_share_is_all_that_ccxt_shares() -> None:
    source = inspect.getsource(Exchange.set_markets_from_exchange)
    assert set(re.findall(r"self\.(\w+) = sourceExchange\.(\w+)", source)) == {(name, name) for name in _TABLE}
    assert "marketHelperProps" in source


def test_a_book_that_fails_closes_its_connection_in_ways_that_are_shielded() -> None:
    source = inspect.getsource(Exchange.load_order_book)
    assert set(re.findall(r"client\.(\w+)", source)) == {"reject", "resolve", "error", "close", "url"}
    assert all("self.load_order_book" in inspect.getsource(one) for one in (ccxt.pro.gate, ccxt.pro.kucoin, ccxt.pro.mexc))


def test_binance_keeps_its_notes_of_streams_where_they_are_cleaned() -> None:
    source = inspect.getsource(ccxt.pro.binance.stream)
    assert all(name in source for name in ("streamBySubscriptionsHash", "numSubscriptionsByStream", "streamLimits"))
    assert "'multipleTrades'" in inspect.getsource(ccxt.pro.binance.watch_trades_for_symbols)
    assert "'multipleOrderbook'" in inspect.getsource(ccxt.pro.binance.watch_order_book_for_symbols)


def test_nothing_is_missing_and_a_missing_name_would_be_told() -> None:
    class Bare:
        pass

    assert missing_names(ccxt.pro.kraken) == []
    assert missing_names(Bare()) == [
        "Bare.client",
        "Bare.fetch",
        "Bare.order_book",
        "Bare.indexed_order_book",
        "Bare.counted_order_book",
    ]
