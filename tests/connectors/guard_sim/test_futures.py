"""An unmodified ccxt.pro.binanceusdm over the embedded exchange: what a bot needs that trades contracts on paper."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import ccxt.pro
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sim_support import Running

PAIR = "MOON/USDT:USDT"
HOUR_MS = 3_600_000


@pytest.fixture
async def client(running: Running) -> AsyncIterator[Any]:
    rest, websocket = running.rest, running.websocket
    api = {"fapiPublic": f"{rest}/fapi/v1", "ws": {"linear": websocket.rpartition("/")[0] + "/ws"}}
    client = ccxt.pro.binanceusdm({"urls": {"api": api}, "enableRateLimit": False})
    yield client
    await client.close()


async def test_each_coin_is_a_perpetual_with_its_steps(client: Any) -> None:
    markets = await client.load_markets()
    assert len(markets) == 16
    moon = markets[PAIR]
    assert (moon["type"], moon["linear"], moon["settle"], moon["contractSize"], moon["expiry"]) == ("swap", True, "USDT", 1.0, None)
    assert (moon["precision"]["price"], moon["precision"]["amount"], moon["limits"]["cost"]["min"]) == (1e-7, 1.0, 1.0)


async def test_books_candles_and_tickers_are_those_of_the_spot_market(client: Any, running: Running) -> None:
    coin = running.exchange.market.by_symbol["MOON/USDT"]
    book = await client.fetch_order_book(PAIR, 5)
    assert book["bids"][0][0] < book["asks"][0][0]
    candles = await client.fetch_ohlcv(PAIR, "1m")
    marks = await client.fetch_mark_ohlcv(PAIR, "1h", limit=3)
    assert len(candles) > 100
    assert len(marks) == 3
    assert all(at % HOUR_MS == 0 for at, *_ in marks)
    assert marks[-1][4] == pytest.approx(coin.last_tick / coin.coin.ticks_per_usdt, rel=0.05)
    assert set(await client.fetch_bids_asks()) == set(await client.fetch_tickers()) == set(client.markets)


async def test_funding_is_paid_every_eight_hours(client: Any) -> None:
    now_ms = client.milliseconds()
    rates = await client.fetch_funding_rate_history(PAIR, since=now_ms - 24 * HOUR_MS)
    times = [rate["timestamp"] for rate in rates]
    assert len(times) == 3
    assert all(at % (8 * HOUR_MS) == 0 and now_ms - 24 * HOUR_MS <= at <= now_ms for at in times)
    assert {rate["fundingRate"] for rate in rates} == {0.0001}
    now = await client.fetch_funding_rate(PAIR)
    assert 0 < now["fundingTimestamp"] - now_ms <= 8 * HOUR_MS
    assert now["markPrice"] == pytest.approx((await client.fetch_ticker(PAIR))["last"], rel=0.01)
    assert len(await client.fetch_funding_rates()) == 16
    assert {each["interval"] for each in (await client.fetch_funding_intervals()).values()} == {"8h"}


async def test_a_limit_cuts_the_rates_at_the_oldest_end_without_a_start(client: Any) -> None:
    newest = await client.fetch_funding_rate_history(PAIR, limit=2)
    assert len(newest) == 2
    assert client.milliseconds() - newest[-1]["timestamp"] < 8 * HOUR_MS


async def test_trades_stream_on_the_path_where_ccxt_looks_for_contracts(client: Any) -> None:
    async with asyncio.timeout(15.0):
        trades = await client.watch_trades("BTC/USDT:USDT")
    assert trades[-1]["symbol"] == "BTC/USDT:USDT"


async def test_contracts_and_spot_have_a_budget_each(client: Any, running: Running) -> None:
    await client.load_markets()
    for _ in range(3):
        await client.fetch_order_book(PAIR)
    spot = ccxt.pro.binance({"urls": {"api": {"public": f"{running.rest}/api/v3"}}, "options": {"fetchCurrencies": False}})
    try:
        await spot.publicGetPing()
        assert int(spot.last_response_headers["X-MBX-USED-WEIGHT-1M"]) == 1
    finally:
        await spot.close()
    assert int(client.last_response_headers["X-MBX-USED-WEIGHT-1M"]) >= 35
