"""OKX's decoder against unmodified ccxt.pro and the generic tier, on recorded and on generated frames."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ccxt_support import CAPTURES, recorded_frames
from differential import NOW_MS, Differential, checked, contract, spot
from frames import numbers, spoiled, texts
from hypothesis import strategies as st

from guard.model import BUY, SELL, Kind

URL = "wss://ws.okx.com:8443/ws/v5/public"
MARKETS = [
    spot("BTC-USDT", "BTC/USDT"),
    contract("BTC-USDT-SWAP", "BTC/USDT:USDT", size=0.01),
    contract("UNI-USD-SWAP", "UNI/USD:UNI", size=10.0, is_inverse=True),
    contract("BTC-USD-220527", "BTC/USD:BTC-220527", size=100.0, is_inverse=True, market_type="future"),
]
IDS = [market["id"] for market in MARKETS]


def differential() -> Differential:
    return Differential("okx", MARKETS, URL)


def trade(market_id: str = "BTC-USDT", **changes: Any) -> dict[str, Any]:
    return {
        "instId": market_id,
        "tradeId": "130639474",
        "px": "42219.9",
        "sz": "0.12060306",
        "side": "buy",
        "ts": str(NOW_MS - 3),
        "count": "3",
        "source": "0",
        "seqId": 1234,
    } | changes


def trades(*data: dict[str, Any], market_id: str = "BTC-USDT", channel: str = "trades", **more: Any) -> dict[str, Any]:
    return {"arg": {"channel": channel, "instId": market_id}, "data": list(data), **more}


def diff(before: int, now: int, bids: list[Any], asks: list[Any], *, market_id: str = "BTC-USDT", **more: Any) -> dict[str, Any]:
    data = {
        "asks": [[*level, "0", "1"] for level in asks],
        "bids": [[*level, "0", "1"] for level in bids],
        "ts": str(NOW_MS - 1),
        "checksum": -855196043,
        "prevSeqId": before,
        "seqId": now,
    }
    return {"arg": {"channel": "books", "instId": market_id}, "action": "update", "data": [data | more]}


async def test_trades_of_all_kinds_of_markets_are_equal_and_none_goes_to_stock() -> None:
    async with differential() as found:
        frames = [
            trades(trade()),
            trades(trade(tradeId="2", side="sell"), trade(tradeId="3", px="1e-7")),
            trades(trade("BTC-USDT-SWAP", sz="3"), market_id="BTC-USDT-SWAP"),
            trades(trade("UNI-USD-SWAP", sz="5", px="8", side="sell"), market_id="UNI-USD-SWAP", channel="trades-all"),
        ]
        assert found.feed_all(map(json.dumps, frames)) == len(frames)
        rows = found.fast.sink.of(Kind.TRADE)
        assert [(row.market, row.side, row.amount) for row in rows[3:]] == [(1, BUY, 0.03), (2, SELL, 5 * 10.0 / 8)]


async def test_what_is_not_a_trade_goes_to_stock() -> None:
    async with differential() as found:
        others: list[Any] = [
            {"event": "subscribe", "arg": {"channel": "trades", "instId": "BTC-USDT"}, "connId": "a"},
            {"event": "error", "code": "60012", "msg": "no such channel", "connId": "a"},
            {"arg": {"channel": "tickers", "instId": "BTC-USDT"}, "data": []},
            trades(trade("UNI-USD-SWAP")),
            trades(trade("NO-BODY"), market_id="NO-BODY"),
            trades(trade(fillPx="1")),
            trades(trade(tradeId=None)),
            trades(trade(ts="")),
            trades(),
            trades(trade(), code="0"),
        ]
        assert found.feed_all([*map(json.dumps, others), "pong"]) == 0
        assert found.fast.counters.fallbacks == len(others) + 1


@pytest.mark.parametrize("spoilt", [{"instId": None}, {"instId": "BTC-USDT-SWAP"}, {"px": "x"}, {"sz": "NaN"}])
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_frame_with_one_row_of_no_market_or_another_or_no_number_is_left_to_stock(
    spoilt: dict[str, Any], place: int
) -> None:
    async with differential() as found:
        rows = [trade(tradeId="1"), trade(tradeId="2")]
        rows.insert(place, trade(tradeId="3") | spoilt)
        assert found.feed(json.dumps(trades(*rows))).is_fallback
        assert not found.feed(json.dumps(trades(trade(tradeId="4")))).is_fallback


async def test_a_frame_that_names_no_market_is_left_to_stock_and_leaves_nothing_behind() -> None:
    async with differential() as found:
        frame = trades(trade(tradeId="1"))
        del frame["arg"]["instId"]
        assert found.feed(json.dumps(frame)).is_fallback
        assert found.feed(json.dumps(trades(trade(tradeId="2"), market_id="NO-BODY"))).is_fallback
        assert not found.feed(json.dumps(trades(trade(tradeId="3")))).is_fallback


async def test_book_follows_its_sequence_and_a_hole_is_left_to_ccxt() -> None:
    async with differential() as found:
        found.subscribed("books:BTC/USDT")
        found.show_book("BTC/USDT", [[99.0, 1.0], [98.0, 2.0]], [[101.0, 1.0]], nonce=100)
        frames = [
            diff(100, 105, [["99", "0"]], [["101.5", "2"]]),
            diff(105, 105, [], []),  # nothing for a minute
            diff(105, 3, [["97", "1e-3"]], []),  # maintenance: the sequence begins anew
        ]
        assert found.feed_all(map(json.dumps, frames)) == len(frames)
        assert found.books(found.fast) == found.stock_books()
        hole = found.feed(json.dumps(diff(4, 5, [["96", "1"]], [])))
        assert hole.is_fallback
        assert hole.rejected == ["books:BTC/USDT"]


async def test_book_that_nobody_asked_for_is_left_to_ccxt() -> None:
    async with differential() as found:
        found.show_book("BTC/USDT", [[99.0, 1.0]], [[101.0, 1.0]], nonce=100)
        assert found.feed(json.dumps(diff(100, 101, [["98", "1"]], []))).is_fallback


async def test_snapshot_goes_to_stock_and_what_follows_to_the_decoder() -> None:
    async with differential() as found:
        found.subscribed("books:BTC/USDT:USDT")
        snapshot = diff(-1, 100, [["99", "5"]], [["100", "7"]], market_id="BTC-USDT-SWAP") | {"action": "snapshot"}
        assert found.feed(json.dumps(snapshot)).is_fallback
        assert not found.feed(json.dumps(diff(100, 101, [["98", "4"]], [], market_id="BTC-USDT-SWAP"))).is_fallback
        assert found.books(found.fast) == found.stock_books()
        assert found.books(found.fast)[1, BUY] == {99.0: 0.05, 98.0: 0.04}


@pytest.mark.skipif(not CAPTURES.exists(), reason="recorded frames are not here")
async def test_recorded_frames_are_equal() -> None:
    async with differential() as found:
        found.subscribed(*(f"books:{market['symbol']}" for market in MARKETS))
        frames = [frame for _, frame in recorded_frames("OKX")]
        for way in (found.generic, found.fast):
            way.clock.at_us = int((recorded_frames("OKX")[-1][0] + 1) * 1e6)
        taken = [not found.feed(frame).is_fallback for frame in frames]
        is_trade = ['"channel":"trades"' in frame and '"data"' in frame for frame in frames]
        assert sum(is_trade) > 40
        # Books of that time had no sequence ids and are ccxt's.
        assert taken == is_trade
        assert found.books(found.fast) == found.stock_books()


TRADES = st.builds(
    lambda market_id, data, channel: trades(*({**one, "instId": market_id} for one in data), market_id=market_id, channel=channel),
    st.sampled_from(IDS),
    st.lists(
        st.builds(
            trade,
            tradeId=st.integers(1, 10**12).map(str) | st.just("x-1"),
            px=texts(),
            sz=numbers(largest=10**6),
            side=st.sampled_from(("buy", "sell")),
            ts=st.integers(NOW_MS - 9, NOW_MS).map(str) | st.integers(NOW_MS - 9, NOW_MS),
        ),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from(("trades", "trades-all")),
)
LEVELS = st.lists(st.tuples(texts(largest=10**5), st.sampled_from(("0", "1.5", "2e-3", "7"))), max_size=4)
DIFFS = st.lists(st.tuples(st.integers(min_value=0, max_value=3), LEVELS, LEVELS), min_size=1, max_size=6)


def test_generated_and_spoilt_trades_are_equal() -> None:
    frames = st.lists(TRADES.flatmap(spoiled), min_size=1, max_size=6)
    checked(differential, frames, lambda found, frames: found.feed_all(frames) and None, examples=200)


def test_generated_books_are_equal() -> None:
    def judge(found: Differential, diffs: list[Any]) -> None:
        found.subscribed("books:UNI/USD:UNI")
        found.show_book("UNI/USD:UNI", [[99.0, 1.0]], [[101.0, 1.0]], nonce=100)
        before = 100
        for width, bids, asks in diffs:
            frame = diff(before, before + width, bids, asks, market_id="UNI-USD-SWAP")
            before += width
            assert not found.feed(json.dumps(frame)).is_fallback
        assert found.books(found.fast) == found.stock_books()

    checked(differential, DIFFS, judge, examples=80)
