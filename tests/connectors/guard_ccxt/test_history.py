from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from ccxt_support import MovedClock, Rows, context
from small_binance import SmallBinance

from guard.errors import Disconnected
from guard.model import Channel, Flag, Kind, Market, MarketClass, Status
from guard_ccxt import CcxtConnector

if TYPE_CHECKING:
    from ccxt_support import FrameServer

MINUTE_MS = 60_000
AAA = Market("small", "AAA/USDT")


def a_past(exchange: SmallBinance, *, candles: int) -> int:
    """Candles up to the minute that runs, and three trades within the last two minutes; returns now in ms."""
    now_ms = exchange.clock.now_us() // 1000
    minute = now_ms // MINUTE_MS * MINUTE_MS
    for back in range(candles, -1, -1):
        exchange.candles.append([minute - back * MINUTE_MS, "1.0", "1.2", "0.9", "1.1", "8.0", 0, "8.8", 4, "4", "4.4", "0"])
    for identity, age_ms in ((1, 100_000), (2, 61_000), (3, 500)):
        exchange.past["AAAUSDT"].append({"a": identity, "p": "1.1", "q": "2", "T": now_ms - age_ms, "m": True})
    return now_ms


async def history(server: FrameServer, *, candles: int, since_s: int, **changes: Any) -> tuple[Rows, SmallBinance, int]:
    clock = MovedClock()
    exchange = SmallBinance(server, clock)
    now_ms = a_past(exchange, candles=candles)
    connector, rows = CcxtConnector(context("small", exchange.options(**changes), clock)), Rows()
    try:
        await connector.open()
        await connector.history(AAA, 7, rows, since_us=(now_ms - since_s * 1000) * 1000)
    finally:
        await connector.close()
    return rows, exchange, now_ms


