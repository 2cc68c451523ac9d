"""Lives of subscriptions: what ends them, what does not, and how the connector gets by without its hooks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import ccxt
import ccxt.pro
import pytest
from ccxt_support import Books, MovedClock, Rows, context, until
from small_binance import SmallBinance

from guard.model import Channel, Flag, Kind, Market, Status
from guard_ccxt import CcxtConnector
from guard_ccxt.connections.instance import made
from guard_ccxt.connections.tap import missing_names
from guard_ccxt.markets.cache import MarketCache
from guard_ccxt.options import read_options

if TYPE_CHECKING:
    from pathlib import Path

    from ccxt_support import FrameServer

AAA, BBB = Market("small", "AAA/USDT"), Market("small", "BBB/USDT")
TRADES, BOOK = "aaausdt@trade", "aaausdt@depth@100ms"


class Opened:
    """An open connector on a small server, and what it reported."""

    def __init__(self, server: FrameServer, *streams: str, **options: Any) -> None:
        clock = MovedClock()
        self.exchange = SmallBinance(server, clock)
        self.reports: list[str] = []
        given = context("small", self.exchange.options(**options), clock, reports=self.reports)
        self.connector = CcxtConnector(given._replace(streams=frozenset(streams)))
        self.rows = Rows()

    def stream(self, markets: dict[Market, int]) -> asyncio.Task[None]:
        return asyncio.create_task(self.connector.stream(markets, self.rows))

    @property
    def ccxt(self) -> Any:
        session = self.connector._session
        assert session is not None
        return session.fleet.shards[0].exchange if session.fleet.shards else session.fleet.prepare().exchange


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_call_that_ccxt_cancels_is_made_again(server: FrameServer) -> None:
    run = Opened(server, "trades")
    await run.connector.open()
    task = run.stream({AAA: 0})
    await run.exchange.until_subscribed(TRADES)
    await run.exchange.send_trade(1)
    await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 1)
    (client,) = run.ccxt.clients.values()
    del run.ccxt.clients[client.url]
    await client.close()
    await run.exchange.until_subscribed(TRADES, times=2)
    assert not task.done()
    await ended(task)
    await run.connector.close()


async def test_second_stream_on_one_connector_starts_afresh(server: FrameServer) -> None:
    run = Opened(server, "trades")
    await run.connector.open()
    first = run.stream({AAA: 0})
    await run.exchange.until_subscribed(TRADES)
    await ended(first)
    second = run.stream({AAA: 4, BBB: 5})
    await run.exchange.until_subscribed(TRADES, times=2)
    await run.exchange.until_subscribed("bbbusdt@trade")
    await run.exchange.send_trade(1)
    await run.exchange.send_trade(1, market_id="BBBUSDT")
    await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 2)
    assert {row.market for row in run.rows.of(Kind.TRADE)} == {4, 5}
    await ended(second)
    await run.connector.close()


async def test_refused_depth_falls_back_to_the_exchanges_own_and_is_told(server: FrameServer) -> None:
    run = Opened(server, "book", book_limit=77)
    await run.connector.open()
    stock = run.ccxt.watch_order_book

    async def picky(symbol: str, limit: int | None = None) -> Any:
        if limit is not None:
            raise ccxt.BadRequest("limit must be one of 5, 20")
        return await stock(symbol, limit)

    run.ccxt.watch_order_book = picky
    task = run.stream({AAA: 0})
    await run.rows.until(lambda rows: len(rows.of(Kind.LEVEL)) == 4)
    assert any("refuses a book depth of 77" in note for note in run.reports)
    await ended(task)
    await run.connector.close()


async def test_error_frame_that_fails_every_call_parks_nothing_it_does_not_name(server: FrameServer) -> None:
    run = Opened(server, "trades")
    await run.connector.open()
    task = run.stream({AAA: 0})
    await run.exchange.until_subscribed(TRADES)
    await run.exchange.send_trade(1)
    await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 1)
    (client,) = run.ccxt.clients.values()
    client.reject(ccxt.BadSymbol("another symbol is unknown"))
    client.subscriptions.clear()
    await run.exchange.until_subscribed(TRADES, times=2)
    await run.exchange.send_trade(2)
    await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 2)
    await ended(task)
    await run.connector.close()


async def test_without_its_hooks_the_connector_says_so_and_reads_by_plain_calls(
    server: FrameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guard_ccxt.connections.tap._CLIENT_NAMES", ("resolve", "gone_in_a_later_ccxt"))
    run = Opened(server, "trades", "book")
    await run.connector.open()
    task = run.stream({AAA: 0})
    await run.exchange.until_subscribed(TRADES, BOOK)
    await run.rows.until(lambda rows: len(rows.of(Kind.LEVEL)) == 4)
    for identity in (1, 2):
        await run.exchange.send_trade(identity)
        await run.rows.until(lambda rows, count=identity: len(rows.of(Kind.TRADE)) == count)
    await run.exchange.send_diff([["0.99", "12"]], [["1.01", "0"]])
    await run.rows.until(lambda rows: len(rows.of(Kind.LEVEL)) == 6)
    assert sorted(run.rows.statuses()) == [("LIVE", Channel.TRADES), ("LIVE", Channel.BOOK)]
    assert not Books(run.rows.rows).crossed
    assert any("gone_in_a_later_ccxt" in note for note in run.reports)
    assert run.connector.health().details["is_tapped"] is False
    await ended(task)
    await run.connector.close()


async def test_repair_that_takes_too_long_lets_live_trades_go_behind_a_gap(
    server: FrameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guard_ccxt.connections.judge._REPAIR_MAX_S", 0.2)
    run = Opened(server, "trades", repair_delay_s=4.0, stall_after_s=2.0)
    await run.connector.open()
    task = run.stream({AAA: 0})
    await run.exchange.until_subscribed(TRADES)
    await run.exchange.send_trade(1)
    await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 1)
    run.exchange.sockets[TRADES]._req.transport.abort()
    await run.exchange.until_subscribed(TRADES, times=2)
    await run.exchange.send_trade(3)
    await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 2)
    assert len(run.rows.of(Kind.GAP)) == 1
    await ended(task)
    await run.connector.close()


async def test_close_ends_streams_and_nothing_is_opened_again(server: FrameServer) -> None:
    run = Opened(server, "trades")
    await run.connector.open()
    task = run.stream({AAA: 0})
    await run.exchange.until_subscribed(TRADES)
    await run.connector.close()
    await until(task.done)
    dials = len(server.dials)
    await asyncio.sleep(0.2)
    assert len(server.dials) == dials
    assert run.connector.health().connections == {}


@pytest.mark.parametrize("name", ["bitget", "bybit", "gate", "htx", "kraken", "kucoin", "mexc", "hyperliquid"])
async def test_every_hook_is_there_on_the_classes_of_many_exchanges(name: str) -> None:
    exchange = made(name, read_options(name, {"options": {"defaultType": "spot"}, "has": {"fetchTickers": False}}))
    assert missing_names(exchange) == []
    assert exchange.options["defaultType"] == "spot"
    assert exchange.has["fetchTickers"] is False
    assert type(exchange) is getattr(ccxt.pro, name)


async def test_stream_that_is_deaf_to_what_the_ticker_shows_is_made_again(server: FrameServer) -> None:
    run = Opened(server, "trades", has={}, ticker_poll_s=0.2)
    await run.connector.open()
    run.ccxt.enableRateLimit = False
    task = run.stream({AAA: 0})
    await run.exchange.until_subscribed(TRADES)
    await run.exchange.send_trade(1, price=3.0)
    run.exchange.trade(2, price=1.0)  # the ticker says 1.0, and the stream never does
    await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 1)
    await run.rows.until(lambda rows: ("STALLED", Channel.TRADES) in rows.statuses())
    await run.exchange.until_subscribed(TRADES, times=2)
    assert any("the ticker moved" in note for note in run.reports)
    assert [(row.price, row.key) for row in run.rows.of(Kind.STATUS) if row.key >= Status.USD_RATE] == [
        (1.0, Status.USD_RATE),
        (2_500_000.0, Status.VOLUME_24H),
    ]
    await ended(task)
    await run.connector.close()


async def test_stream_that_missed_nothing_is_cleared_whatever_the_ticker_shows(server: FrameServer) -> None:
    run = Opened(server, "trades", has={}, ticker_poll_s=0.2)
    await run.connector.open()
    run.ccxt.enableRateLimit = False
    task = run.stream({AAA: 0})
    await run.exchange.until_subscribed(TRADES)
    await run.exchange.send_trade(1, price=3.0)  # the ticker says 1.0 and goes on to say so
    await run.rows.until(lambda rows: ("STALLED", Channel.TRADES) in rows.statuses())
    await run.rows.until(lambda rows: rows.statuses()[-1] == ("LIVE", Channel.TRADES))
    details = run.connector.health().details
    assert (details["stalls"], details["refuted"], details["resubscribed"]) == (1, 1, 0)
    assert run.exchange.subscribes.count(TRADES) == 1
    assert not run.rows.of(Kind.GAP)
    await ended(task)
    await run.connector.close()


async def test_start_without_rest_uses_the_last_good_markets_and_says_so(server: FrameServer, tmp_path: Path) -> None:
    for is_up in (True, False):
        run = Opened(server, "trades")
        run.connector = CcxtConnector(run.connector._context._replace(cache_folder=str(tmp_path)))
        if not is_up:
            del server.rest["/api/v3/exchangeInfo"]
        facts = await run.connector.open()
        assert {fact.market.symbol for fact in facts} == {"AAA/USDT", "BBB/USDT"}
        assert facts[0].tick == 0.01
        assert any("h ago are used" in note for note in run.reports) is not is_up
        task = run.stream({AAA: 0})
        await run.exchange.until_subscribed(TRADES)
        await run.exchange.send_trade(1)
        await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 1)
        await ended(task)
        await run.connector.close()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1, "kind": ["okx"], "saved_us": 0, "markets": []}'])
def test_damaged_or_foreign_cache_counts_as_none(tmp_path: Path, text: str) -> None:
    cache = MarketCache(str(tmp_path), "small", ["binance"])
    cache.write([{"symbol": "A/B"}], now_us=10)
    assert cache.read(now_us=20) == ([{"symbol": "A/B"}], 10)
    assert cache.read(now_us=40 * 86_400_000_000) is None
    (tmp_path / "ccxt-small.json").write_text(text)
    assert cache.read(now_us=20) is None


def test_cache_of_a_name_that_leaves_the_folder_is_not_kept(tmp_path: Path) -> None:
    cache = MarketCache(str(tmp_path / "inner"), "../x", ["binance"])
    cache.write([{}], now_us=1)
    assert list(tmp_path.rglob("*")) == []


async def test_book_is_shown_as_a_whole_when_asked_without_a_request_to_the_exchange(server: FrameServer) -> None:
    run = Opened(server, "book")
    await run.connector.open()
    run.connector.resync(AAA)
    task = run.stream({AAA: 0})
    await run.rows.until(lambda rows: len(rows.of(Kind.LEVEL)) == 4)
    await run.exchange.send_diff([["0.95", "3"]], [])
    await run.rows.until(lambda rows: len(rows.of(Kind.LEVEL)) == 5)
    run.connector.resync(AAA)
    run.connector.resync(BBB)
    shown = run.rows.of(Kind.LEVEL)[5:]
    assert all(row.flags & Flag.SNAPSHOT for row in shown)
    assert [bool(row.flags & Flag.LAST) for row in shown] == [False] * 4 + [True]
    assert {(row.side, row.price, row.amount) for row in run.rows.of(Kind.LEVEL)[:5]} == {
        (row.side, row.price, row.amount) for row in shown
    }
    await run.exchange.send_diff([["0.95", "0"]], [])
    await run.rows.until(lambda rows: len(rows.of(Kind.LEVEL)) == 11)
    assert not run.rows.of(Kind.LEVEL)[-1].flags & Flag.SNAPSHOT
    await ended(task)
    await run.connector.close()
