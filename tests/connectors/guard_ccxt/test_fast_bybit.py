"""Bybit's decoder against unmodified ccxt.pro and the generic tier, frame by frame."""

from __future__ import annotations

import json
from typing import Any

import pytest
from differential import NOW_MS, Differential, checked, contract, spot
from frames import numbers, spoiled, texts
from hypothesis import strategies as st

from guard.model import BUY, SELL, Kind, event_key

SPOT, LINEAR = "wss://stream.bybit.com/v5/public/spot", "wss://stream.bybit.com/v5/public/linear"
# Spot and swap have the same id.
MARKETS = [
    spot("BTCUSDT", "BTC/USDT"),
    contract("BTCUSDT", "BTC/USDT:USDT", size=1.0),
    contract("BTCUSD", "BTC/USD:BTC", size=1.0, is_inverse=True),
]


def linear() -> Differential:
    return Differential("bybit", MARKETS, LINEAR)


def on_spot() -> Differential:
    return Differential("bybit", MARKETS, SPOT)


def trade(market_id: str = "BTCUSDT", **changes: Any) -> dict[str, Any]:
    return {
        "T": NOW_MS - 2,
        "s": market_id,
        "S": "Buy",
        "v": "0.001",
        "p": "16578.50",
        "L": "PlusTick",
        "i": "20f43950-d8dd-5b31-9112-a178eb6023af",
        "BT": False,
        "RPI": False,
    } | changes


def trades(*data: dict[str, Any], market_id: str = "BTCUSDT", **more: Any) -> dict[str, Any]:
    return {"topic": f"publicTrade.{market_id}", "type": "snapshot", "ts": NOW_MS, "data": list(data), **more}


def book(
    kind: str, bids: list[Any], asks: list[Any], *, market_id: str = "BTCUSDT", depth: int = 50, **more: Any
) -> dict[str, Any]:
    data = {"s": market_id, "b": bids, "a": asks, "u": 18521288, "seq": 7961638724}
    topic = f"orderbook.{depth}.{market_id}"
    return {"topic": topic, "type": kind, "ts": NOW_MS - 1, "data": data, "cts": NOW_MS - 3, **more}


async def test_the_url_tells_whether_an_id_is_spot_or_a_contract() -> None:
    for make, row in ((on_spot, 0), (linear, 1)):
        async with make() as found:
            frames = [
                trades(trade()),
                trades(trade(i="2290000000061666327", S="Sell"), trade(i="2290000000061666328")),
                trades(trade("BTCUSD", i="9", v="100", p="50000"), market_id="BTCUSD"),
            ]
            assert found.feed_all(map(json.dumps, frames)) == len(frames)
            rows = found.fast.sink.of(Kind.TRADE)
            assert [(one.market, one.side) for one in rows] == [(row, BUY), (row, SELL), (row, BUY), (2, BUY)]
            assert rows[3].amount == 100 / 50000
            assert rows[1].key == event_key("2290000000061666327")


async def test_what_is_not_a_trade_goes_to_stock() -> None:
    async with linear() as found:
        others = [
            {"success": True, "ret_msg": "", "conn_id": "a", "req_id": "1", "op": "subscribe"},
            {"success": True, "ret_msg": "pong", "conn_id": "a", "op": "ping"},
            {"success": False, "ret_msg": "handler not found", "op": "subscribe"},
            {"topic": "tickers.BTCUSDT", "type": "snapshot", "ts": 1, "data": {"symbol": "BTCUSDT"}},
            trades(trade("BTCUSD")),
            trades(trade("NOBODY"), market_id="NOBODY"),
            trades(trade(t=1)),
            trades(trade(q="5")),
            trades(trade(i="")),
            trades(trade(S="buy")),
            trades(),
            trades(trade(), ret_code=0),
        ]
        assert found.feed_all(map(json.dumps, others)) == 0
        assert found.fast.counters.fallbacks == len(others)


