"""Streams split over shards, and what is done to a pace."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from ccxt_support import Books, StillClock, until
from test_lives import AAA, BBB, BOOK, TRADES, Opened, ended

from guard.errors import ConfigurationError
from guard.model import Channel, Kind
from guard_ccxt.connections.instance import made, sibling, spread
from guard_ccxt.connections.limits import Limits, Window, limits_of
from guard_ccxt.connections.pace import Pace
from guard_ccxt.options import read_options

if TYPE_CHECKING:
    from ccxt_support import FrameServer

BBB_TRADES, BBB_BOOK = "bbbusdt@trade", "bbbusdt@depth@100ms"


async def test_streams_beyond_the_limit_of_one_instance_go_to_another_with_the_same_market_table(server: FrameServer) -> None:
    run = Opened(server, "trades", "book", streams_max=2)
    await run.connector.open()
    asked = server.times_asked("/api/v3/exchangeInfo")
    task = run.stream({AAA: 0, BBB: 1})
    await run.exchange.until_subscribed(TRADES, BOOK, BBB_TRADES, BBB_BOOK)
    await until(lambda: run.connector.health().details["subscriptions"] == {"live": 4})
    session = run.connector._session
    assert session is not None
    first, second = session.fleet.shards
    assert {symbol for _, symbol in first.tap.subscriptions} == {"AAA/USDT"}
    assert {symbol for _, symbol in second.tap.subscriptions} == {"BBB/USDT"}
    assert first.exchange.markets is second.exchange.markets is session.exchange.markets
    assert first.exchange.markets_by_id is session.exchange.markets_by_id
    assert server.times_asked("/api/v3/exchangeInfo") == asked
    assert [shard["streams"] for shard in run.connector.health().details["shards"]] == [2, 2]
    run.connector.follow({BBB: 1})
    await until(lambda: len(session.fleet.shards) == 1)
    await run.exchange.send_trade(1, market_id="BBBUSDT")
    await run.rows.until(lambda rows: [row.market for row in rows.of(Kind.TRADE)] == [1])
    run.connector.follow({BBB: 1, AAA: 2})
    await run.rows.until(lambda rows: ("LIVE", Channel.BOOK) in rows.statuses(2))
    assert len(session.fleet.shards) == 2
    await ended(task)
    await run.connector.close()
    await until(lambda: all(socket.closed for socket in server.sockets))


async def test_market_that_is_listed_later_is_known_to_shards_that_run(server: FrameServer) -> None:
    run = Opened(server, "trades")
    await run.connector.open()
    task = run.stream({AAA: 0})
    await run.exchange.until_subscribed(TRADES)
    session = run.connector._session
    assert session is not None
    await session.exchange.load_markets(True)  # noqa: FBT003  # ccxt's own way to say reload
    session.fleet.share()
    assert session.fleet.shards[0].exchange.markets is session.exchange.markets
    await ended(task)
    await run.connector.close()


async def test_without_its_hooks_the_connector_is_renewed_by_plain_calls_too(
    server: FrameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guard_ccxt.connections.tap._CLIENT_NAMES", ("resolve", "gone_in_a_later_ccxt"))
    monkeypatch.setattr("guard_ccxt.connections.handover._OVERLAP_S", 0.4)
    monkeypatch.setattr("guard_ccxt.connections.handover._TICK_S", 0.05)
    run = Opened(server, "trades", "book", recycle_after_s=1.0)
    await run.connector.open()
    task = run.stream({AAA: 0})
    await run.exchange.until_subscribed(TRADES, BOOK)
    sent = 0
    while run.connector.health().details["recycled"] < 1:
        sent += 1
        await run.exchange.send_trade(sent)
        await run.exchange.send_diff([["0.97", str(sent)]], [])
        await asyncio.sleep(0.05)
    sent += 1
    await run.exchange.send_trade(sent)
    await run.rows.until(lambda rows: rows.of(Kind.TRADE)[-1].key == sent)
    keys = [row.key for row in run.rows.of(Kind.TRADE)]
    assert len(keys) == len(set(keys))
    assert not Books(run.rows.rows).crossed
    assert any("gone_in_a_later_ccxt" in note for note in run.reports)
    await ended(task)
    await run.connector.close()


async def test_rest_of_a_shard_is_done_by_the_one_instance_that_counts_it(server: FrameServer) -> None:
    run = Opened(server, "book")
    await run.connector.open()
    task = run.stream({AAA: 0})
    await run.rows.until(lambda rows: len(rows.of(Kind.LEVEL)) == 4)
    session = run.connector._session
    assert session is not None
    (shard,) = session.fleet.shards
    assert "/api/v3/depth" in session.exchange.last_request_url or server.times_asked("/api/v3/depth") == 1
    assert session.exchange.last_response_headers
    assert shard.exchange.last_response_headers is None
    await ended(task)
    await run.connector.close()


async def test_dials_of_all_shards_keep_one_pace(server: FrameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard_ccxt.connections.fleet.limits_of", lambda _: Limits(2, (Window(1, 0.5),), (), 1))
    run = Opened(server, "trades", "book")
    await run.connector.open()
    task = run.stream({AAA: 0, BBB: 1})
    await run.exchange.until_subscribed(TRADES, BOOK, BBB_TRADES, BBB_BOOK)
    assert len(server.dials) == 2
    assert server.dials[1] - server.dials[0] >= 0.45
    await ended(task)
    await run.connector.close()


async def test_connections_that_wait_to_be_dialled_are_not_given_up_and_take_one_turn_each(
    server: FrameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guard_ccxt.connections.fleet.limits_of", lambda _: Limits(100, (Window(1, 0.7),), (), 10))
    monkeypatch.setattr("guard_ccxt.connections.judge._SETTLE_US", 100_000)
    run = Opened(server, "trades", "book", first_event_s=0.4)
    await run.connector.open()
    task = run.stream({AAA: 0, BBB: 1})
    await until(lambda: run.connector.health().details["subscriptions"] == {"live": 4})
    assert len(server.dials) == 4
    assert run.reports == []
    await ended(task)
    await run.connector.close()


async def test_stream_that_ends_while_connections_wait_to_be_dialled_leaves_no_task(
    server: FrameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guard_ccxt.connections.fleet.limits_of", lambda _: Limits(100, (Window(1, 60.0),), (), 10))
    before = asyncio.all_tasks()
    run = Opened(server, "trades", "book")
    await run.connector.open()
    task = run.stream({AAA: 0, BBB: 1})
    await run.exchange.until_subscribed(TRADES)
    await ended(task)
    await run.connector.close()
    await until(lambda: not [one for one in asyncio.all_tasks() - before if "guard_ccxt" in repr(one)])
    assert len(server.dials) == 1


async def test_requests_of_one_connection_keep_their_pace_and_no_deadline_runs_before_they_are_sent(
    server: FrameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guard_ccxt.connections.fleet.limits_of", lambda _: Limits(100, (), (Window(1, 0.4),), 1))
    monkeypatch.setattr("guard_ccxt.connections.judge._SETTLE_US", 100_000)
    run = Opened(server, "trades", "book", first_event_s=0.4, has={"fetchTickers": False})
    await run.connector.open()
    task = run.stream({AAA: 0, BBB: 1})
    await until(lambda: run.connector.health().details["subscriptions"] == {"live": 4})
    assert sorted(run.exchange.subscribes) == sorted([TRADES, BOOK, BBB_TRADES, BBB_BOOK])
    assert len(server.dials) == 1
    assert run.reports == []
    await ended(task)
    await run.connector.close()


async def test_pace_holds_every_window() -> None:
    clock = StillClock()
    pace = Pace((Window(2, 1.0), Window(3, 10.0)), clock)
    passed = []
    for _ in range(5):
        await pace.turn()
        passed.append(round(clock.monotonic_us() / 1e6, 3))
    assert passed == [0.0, 0.0, 1.0, 10.0, 10.0]


async def test_pace_lets_those_who_gave_up_go() -> None:
    clock = StillClock()
    pace = Pace((Window(1, 5.0),), clock)
    await pace.turn()
    waiting = asyncio.create_task(pace.turn())
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await pace.turn()
    assert clock.monotonic_us() == 5_000_000


def test_limits_of_an_exchange_can_be_set() -> None:
    assert limits_of(read_options("kucoin", {})).streams < 300
    assert limits_of(read_options("okx", {})).messages[0].most < 480
    given = limits_of(read_options("okx", {"streams_max": 7, "dials_per_minute": 3}))
    assert (given.streams, given.dials) == (7, (Window(3, 60.0),))
    assert limits_of(read_options("lbank", {})).streams == 200
    with pytest.raises(ConfigurationError, match="recycle_after_s"):
        read_options("okx", {"recycle_after_s": 0.1})


async def test_binance_spreads_its_streams_over_few_sockets_unless_told_otherwise() -> None:
    options = read_options("binance", {})
    limits = limits_of(options)
    exchange = sibling(made("binance", options), "binance", options, limits)
    found = []
    for streams in (1, 200, 201, 400, 80, 5000):
        spread(exchange, options, limits, streams)
        (sockets,) = set(exchange.options["streamLimits"].values())
        found.append(sockets)
    assert found == [4, 4, 5, 8, 8, 10]
    options = read_options("binance", {"options": {"streamLimits": {"spot": 3}}})
    exchange = sibling(made("binance", options), "binance", options, limits)
    spread(exchange, options, limits, 500)
    assert exchange.options["streamLimits"]["spot"] == 3


async def test_streams_that_come_one_by_one_all_find_a_socket_within_what_binance_allows() -> None:
    options = read_options("binance", {})
    limits = limits_of(options)
    exchange = sibling(made("binance", options), "binance", options, limits)
    for streams in range(1, limits.streams + 1):
        spread(exchange, options, limits, streams)
        exchange.stream("spot", f"multipleTrades::{streams}")
    counts = exchange.options["numSubscriptionsByStream"]
    assert sum(counts.values()) == limits.streams
    assert len(counts) == limits.sockets
    assert max(counts.values()) <= 500  # of 1,024
