"""New listings, special treatment and ages, found while streams run: over real sockets."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from ccxt_support import FrameServer, MovedClock, Rows, context, until
from small_binance import SYMBOLS, SmallBinance, _market, _ticker

from guard.errors import Unavailable
from guard.model import Kind, Market
from guard_ccxt import CcxtConnector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DAY_MS = 86_400_000


class Listing(SmallBinance):
    """Its markets are what the test says, and how often they were asked for is counted."""

    def __init__(self, server: FrameServer, clock: MovedClock) -> None:
        super().__init__(server, clock)
        self.symbols: dict[str, dict[str, Any]] = {market_id: _market(market_id, parts) for market_id, parts in SYMBOLS.items()}
        self.tickers = {"AAAUSDT": "2500000.0"}
        self.asked = 0
        server.rest["/api/v3/exchangeInfo"] = self._info
        server.rest["/api/v3/ticker/24hr"] = lambda _: (200, {}, json.dumps([_ticker(*each) for each in self.tickers.items()]))

    def _info(self, _: object) -> tuple[int, dict[str, str], str]:
        self.asked += 1
        return 200, {}, json.dumps({"symbols": list(self.symbols.values())})

    def list_market(self, base: str) -> None:
        market_id = f"{base}USDT"
        self.symbols[market_id] = _market(market_id, (base, "USDT"))
        self.past[market_id] = []
        self.tickers[market_id] = "1000000.0"


class Clock(MovedClock):
    """Runs, and may be set ahead."""

    ahead_us = 0

    def monotonic_us(self) -> int:
        return super().monotonic_us() + self.ahead_us


@asynccontextmanager
async def streaming(tmp_path: Path, **more: Any) -> AsyncIterator[tuple[CcxtConnector, Listing, Rows, Clock]]:
    clock = Clock()
    server = FrameServer()
    await server.start()
    listing = Listing(server, clock)
    options = listing.options(has={"fetchTickers": True}, ticker_poll_s=0.05, options={"rateLimit": 1}, **more)
    connector = CcxtConnector(context("x", options, clock)._replace(cache_folder=str(tmp_path)))
    try:
        yield connector, listing, Rows(), clock
    finally:
        await connector.close()
        await server.stop()


def by_symbol(facts: Any) -> dict[str, Any]:
    return {each.market.symbol: each for each in facts}


@pytest.mark.parametrize("is_streaming", [False, True])
async def test_a_ticker_of_an_unknown_market_makes_the_list_be_read_and_the_new_market_streams(
    tmp_path: Path, *, is_streaming: bool
) -> None:
    async with streaming(tmp_path) as (connector, listing, rows, clock):
        await connector.open()
        market = {Market("x", "AAA/USDT"): 0}
        task = asyncio.create_task(connector.stream(market, rows)) if is_streaming else None
        await asyncio.sleep(0.2)
        listing.list_market("NEW")
        assert "NEW/USDT" not in by_symbol(await connector.markets())
        clock.ahead_us += 301_000_000
        if task is None:
            assert listing.asked == 1
            return
        await until(lambda: "NEWUSDT" in connector._session._offer.tickers or "NEW/USDT" in connector._session._offer.tickers)  # type: ignore[union-attr] - it is open
        facts = by_symbol(await connector.markets())
        assert (listing.asked, sorted(facts["NEW/USDT"].tags)) == (2, ["new"])
        connector.follow({**market, facts["NEW/USDT"].market: 1})
        await listing.until_subscribed("newusdt@trade")
        await listing.send_trade(1, 1.0, market_id="NEWUSDT")
        await rows.until(lambda found: bool(found.of(Kind.TRADE, 1)))
        task.cancel()


async def test_an_hour_later_the_list_is_read_again_and_a_halt_is_seen(tmp_path: Path) -> None:
    async with streaming(tmp_path) as (connector, listing, _, clock):
        facts = by_symbol(await connector.open())
        assert (facts["AAA/USDT"].tags, facts["AAA/USDT"].listing_risk) == (frozenset(), 0.0)
        listing.symbols["AAAUSDT"]["status"] = "BREAK"
        assert by_symbol(await connector.markets())["AAA/USDT"].tags == frozenset()
        clock.ahead_us += 3_601_000_000
        halted = by_symbol(await connector.markets())["AAA/USDT"]
        assert (halted.tags, halted.listing_risk) == (frozenset({"halted"}), 0.5)
        await connector.markets()
        assert listing.asked == 2


async def test_the_age_of_a_watched_market_is_asked_for_once_and_kept_for_the_next_start(tmp_path: Path) -> None:
    async with streaming(tmp_path) as (connector, listing, rows, clock):
        await connector.open()
        first_ms = clock.now_us() // 1000 - 400 * DAY_MS
        listing.candles = [[first_ms + day * DAY_MS, "1", "1", "1", "1", "1", 0, "1", 1, "1", "1", "0"] for day in range(400)]
        task = asyncio.create_task(connector.stream({Market("x", "AAA/USDT"): 0}, rows))
        await listing.until_subscribed("aaausdt@trade")
        facts = by_symbol(await connector.markets())
        assert (facts["AAA/USDT"].listed_us, facts["BBB/USDT"].listed_us) == (first_ms * 1000, None)
        task.cancel()
    async with streaming(tmp_path) as (connector, _, _, _):
        assert by_symbol(await connector.open())["AAA/USDT"].listed_us == first_ms * 1000


async def test_a_list_that_cannot_be_had_is_an_error_and_is_asked_for_again_in_five_minutes(tmp_path: Path) -> None:
    async with streaming(tmp_path) as (connector, listing, _, clock):
        await connector.open()
        good = listing.server.rest["/api/v3/exchangeInfo"]
        listing.server.rest["/api/v3/exchangeInfo"] = lambda _: (500, {}, "oops")
        clock.ahead_us += 3_601_000_000
        with pytest.raises(Unavailable):
            await connector.markets()
        assert len(await connector.markets()) == 2
        listing.server.rest["/api/v3/exchangeInfo"] = good
        listing.symbols["AAAUSDT"]["status"] = "BREAK"
        clock.ahead_us += 301_000_000
        assert by_symbol(await connector.markets())["AAA/USDT"].tags == {"halted"}