@pytest.mark.parametrize("make", [on_spot, linear])
@pytest.mark.parametrize("spoilt", [trade(i="2", p="x"), trade(i="2", v="NaN"), None])
async def test_trades_that_ccxt_read_before_one_that_it_cannot_are_given_at_once(make: Any, spoilt: Any) -> None:
    async with make() as found:
        # ccxt's class gives the trades of a frame when it has read them all.
        fed = found.feed(json.dumps(trades(trade(i="1"), spoilt)))
        assert fed.is_fallback
        assert fed.error
        assert [row.key for row in fed.rows if row.kind == Kind.TRADE] == [1]
        fed = found.feed(json.dumps(trades(trade(i="3"))))
        assert not fed.is_fallback
        assert [row.key for row in fed.rows] == [3]


@pytest.mark.parametrize("spoilt", [{"s": None}, {"s": "BTCUSD"}, {"s": "NOBODY"}])
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_frame_with_one_trade_of_no_market_or_another_is_left_to_stock(spoilt: dict[str, Any], place: int) -> None:
    async with linear() as found:
        data = [trade(i="1"), trade(i="2")]
        data.insert(place, trade(i="3") | spoilt)
        assert found.feed(json.dumps(trades(*data))).is_fallback
        nameless = trades(trade(i="4"))
        del nameless["topic"]
        assert found.feed(json.dumps(nameless)).is_fallback
        assert not found.feed(json.dumps(trades(trade(i="5")))).is_fallback


@pytest.mark.parametrize("make", [on_spot, linear])
async def test_snapshot_goes_to_stock_and_diffs_to_the_decoder(make: Any) -> None:
    async with make() as found:
        early = found.feed(json.dumps(book("delta", [["98", "1"]], [])))
        assert early.is_fallback
        snapshot = book("snapshot", [["99", "5"], ["98", "1"]], [["100", "7"]])
        assert found.feed(json.dumps(snapshot)).is_fallback
        frames = [
            book("delta", [["98", "0"]], [["100.5", "2"]]),
            book("delta", [], []),
            book("delta", [["99", "0.0"], ["98.5", "1e-3"]], []),
        ]
        assert found.feed_all(map(json.dumps, frames)) == len(frames)
        assert found.books(found.fast) == found.stock_books()
        again = book("snapshot", [["97", "5"]], [["98", "7"]])  # after a restart of the service
        assert found.feed(json.dumps(again)).is_fallback
        assert not found.feed(json.dumps(book("delta", [["97", "6"]], []))).is_fallback
        assert found.books(found.fast) == found.stock_books()


async def test_a_book_of_one_level_is_left_to_stock() -> None:
    async with linear() as found:
        found.feed(json.dumps(book("snapshot", [["99", "5"]], [["100", "7"]], depth=1)))
        assert found.feed(json.dumps(book("delta", [["99", "6"]], [], depth=1))).is_fallback


TRADES = st.builds(
    lambda market_id, data: trades(*({**one, "s": market_id} for one in data), market_id=market_id),
    st.sampled_from(("BTCUSDT", "BTCUSD")),
    st.lists(
        st.builds(
            trade,
            i=st.integers(1, 10**18).map(str) | st.uuids().map(str),
            p=texts(),
            v=numbers(largest=10**6),
            S=st.sampled_from(("Buy", "Sell")),
            T=st.integers(NOW_MS - 9, NOW_MS),
        ),
        min_size=1,
        max_size=3,
    ),
)
LEVELS = st.lists(st.tuples(texts(largest=10**5), st.sampled_from(("0", "1.5", "2e-3", "7"))), max_size=4)
DIFFS = st.lists(st.tuples(LEVELS, LEVELS), min_size=1, max_size=6)


@pytest.mark.parametrize("make", [on_spot, linear])
def test_generated_and_spoilt_trades_are_equal(make: Any) -> None:
    frames = st.lists(TRADES.flatmap(spoiled), min_size=1, max_size=6)
    checked(make, frames, lambda found, frames: found.feed_all(frames) and None, examples=100)


def test_generated_books_are_equal() -> None:
    def judge(found: Differential, diffs: list[Any]) -> None:
        found.feed(json.dumps(book("snapshot", [["99", "5"]], [["100", "7"]], market_id="BTCUSD")))
        for bids, asks in diffs:
            assert not found.feed(json.dumps(book("delta", bids, asks, market_id="BTCUSD"))).is_fallback
        assert found.books(found.fast) == found.stock_books()

    checked(linear, DIFFS, judge, examples=80)
