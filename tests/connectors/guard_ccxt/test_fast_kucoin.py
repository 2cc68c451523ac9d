"""KuCoin's decoder against unmodified ccxt.pro and the generic tier, frame by frame."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from differential import NOW_MS, Differential, checked, contract, spot
from frames import numbers, spoiled, texts
from hypothesis import strategies as st

from guard.model import BUY, SELL, Flag, Kind

URL = "wss://ws-api-spot.kucoin.com/?token=a&connectId=public"
MARKETS = [
    spot("BTC-USDT", "BTC/USDT"),
    spot("PEPE-USDT", "PEPE/USDT"),
    contract("XBTUSDTM", "BTC/USDT:USDT", size=0.001),
    contract("XBTUSDM", "BTC/USD:BTC", size=1.0, is_inverse=True),
]
SPOT_IDS, CONTRACT_IDS = ("BTC-USDT", "PEPE-USDT"), ("XBTUSDTM", "XBTUSDM")


def differential() -> Differential:
    return Differential("kucoin", MARKETS, URL)


def framed(topic: str, subject: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"topic": topic, "type": "message", "subject": subject, "data": data}


def spot_trade(**changes: Any) -> dict[str, Any]:
    data = {
        "makerOrderId": "67374efce18d8a0007a8e1d2",
        "price": "91234.5",
        "sequence": "11067996711960577",
        "side": "buy",
        "size": "0.004",
        "symbol": "BTC-USDT",
        "takerOrderId": "67374f0025a3b20007a2b3c4",
        "time": f"{NOW_MS - 5}443257",
        "tradeId": "11067996711960577",
        "type": "match",
    }
    return framed("/market/match:BTC-USDT", "trade.l3match", data | changes)


def futures_trade(**changes: Any) -> dict[str, Any]:
    data = {
        "symbol": "XBTUSDTM",
        "sequence": 1794100537695,
        "side": "sell",
        "size": 2,
        "price": "90503.9",
        "takerOrderId": "247822202957807616",
        "makerOrderId": "247822167163555840",
        "tradeId": "1794100537695",
        "ts": (NOW_MS - 3) * 1_000_000 + 999_999,
    }
    return framed("/contractMarket/execution:XBTUSDTM", "match", data | changes)


def spot_diff(start: int, end: int, bids: list[Any], asks: list[Any], **changes: Any) -> dict[str, Any]:
    data = {
        "changes": {"asks": asks, "bids": bids},
        "sequenceEnd": end,
        "sequenceStart": start,
        "symbol": "BTC-USDT",
        "time": NOW_MS - 1,
    }
    return framed("/market/level2:BTC-USDT", "trade.l2update", data | changes)


def futures_diff(sequence: int, change: str, **changes: Any) -> dict[str, Any]:
    data = {"sequence": sequence, "change": change, "timestamp": NOW_MS - 1}
    return framed("/contractMarket/level2:XBTUSDTM", "level2", data | changes)


async def test_trades_of_spot_and_contracts_are_equal_and_none_goes_to_stock() -> None:
    async with differential() as found:
        frames = [
            spot_trade(),
            spot_trade(side="sell", tradeId="5e356c4aeefabd62c62a1ece", price="1e-8", size="123456789.123"),
            spot_trade(symbol="PEPE-USDT", tradeId="2", extra={"x": [1]}),
            futures_trade(),
            futures_trade(price=0.35904, tradeId="636dd9da0000d400d477eca7", size="3"),
            futures_trade(symbol="XBTUSDM", tradeId="9", side="buy"),
        ]
        assert found.feed_all(map(json.dumps, frames)) == len(frames)
        rows = found.fast.sink.of(Kind.TRADE)
        assert [row.side for row in rows] == [BUY, SELL, BUY, SELL, SELL, BUY]
        assert rows[3].amount == 0.002
        assert rows[5].amount == 2 / 90503.9
        assert rows[0].at_us == (NOW_MS - 5) * 1000


async def test_what_is_not_a_trade_goes_to_stock() -> None:
    async with differential() as found:
        others = [
            {"id": "1578090438322", "type": "ack"},
            {"id": "1", "type": "pong", "timestamp": 1},
            {"id": "hello", "type": "welcome"},
            {"id": "1", "type": "error", "code": 415, "data": "type is not supported"},
            spot_trade(symbol="XBTUSDTM"),
            spot_trade(symbol="NOBODY-USDT"),
            spot_trade(liquidityRole="TAKER"),
            spot_trade(tradeId=""),
            spot_trade(time=None),
            spot_trade(side="BUY"),
            framed("/market/ticker:all", "trade.l3match", spot_trade()["data"]),
            framed("/market/match:BTC-USDT", "trade.other", {}),
        ]
        assert found.feed_all(map(json.dumps, others)) == 0
        assert found.fast.counters.fallbacks == len(others)


async def test_spot_book_follows_its_sequence() -> None:
    async with differential() as found:
        found.show_book("BTC/USDT", [[99.0, 1.0], [98.0, 2.0]], [[101.0, 1.0]], nonce=100)
        frames = [
            spot_diff(90, 100, [["98", "9", "95"]], []),  # older than the snapshot
            spot_diff(99, 101, [["99", "0", "101"]], [["101", "3", "101"]]),
            spot_diff(102, 102, [], [["0", "0", "102"]]),
            spot_diff(103, 104, [["97.5", "0.00000001", "103"]], [["100.5", "2", "104"]]),
        ]
        assert found.feed_all(map(json.dumps, frames)) == len(frames)
        assert found.books(found.fast) == found.stock_books()
        assert found.fast.exchange.orderbooks["BTC/USDT"]["nonce"] == 104


async def test_futures_book_follows_its_sequence_and_holds_base_amounts() -> None:
    async with differential() as found:
        found.show_book("BTC/USDT:USDT", [[99.0, 1.0]], [[101.0, 1.0]], nonce=100)
        frames = [
            futures_diff(101, "99.0,buy,0"),
            futures_diff(102, "98.5,buy,83"),
            futures_diff(103, "101.5,sell,7"),
        ]
        assert found.feed_all(map(json.dumps, frames)) == len(frames)
        assert found.books(found.fast) == found.stock_books()
        assert found.books(found.fast)[2, BUY] == {98.5: 0.083}
        for spoilt in ("98.5,buy", "98.5,bid,1", "nan,buy,1", "98.5,buy,-1", "x,buy,1"):
            assert found.fast.feed(json.dumps(futures_diff(104, spoilt))).is_fallback


async def test_a_hole_in_a_book_is_told_and_ccxt_fetches_it_again() -> None:
    async with differential() as found:
        found.show_book("BTC/USDT", [[99.0, 1.0]], [[101.0, 1.0]], nonce=100)
        asked = []

        async def snapshot(symbol: str, limit: Any = None, params: Any = None) -> Any:
            asked.append((symbol, limit, params))
            return {"symbol": symbol, "nonce": 110, "timestamp": NOW_MS, "bids": [[95.0, 1.0]], "asks": [[96.0, 1.0]]}

        found.fast.exchange.fetch_rest_order_book_safe = snapshot
        fed = found.fast.feed(json.dumps(spot_diff(102, 102, [["98", "1", "102"]], [])))
        assert [row.kind for row in fed.rows] == [Kind.STATUS]
        for sequence in range(103, 112):
            assert found.fast.feed(json.dumps(spot_diff(sequence, sequence, [["94", str(sequence), "1"]], []))).rows == []
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(asked) == 1
        rows = found.fast.sink.rows[-5:]
        assert [row.kind for row in rows] == [Kind.GAP, Kind.STATUS, Kind.LEVEL, Kind.LEVEL, Kind.LEVEL]
        assert rows[-1].flags & Flag.SNAPSHOT
        assert not found.fast.feed(json.dumps(spot_diff(112, 112, [["93", "1", "112"]], []))).is_fallback
        assert found.books(found.fast)[0, BUY] == {95.0: 1.0, 94.0: 111.0, 93.0: 1.0}


TRADES = st.one_of(
    st.builds(
        spot_trade,
        symbol=st.sampled_from(SPOT_IDS),
        price=texts(),
        size=numbers(),
        side=st.sampled_from(("buy", "sell")),
        tradeId=st.sampled_from(("1", "5e356c4aeefabd62c62a1ece", "00012")),
        time=st.integers(min_value=0, max_value=999_999).map(lambda nanos: f"{NOW_MS - 9}{nanos:06}"),
    ),
    st.builds(
        futures_trade,
        symbol=st.sampled_from(CONTRACT_IDS),
        price=numbers(),
        size=numbers(largest=10**6),
        side=st.sampled_from(("buy", "sell")),
        ts=st.integers(min_value=(NOW_MS - 9) * 10**6, max_value=NOW_MS * 10**6),
    ),
)
LEVELS = st.lists(st.tuples(texts(largest=10**5), st.sampled_from(("0", "1.5", "2e-3", "7")), st.just("1")), max_size=4)


DIFFS = st.lists(st.tuples(st.integers(min_value=0, max_value=2), LEVELS, LEVELS), min_size=1, max_size=6)
CHANGES = st.lists(
    st.tuples(texts(largest=10**5), st.sampled_from(("buy", "sell")), st.sampled_from(("0", "1", "2.5"))), max_size=4
)


def test_generated_and_spoilt_trades_are_equal() -> None:
    frames = st.lists(TRADES.flatmap(spoiled), min_size=1, max_size=6)
    checked(differential, frames, lambda found, frames: found.feed_all(frames) and None, examples=200)


def test_generated_books_are_equal() -> None:
    def judge(found: Differential, value: Any) -> None:
        diffs, changes = value
        found.show_book("BTC/USDT", [[99.0, 1.0]], [[101.0, 1.0]], nonce=100)
        found.show_book("BTC/USDT:USDT", [[99.0, 1.0]], [[101.0, 1.0]], nonce=100)
        sequence = 100
        for width, bids, asks in diffs:
            assert not found.feed(json.dumps(spot_diff(sequence + 1, sequence + 1 + width, bids, asks))).is_fallback
            sequence += 1 + width
        for at, change in enumerate(changes):
            assert not found.feed(json.dumps(futures_diff(101 + at, ",".join(change)))).is_fallback
        assert found.books(found.fast) == found.stock_books()

    checked(differential, st.tuples(DIFFS, CHANGES), judge, examples=80)
