"""Markets that come and go while a stream runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ccxt_support import until
from test_lives import AAA, BBB, BOOK, TRADES, Opened, ended

from guard.model import Channel, Kind

if TYPE_CHECKING:
    import pytest
    from ccxt_support import FrameServer

BBB_TRADES, BBB_BOOK = "bbbusdt@trade", "bbbusdt@depth@100ms"


async def test_market_that_comes_is_subscribed_trades_first_and_the_others_go_on(server: FrameServer) -> None:
    run = Opened(server, "trades", "book")
    await run.connector.open()
    task = run.stream({AAA: 0})
    await run.exchange.until_subscribed(TRADES, BOOK)
    run.connector.follow({AAA: 0, BBB: 1})
    await run.exchange.until_subscribed(BBB_TRADES, BBB_BOOK)
    assert run.exchange.subscribes.index(BBB_TRADES) < run.exchange.subscribes.index(BBB_BOOK)
    await run.exchange.send_trade(1)
    await run.exchange.send_trade(1, market_id="BBBUSDT")
    await run.rows.until(lambda rows: {row.market for row in rows.of(Kind.TRADE)} == {0, 1})
    await run.rows.until(lambda rows: {row.market for row in rows.of(Kind.LEVEL)} == {0, 1})
    assert run.exchange.subscribes.count(TRADES) == 1
    await ended(task)
    await run.connector.close()


async def test_market_let_go_is_unsubscribed_lost_once_and_leaves_nothing_behind(server: FrameServer) -> None:
    run = Opened(server, "trades", "book")
    await run.connector.open()
    task = run.stream({AAA: 0, BBB: 1})
    await run.exchange.until_subscribed(TRADES, BOOK, BBB_TRADES, BBB_BOOK)
    await run.rows.until(lambda rows: len(rows.of(Kind.LEVEL)) == 8)
    tasks = asyncio.all_tasks()
    run.connector.follow({AAA: 0})
    run.connector.follow({AAA: 0})
    await until(lambda: set(run.connector.health().details["subscriptions"]) <= {"live", "waiting"})
    await run.exchange.send_trade(1)
    await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 1)
    lost = [status for status in run.rows.statuses(1) if status[0] == "LOST"]
    assert sorted(lost) == [("LOST", Channel.TRADES), ("LOST", Channel.BOOK)]
    assert sorted(run.rows.statuses(0)) == [("LIVE", Channel.TRADES), ("LIVE", Channel.BOOK)]
    assert sum(run.connector.health().details["subscriptions"].values()) == 2
    await until(lambda: len(asyncio.all_tasks()) < len(tasks))
    assert not any("BBB" in name for client in run.ccxt.clients.values() for name in (*client.futures, *client.subscriptions))
    assert not any("BBB" in name for name in run.ccxt.options["streamBySubscriptionsHash"])
    await ended(task)
    await run.connector.close()


async def test_market_that_comes_back_at_once_streams_again_after_its_gap(server: FrameServer) -> None:
    run = Opened(server, "trades")
    await run.connector.open()
    task = run.stream({AAA: 0, BBB: 1})
    await run.exchange.until_subscribed(TRADES, BBB_TRADES)
    await run.exchange.send_trade(1, market_id="BBBUSDT")
    await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 1)
    for markets in ({AAA: 0}, {AAA: 0, BBB: 1}, {AAA: 0}, {AAA: 0, BBB: 7}):
        run.connector.follow(markets)
    await run.exchange.until_subscribed(BBB_TRADES, times=2)
    await run.exchange.send_trade(2, market_id="BBBUSDT")
    await run.rows.until(lambda rows: [row.market for row in rows.of(Kind.TRADE)] == [1, 7])
    await ended(task)
    await run.connector.close()


async def test_exchange_that_cannot_unsubscribe_has_its_data_dropped_and_can_be_followed_again(server: FrameServer) -> None:
    run = Opened(server, "trades", has={"unWatchTrades": False, "fetchTickers": False})
    await run.connector.open()
    run.ccxt.options["streamLimits"]["spot"] = 1  # both on one socket, which stays
    task = run.stream({AAA: 0, BBB: 1})
    await run.exchange.until_subscribed(TRADES, BBB_TRADES)
    run.connector.follow({AAA: 0})
    await run.exchange.send_trade(1, market_id="BBBUSDT")
    await run.exchange.send_trade(1)
    await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 1)
    run.connector.follow({AAA: 0, BBB: 3})
    await run.exchange.send_trade(2, market_id="BBBUSDT")
    await run.rows.until(lambda rows: [row.market for row in rows.of(Kind.TRADE)] == [0, 3])
    assert run.exchange.unsubscribes == []
    assert run.rows.statuses(3)[0] == ("LIVE", Channel.TRADES)
    await ended(task)
    await run.connector.close()


async def test_exchange_that_never_acknowledges_the_end_is_left_all_the_same(
    server: FrameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guard_ccxt.connections.leaving._ANSWER_S", 0.2)
    run = Opened(server, "trades")
    await run.connector.open()
    run.ccxt.options["streamLimits"]["spot"] = 1
    task = run.stream({AAA: 0, BBB: 1})
    await run.exchange.until_subscribed(TRADES, BBB_TRADES)
    run.exchange.gives_acks = False
    run.connector.follow({AAA: 0})
    await until(lambda: any("does not unsubscribe" in note for note in run.reports))
    await run.exchange.send_trade(1)
    await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 1)
    await ended(task)
    await run.connector.close()


async def test_connection_that_nobody_needs_any_more_is_closed(server: FrameServer) -> None:
    run = Opened(server, "trades")
    await run.connector.open()
    task = run.stream({AAA: 0, BBB: 1})
    await run.exchange.until_subscribed(TRADES, BBB_TRADES)
    await until(lambda: len(server.sockets) == 2)
    run.connector.follow({AAA: 0})
    await until(lambda: sum(not socket.closed for socket in server.sockets) == 1)
    await until(lambda: list(run.connector.health().connections.values()) == ["live"])
    await ended(task)
    await run.connector.close()


async def test_nothing_is_followed_before_a_stream_and_after_its_end(server: FrameServer) -> None:
    run = Opened(server, "trades")
    run.connector.follow({AAA: 0})
    await run.connector.open()
    run.connector.follow({BBB: 0})
    task = run.stream({AAA: 0})
    await run.exchange.until_subscribed(TRADES)
    await ended(task)
    run.connector.follow({AAA: 0, BBB: 1})
    await asyncio.sleep(0.1)
    assert run.exchange.subscribes == [TRADES]
    await run.connector.close()
    run.connector.follow({AAA: 0})