async def test_history_is_candles_then_trades_without_a_seam_counted_twice(server: FrameServer) -> None:
    rows, _, now_ms = await history(server, candles=30, since_s=20 * 60)
    trades = rows.of(Kind.TRADE)
    real = [row for row in trades if row.key]
    made = [row for row in trades if not row.key]
    assert all(row.flags & Flag.BACKFILL for row in trades)
    assert [row.at_us for row in trades] == sorted(row.at_us for row in trades)
    assert trades[0].at_us >= (now_ms - 20 * MINUTE_MS) * 1000
    assert made[-1].at_us < real[0].at_us
    # whole minutes come from candles up to the first that trades cover; the older trade is in its candle
    assert [row.key for row in real] == [2, 3] or [row.key for row in real] == [3]
    minutes = {row.at_us // 60_000_000 for row in made}
    assert sum(row.amount for row in made) == pytest.approx(8.0 * len(minutes))
    assert minutes == set(range(min(minutes), real[0].at_us // 60_000_000)) or real[0].key == 3


async def test_history_ends_with_warm(server: FrameServer) -> None:
    rows, _, _ = await history(server, candles=3, since_s=300)
    last = rows.rows[-1]
    assert (last.kind, last.side, last.key, last.market) == (Kind.STATUS, Channel.ALL, Status.WARM, 7)


async def test_history_pages_back_to_since(server: FrameServer) -> None:
    rows, _, now_ms = await history(server, candles=2500, since_s=1400 * 60, rest_concurrent=1)
    assert server.times_asked("/api/v3/klines") == 2
    assert rows.rows[0].at_us // 1000 - (now_ms - 1400 * MINUTE_MS) <= MINUTE_MS


async def test_what_is_older_than_a_day_comes_by_the_hour_in_the_shape_of_known_hours(server: FrameServer) -> None:
    clock = MovedClock()
    exchange = SmallBinance(server, clock)
    now_ms = a_past(exchange, candles=1500)
    minutes = exchange.candles
    for candle in minutes:  # only one minute in ten trades
        if candle[0] // MINUTE_MS % 10:
            candle[5] = "0"
    hour_ms = 60 * MINUTE_MS
    hours = [[at, "2.0", "2.4", "1.8", "2.2", "96.0", 0, "0", 4, "4", "4.4", "0"] for at in range(0, now_ms, hour_ms)[-50:]]
    server.rest["/api/v3/klines"] = lambda query: (
        200,
        {},
        json.dumps([one for one in (hours if query["interval"] == "1h" else minutes) if one[0] >= int(query["startTime"])][:1000]),
    )
    connector, rows = CcxtConnector(context("small", exchange.options(), clock)), Rows()
    try:
        await connector.open()
        await connector.history(AAA, 7, rows, since_us=(now_ms - 40 * hour_ms) * 1000)
    finally:
        await connector.close()
    made = [row for row in rows.of(Kind.TRADE) if not row.key]
    assert [row.at_us for row in made] == sorted(row.at_us for row in made)
    first_hour = made[0].at_us // (hour_ms * 1000)
    for hour in range(first_hour, first_hour + 15):
        inside = [row for row in made if row.at_us // (hour_ms * 1000) == hour]
        assert {row.at_us // 60_000_000 % 10 for row in inside} == {0}  # nine minutes in ten are empty, as in those that are known
        assert sum(row.amount for row in inside) == pytest.approx(96.0)
        assert inside[-1].price == pytest.approx(2.2)
    assert 39 <= now_ms / hour_ms - first_hour <= 41
    assert sum(query.get("interval") == "1h" for path, query in server.asked if path.endswith("klines")) == 1


@pytest.mark.parametrize("status", [429, 418])
async def test_a_page_that_is_refused_is_asked_for_again_after_the_pause(server: FrameServer, status: int) -> None:
    clock = MovedClock()
    exchange = SmallBinance(server, clock)
    now_ms = a_past(exchange, candles=1430)
    stock, refusals = server.rest["/api/v3/klines"], [200, status]
    server.rest["/api/v3/klines"] = lambda query: (
        (status, {"Retry-After": "0.2"}, "{}") if refusals and refusals.pop(0) == status else stock(query)
    )
    connector, rows = CcxtConnector(context("small", exchange.options(), clock)), Rows()
    try:
        await connector.open()
        await connector.history(AAA, 7, rows, since_us=(now_ms - 1400 * MINUTE_MS) * 1000)
        details = connector.health().details
    finally:
        await connector.close()
    minutes = {row.at_us // 60_000_000 for row in rows.of(Kind.TRADE)}
    assert max(minutes) - min(minutes) + 1 == len(minutes)  # no hole between the pages
    assert details is not None
    assert (details["rest"]["refusals"], details["rest"]["requests"]["history"]) == (1, 4)


async def test_history_of_an_exchange_that_answers_nothing_is_unavailable_and_writes_nothing(server: FrameServer) -> None:
    clock = MovedClock()
    exchange = SmallBinance(server, clock)
    connector, rows = CcxtConnector(context("small", exchange.options(), clock)), Rows()
    try:
        await connector.open()
        del server.rest["/api/v3/klines"], server.rest["/api/v3/aggTrades"]
        with pytest.raises(Disconnected):
            await connector.history(AAA, 0, rows, since_us=clock.now_us() - 10**9)
    finally:
        await connector.close()
    assert rows.rows == []


async def test_page_size_that_is_refused_falls_back_to_the_exchanges_own(server: FrameServer) -> None:
    clock = MovedClock()
    exchange = SmallBinance(server, clock)
    a_past(exchange, candles=30)
    stock = server.rest["/api/v3/klines"]
    server.rest["/api/v3/klines"] = lambda query: (
        (400, {}, '{"code": -1100, "msg": "limit"}') if query["limit"] == "1000" else stock(query)
    )
    connector, rows = CcxtConnector(context("small", exchange.options(), clock)), Rows()
    try:
        await connector.open()
        for _ in range(2):
            await connector.history(AAA, 0, rows, since_us=clock.now_us() - 20 * 60_000_000)
    finally:
        await connector.close()
    assert len(rows.of(Kind.TRADE)) > 100
    assert server.times_asked("/api/v3/klines") == 3  # the refusal is remembered


async def test_open_gives_facts_of_every_market(server: FrameServer) -> None:
    clock = MovedClock()
    connector = CcxtConnector(context("small", SmallBinance(server, clock).options(has={}), clock))
    try:
        facts = {fact.market.symbol: fact for fact in await connector.open()}
    finally:
        await connector.close()
    assert set(facts) == {"AAA/USDT", "BBB/USDT"}
    aaa = facts["AAA/USDT"]
    assert (aaa.market_class, aaa.tick, aaa.lot, aaa.usd_rate, aaa.volume_24h_usd) == (
        MarketClass.SPOT,
        0.01,
        0.1,
        1.0,
        2_500_000.0,
    )
    assert aaa.streams == {"trades", "book"}
    assert facts["BBB/USDT"].volume_24h_usd is None


async def test_open_of_a_server_that_refuses_is_disconnected_and_may_be_tried_again(server: FrameServer) -> None:
    clock = MovedClock()
    exchange = SmallBinance(server, clock)
    working = server.rest.pop("/api/v3/exchangeInfo")
    connector = CcxtConnector(context("small", exchange.options(), clock))
    try:
        with pytest.raises(Disconnected, match="loading the markets of small"):
            await connector.open()
        server.rest["/api/v3/exchangeInfo"] = working
        assert len(await connector.open()) == 2
    finally:
        await connector.close()
    with pytest.raises(Disconnected):
        await connector.open()


async def test_a_glance_costs_one_request_and_is_left_out_of_the_rest(server: FrameServer) -> None:
    clock = MovedClock()
    exchange = SmallBinance(server, clock)
    now_ms = a_past(exchange, candles=120)
    connector, glanced, rest = CcxtConnector(context("small", exchange.options(), clock)), Rows(), Rows()
    try:
        await connector.open()
        await connector.glance(AAA, 7, glanced)
        assert server.times_asked("/api/v3/klines") == 1
        assert server.times_asked("/api/v3/aggTrades") == 0
        await connector.history(AAA, 7, rest, since_us=(now_ms - 100 * MINUTE_MS) * 1000)
    finally:
        await connector.close()
    minutes, older = ({row.at_us // 60_000_000 for row in rows.of(Kind.TRADE)} for rows in (glanced, rest))
    assert len(minutes) == 20
    assert max(older) == min(minutes) - 1  # no hole, and nothing twice
    assert len(older) in (79, 80)
    assert glanced.rows[-1].key == rest.rows[-1].key == Status.WARM
