"""Gate's decoder against unmodified ccxt.pro and the generic tier, frame by frame."""

from __future__ import annotations

import json
from typing import Any

import pytest
from differential import NOW_MS, Differential, checked, contract, spot
from frames import numbers, spoiled, texts
from hypothesis import strategies as st

from guard.model import BUY, SELL, Kind

URL = "wss://api.gateio.ws/ws/v4/"
# Spot and swap have the same id.
MARKETS = [
    spot("BTC_USDT", "BTC/USDT"),
    contract("BTC_USDT", "BTC/USDT:USDT", size=0.0001),
    spot("PEPE_USDT", "PEPE/USDT"),
    contract("BTC_USD", "BTC/USD:BTC", size=1.0, is_inverse=True),
]


def differential() -> Differential:
    return Differential("gate", MARKETS, URL)


def framed(channel: str, result: Any, **more: Any) -> dict[str, Any]:
    return {"time": NOW_MS // 1000, "time_ms": NOW_MS, "channel": channel, "event": "update", "result": result, **more}


def spot_trade(**changes: Any) -> dict[str, Any]:
    return {
        "id": 309143071,
        "id_market": 1390,
        "create_time": NOW_MS // 1000,
        "create_time_ms": f"{NOW_MS - 3}.482",
        "side": "sell",
        "currency_pair": "BTC_USDT",
        "amount": "16.4700000000",
        "price": "0.4705000000",
        "range": "1-2",
    } | changes


def futures_trade(**changes: Any) -> dict[str, Any]:
    return {
        "size": -108,
        "id": 27753479,
        "create_time": NOW_MS // 1000,
        "create_time_ms": NOW_MS - 4,
        "price": "96.4",
        "contract": "BTC_USDT",
    } | changes


def obu(first: int, last: int, bids: list[Any], asks: list[Any], **changes: Any) -> dict[str, Any]:
    result = {"t": NOW_MS - 1, "s": "ob.BTC_USDT.50", "U": first, "u": last, "b": bids, "a": asks}
    return framed("spot.obu", result | changes)


def update(channel: str, first: int, last: int, bids: list[Any], asks: list[Any]) -> dict[str, Any]:
    return framed(channel, {"t": NOW_MS - 1, "s": "BTC_USDT", "U": first, "u": last, "b": bids, "a": asks})


def rows(levels: list[Any]) -> list[Any]:
    return [{"p": price, "s": amount} for price, amount in levels]


async def test_trades_of_spot_and_contracts_are_equal_and_none_goes_to_stock() -> None:
    async with differential() as found:
        frames = [
            framed("spot.trades", spot_trade()),
            framed("spot.trades", [spot_trade(id=3, side="buy"), spot_trade(id=2, currency_pair="PEPE_USDT")]),
            framed("futures.trades", [futures_trade(), futures_trade(size="7", id=27753480)], error=None, id=None),
            framed("futures.trades", [futures_trade(size=1, contract="BTC_USD", is_internal=False)]),
        ]
        assert found.feed_all(map(json.dumps, frames)) == len(frames)
        trades = found.fast.sink.of(Kind.TRADE)
        assert sorted((row.market, row.key, row.side) for row in trades) == [
            (0, 3, BUY),
            (0, 309143071, SELL),
            (1, 27753479, SELL),
            (1, 27753480, BUY),
            (2, 2, SELL),
            (3, 27753479, BUY),
        ]
        assert {row.amount for row in trades if row.market == 1} == {108 * 0.0001, 7 * 0.0001}
        assert trades[0].at_us == (NOW_MS - 3) * 1000


async def test_several_trades_of_a_frame_come_in_the_order_that_ccxt_gives_them() -> None:
    async with differential() as found:
        trades = [
            futures_trade(id=10, create_time_ms=NOW_MS - 1),
            futures_trade(id=9, create_time_ms=NOW_MS - 1, price="1"),
            futures_trade(id=8, create_time_ms=NOW_MS - 2, price="2"),
        ]
        assert found.feed_all([json.dumps(framed("futures.trades", trades))]) == 1
        # Ids are compared as texts.
        assert [row.key for row in found.fast.sink.of(Kind.TRADE)] == [8, 10, 9]


async def test_what_is_not_a_trade_goes_to_stock() -> None:
    async with differential() as found:
        others = [
            {"time": 1, "channel": "spot.pong", "event": "", "error": None, "result": None},
            {"id": 1, "channel": "spot.trades", "event": "subscribe", "result": {"status": "success"}},
            framed("spot.tickers", {"currency_pair": "BTC_USDT", "last": "1"}),
            framed("spot.trades", spot_trade(contract="BTC_USDT")),
            framed("spot.trades", spot_trade(currency_pair="NOBODY_USDT")),
            framed("spot.trades", spot_trade(create_time_ms="12")),
            framed("spot.trades", spot_trade(create_time_ms="0700000000000.1")),
            framed("spot.trades", spot_trade(amount="-1")),
            framed("futures.trades", [futures_trade(side="buy")]),
            framed("futures.trades", [futures_trade(size=0)]),
            framed("futures.trades", [futures_trade(), futures_trade(price=None)]),
            framed("spot.trades", spot_trade(), error={"code": 2, "message": "unknown"}),
            framed("spot.trades", []),
        ]
        assert found.feed_all(map(json.dumps, others)) == 0
        assert found.fast.counters.fallbacks == len(others)


async def test_trades_that_ccxt_read_before_one_without_a_market_are_given_and_their_frame_is_its() -> None:
    named = {"size": "1", "id": 1, "create_time": 1700000000, "create_time_ms": 1699999999991, "price": "1", "contract": "BTC_USDT"}
    nameless = {name: value for name, value in (named | {"id": 2}).items() if name != "contract"}
    async with differential() as found:
        # ccxt sorts a frame by time and id before it looks at the market.
        fed = found.feed(json.dumps(framed("futures.trades", [nameless, named])))
        assert fed.is_fallback
        assert fed.error == "TypeError"
        assert [(row.market, row.key) for row in fed.rows if row.kind == Kind.TRADE] == [(1, 1)]
        fed = found.feed(json.dumps(framed("futures.trades", [nameless, named | {"id": 3}])))
        assert [row for row in fed.rows if row.kind == Kind.TRADE] == []
        assert not found.feed(json.dumps(framed("futures.trades", [named | {"id": 3}]))).is_fallback


@pytest.mark.parametrize("number", [2**53, 2**53 + 1, 2**64, 10**30])
async def test_an_id_that_ccxt_reads_through_a_float_is_left_to_it(number: int) -> None:
    async with differential() as found:
        fed = found.feed(json.dumps(framed("spot.trades", [spot_trade(id=number), spot_trade(id="7")])))
        assert fed.is_fallback == (number > 2**53)
        assert len([row for row in fed.rows if row.kind == Kind.TRADE]) == 2


async def test_a_frame_of_several_markets_is_equal_and_one_that_nobody_watches_makes_it_the_stock_tiers() -> None:
    spots = [spot_trade(id=2), spot_trade(id=1, currency_pair="PEPE_USDT")]
    contracts = [futures_trade(id=4, contract="BTC_USD"), futures_trade(id=3)]
    async with differential() as found:
        frames = [framed("spot.trades", spots), framed("futures.trades", contracts)]
        assert found.feed_all(map(json.dumps, frames)) == len(frames)
        frames = [framed("spot.trades", [*spots, spot_trade(currency_pair="ETH_USDT")])]
        frames += [framed("futures.trades", [futures_trade(contract="ETH_USDT"), *contracts])]
        assert found.feed_all(map(json.dumps, frames)) == 0


@pytest.mark.parametrize("channel", ["spot.order_book_update", "futures.order_book_update"])
async def test_a_hole_in_a_numbered_book_is_left_to_ccxt_which_subscribes_again(channel: str) -> None:
    symbol, row, make = ("BTC/USDT", 0, list) if channel.startswith("spot") else ("BTC/USDT:USDT", 1, rows)
    async with differential() as found:
        found.subscribed(f"orderbook:{symbol}")
        found.show_book(symbol, [[99.0, 1.0], [98.0, 2.0]], [[101.0, 1.0]], nonce=100)
        frames = [
            update(channel, 98, 100, make([["98", "9"]]), make([])),
            update(channel, 99, 103, make([["98.5", "3"]]), make([["101", "0"], ["102", "1"]])),
            update(channel, 104, 104, make([]), make([["101.5", "4"]])),
        ]
        assert found.feed_all(map(json.dumps, frames)) == len(frames)
        assert found.books(found.fast) == found.stock_books()
        assert len(found.books(found.fast)[row, SELL]) == 2
        gap = found.feed(json.dumps(update(channel, 106, 107, make([["97", "1"]]), make([]))))
        assert gap.is_fallback
        assert gap.rejected == [f"orderbook:{symbol}"]


async def test_a_hole_in_a_spot_book_which_ccxt_lets_pass_ends_the_subscription() -> None:
    async with differential() as found:
        found.subscribed("orderbook:BTC/USDT")
        found.show_book("BTC/USDT", [[99.0, 1.0]], [[101.0, 1.0]], nonce=100)
        frames = [
            obu(98, 100, [["98", "9"]], []),
            obu(101, 101, [["98.5", "3"]], [["101", "0"]]),
            framed("spot.obu", {"t": NOW_MS, "s": "ob.BTC_USDT.50", "U": 102, "u": 103, "a": [["102", "1"]]}),
        ]
        assert found.feed_all(map(json.dumps, frames)) == len(frames)
        assert found.books(found.fast) == found.stock_books()
        lost = found.fast.feed(json.dumps(obu(105, 106, [["97", "1"]], [])))
        assert lost.is_fallback
        assert lost.rejected == ["orderbook:BTC/USDT"]
        assert [row.kind for row in lost.rows] == [Kind.STATUS]
        assert "orderbook:BTC/USDT" not in found.fast.client.subscriptions
        assert found.fast.feed(json.dumps(obu(107, 107, [["97", "1"]], []))).rows == []
        whole = found.fast.feed(json.dumps(obu(108, 108, [["96", "1"]], [["97", "1"]], full=True)))
        assert [row.kind for row in whole.rows] == [Kind.GAP, Kind.STATUS, Kind.LEVEL, Kind.LEVEL]
        assert not found.fast.feed(json.dumps(obu(109, 109, [["96", "2"]], []))).is_fallback


_SPOT = st.builds(
    spot_trade,
    id=st.integers(min_value=1, max_value=10**9) | st.sampled_from(("7", "x")),
    currency_pair=st.sampled_from(("BTC_USDT", "PEPE_USDT")),
    price=texts(),
    amount=numbers(),
    side=st.sampled_from(("buy", "sell")),
    create_time_ms=st.builds(lambda ms, rest: f"{ms}.{rest}", st.integers(NOW_MS - 9, NOW_MS), st.integers(0, 9999)),
)
_FUTURES = st.builds(
    futures_trade,
    id=st.integers(min_value=1, max_value=10**9),
    contract=st.sampled_from(("BTC_USDT", "BTC_USD")),
    price=numbers(),
    size=numbers(largest=10**6, has_sign=True) | st.integers(min_value=-(10**6), max_value=10**6),
    create_time_ms=st.integers(NOW_MS - 9, NOW_MS),
)
TRADES = st.one_of(
    st.builds(framed, st.just("spot.trades"), _SPOT | st.lists(_SPOT, max_size=3)),
    st.builds(framed, st.just("futures.trades"), _FUTURES | st.lists(_FUTURES, max_size=3)),
)
LEVELS = st.lists(st.tuples(texts(largest=10**5), st.sampled_from(("0", "1.5", "2e-3", "7"))), max_size=4)
DIFFS = st.lists(st.tuples(st.integers(min_value=0, max_value=2), LEVELS, LEVELS), min_size=1, max_size=6)


def test_generated_and_spoilt_trades_are_equal() -> None:
    frames = st.lists(TRADES.flatmap(spoiled), min_size=1, max_size=6)
    checked(differential, frames, lambda found, frames: found.feed_all(frames) and None, examples=200)


def test_generated_books_are_equal() -> None:
    def judge(found: Differential, diffs: list[Any]) -> None:
        for symbol in ("BTC/USDT", "BTC/USDT:USDT"):
            found.show_book(symbol, [[99.0, 1.0]], [[101.0, 1.0]], nonce=100)
        last = 100
        for width, bids, asks in diffs:
            first, last = last + 1, last + 1 + width
            assert not found.feed(json.dumps(obu(first, last, bids, asks))).is_fallback
            frame = update("futures.order_book_update", first, last, rows(bids), rows(asks))
            assert not found.feed(json.dumps(frame)).is_fallback
        assert found.books(found.fast) == found.stock_books()

    checked(differential, DIFFS, judge, examples=80)
