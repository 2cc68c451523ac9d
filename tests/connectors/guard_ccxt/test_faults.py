"""What the connector says and does when a connection, a frame or a sequence breaks."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from ccxt_support import Books, MovedClock, Rows, context, until
from small_binance import SmallBinance

from guard.model import Channel, Flag, Kind, Market
from guard_ccxt import CcxtConnector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ccxt_support import FrameServer

AAA = Market("small", "AAA/USDT")
TRADES, BOOK = "aaausdt@trade", "aaausdt@depth@100ms"


class Running:
    """A connector that streams AAA/USDT as row 0 from a small server."""

    def __init__(self, server: FrameServer, streams: frozenset[str], **options: Any) -> None:
        clock = MovedClock()
        self.exchange = SmallBinance(server, clock)
        self.reports: list[str] = []
        given = context("small", self.exchange.options(**options), clock, reports=self.reports)
        self.connector = CcxtConnector(given._replace(streams=streams))
        self.rows = Rows()


@asynccontextmanager
async def running(server: FrameServer, *streams: str, refuse: int = 0, **options: Any) -> AsyncIterator[Running]:
    run = Running(server, frozenset(streams), **options)
    await run.connector.open()
    server.refuse_next = refuse
    task = asyncio.create_task(run.connector.stream({AAA: 0}, run.rows))
    try:
        yield run
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await run.connector.close()
        await run.connector.close()


async def test_bursts_on_one_symbol_arrive_whole_and_in_order(server: FrameServer) -> None:
    async with running(server, "trades") as run:
        await run.exchange.until_subscribed(TRADES)
        for identity in range(1, 5001):
            await run.exchange.send_trade(identity, 1.0 + identity / 100)
        await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) >= 5000)
        assert [row.key for row in run.rows.of(Kind.TRADE)] == list(range(1, 5001))
        assert run.rows.statuses() == [("LIVE", Channel.TRADES)]


async def test_book_comes_as_snapshot_then_as_what_changed(server: FrameServer) -> None:
    async with running(server, "book") as run:
        await run.exchange.until_subscribed(BOOK)
        await run.rows.until(lambda rows: len(rows.of(Kind.LEVEL)) == 4)
        await run.exchange.send_diff([["0.99", "12"], ["0.5", "0"]], [["1.01", "0"]])
        await run.exchange.send_diff([["0.99", "12"]], [])  # nothing changes: nothing is said
        await run.exchange.send_diff([], [["1.03", "5"]])
        await run.rows.until(lambda rows: len(rows.of(Kind.LEVEL)) == 7)
        levels = [(row.price, row.amount, row.side, row.flags) for row in run.rows.of(Kind.LEVEL)]
        snapshot, last = int(Flag.SNAPSHOT), int(Flag.LAST)
        assert levels == [
            (0.99, 10.0, 1, snapshot),
            (0.98, 20.0, 1, snapshot),
            (1.01, 11.0, -1, snapshot),
            (1.02, 21.0, -1, snapshot | last),
            (0.99, 12.0, 1, 0),
            (1.01, 0.0, -1, last),
            (1.03, 5.0, -1, last),
        ]
        assert run.connector.health().rejected == {}


async def test_dropped_connection_is_rebuilt_and_its_hole_filled_where_both_ends_are_known(server: FrameServer) -> None:
    async with running(server, "trades") as run:
        await run.exchange.until_subscribed(TRADES)
        await run.exchange.send_trade(1)
        await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 1)
        abort(run)
        run.exchange.trade(2)
        run.exchange.trade(3)
        await run.exchange.until_subscribed(TRADES, times=2)
        await run.exchange.send_trade(4)
        await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 4)
        assert [(row.key, row.flags) for row in run.rows.of(Kind.TRADE)] == [(1, 0), (2, 0), (3, 0), (4, 0)]
        assert run.rows.statuses() == [("LIVE", 1), ("LOST", 1), ("LIVE", 1)]
        health = run.connector.health()
        assert (health.gaps, health.reconnects, health.details["repaired"]) == (0, 1, 1)


async def test_hole_that_cannot_be_filled_stays_a_gap(server: FrameServer) -> None:
    async with running(server, "trades") as run:
        await run.exchange.until_subscribed(TRADES)
        await run.exchange.send_trade(1)
        await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 1)
        good_us = run.rows.rows[-1].at_us
        abort(run)
        run.exchange.past["AAAUSDT"].clear()  # the answer no longer reaches back
        run.exchange.trade(3)
        await run.exchange.until_subscribed(TRADES, times=2)
        await run.exchange.send_trade(4)
        await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 3)
        kinds = [(Kind(row.kind).name, row.key if row.kind != Kind.GAP else "", row.flags) for row in run.rows.rows]
        assert kinds == [
            ("STATUS", 1, 0),
            ("TRADE", 1, 0),
            ("STATUS", 2, 0),
            ("TRADE", 3, Flag.BACKFILL),
            ("GAP", "", 0),
            ("STATUS", 1, 0),
            ("TRADE", 4, 0),
        ]
        (gap,) = run.rows.of(Kind.GAP)
        assert gap.side == Channel.TRADES
        assert good_us <= gap.key <= gap.at_us
        assert run.connector.health().gaps == 1


async def test_dropped_connection_shows_the_book_anew_after_a_gap(server: FrameServer) -> None:
    async with running(server, "book") as run:
        await run.rows.until(lambda rows: len(rows.of(Kind.LEVEL)) == 4)
        abort(run)
        await run.exchange.until_subscribed(BOOK, times=2)
        await run.rows.until(lambda rows: len(rows.of(Kind.LEVEL)) == 8)
        after = [(Kind(row.kind).name, row.key if row.kind == Kind.STATUS else 0) for row in run.rows.rows[5:8]]
        assert after == [("STATUS", 2), ("GAP", 0), ("STATUS", 1)]
        assert all(row.flags & Flag.SNAPSHOT for row in run.rows.rows[8:])
        assert not Books(run.rows.rows).crossed


async def test_malformed_frames_are_counted_and_skipped(server: FrameServer) -> None:
    async with running(server, "trades") as run:
        await run.exchange.until_subscribed(TRADES)
        await run.exchange.send_trade(1)
        socket = run.exchange.sockets[TRADES]
        for frame in ('{"e": "trade", broken', '{"stream":"x","data":{"e":"trade","s":"AAAUSDT","T":{},"p":[]}}', '{"price": NaN}'):
            await socket.send_str(frame)
        await socket.send_bytes(b"\xff\xfe")
        await run.exchange.send_trade(2)
        await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 2)
        health = run.connector.health()
        assert health.bad_frames + sum(health.rejected.values()) >= 3
        assert health.reconnects == 0


@pytest.mark.parametrize(
    ("price", "amount", "reason"),
    [("-1", "2", "price_not_positive"), ("1", "0", "amount_not_positive"), ("1e300", "2", "price_out_of_range")],
)
async def test_trade_with_an_impossible_number_is_refused_by_reason(
    server: FrameServer, price: str, amount: str, reason: str
) -> None:
    async with running(server, "trades") as run:
        await run.exchange.until_subscribed(TRADES)
        await run.exchange.send(TRADES, run.exchange.trade(1) | {"p": price, "q": amount})
        await run.exchange.send_trade(2)
        await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 1)
        assert run.connector.health().rejected == {reason: 1}


async def test_too_many_bad_frames_in_a_row_rebuild_the_connection(server: FrameServer) -> None:
    async with running(server, "trades", bad_frames_max=5) as run:
        await run.exchange.until_subscribed(TRADES)
        await run.exchange.send_trade(1)
        for _ in range(5):
            await run.exchange.sockets[TRADES].send_str("{broken")
        await run.exchange.until_subscribed(TRADES, times=2)
        assert run.connector.health().bad_frames == 5


async def test_silent_server_is_judged_stalled_and_left(server: FrameServer) -> None:
    async with running(server, "trades", stall_after_s=0.4) as run:
        await run.exchange.until_subscribed(TRADES)
        await run.exchange.send_trade(1)
        await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 1)
        pause(run)
        await run.rows.until(lambda rows: ("STALLED", 1) in rows.statuses())
        await run.exchange.until_subscribed(TRADES, times=2)
        await run.exchange.send_trade(2)
        await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 2)
        assert run.rows.statuses() == [("LIVE", 1), ("STALLED", 1), ("LIVE", 1)]
        assert any("silent" in note for note in run.reports)


async def test_quiet_market_on_a_connection_that_pongs_is_not_stalled(server: FrameServer) -> None:
    async with running(server, "trades", stall_after_s=0.4) as run:
        await run.exchange.until_subscribed(TRADES)
        await run.rows.until(lambda rows: rows.statuses() == [("LIVE", 1)])
        await asyncio.sleep(1.0)
        assert run.rows.statuses() == [("LIVE", 1)]
        assert server.dials[1:] == []


async def test_busy_stream_that_falls_silent_is_stalled_though_its_connection_pongs(
    server: FrameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A machine that does something else for a second makes pauses that no exchange made.
    monkeypatch.setattr("guard_ccxt.connections.judge._BUSY_SHARE", 0.5)
    async with running(server, "trades", stall_after_s=2.0) as run:
        await run.exchange.until_subscribed(TRADES)
        for number in range(1, 1101):
            await run.exchange.send_trade(number)
        await run.rows.until(lambda rows: ("STALLED", 1) in rows.statuses())
        await run.exchange.until_subscribed(TRADES, times=2)
        assert any("sent no data" in note for note in run.reports)


async def test_server_that_is_silent_from_the_start_is_left_for_a_new_connection(server: FrameServer) -> None:
    async with running(server, "trades", stall_after_s=0.4) as run:
        run.exchange.is_mute = True
        await until(lambda: len(server.dials) == 2)
        run.exchange.is_mute = False
        await run.exchange.until_subscribed(TRADES)
        await run.rows.until(lambda rows: rows.statuses() == [("LIVE", 1)])
        assert run.rows.of(Kind.GAP) == []


async def test_trades_that_no_one_acknowledges_are_asked_for_twice_and_taken_for_live(server: FrameServer) -> None:
    async with running(server, "trades", stall_after_s=0.4, first_event_s=0.5) as run:
        run.exchange.gives_acks = False
        await run.exchange.until_subscribed(TRADES, times=2)
        await run.rows.until(lambda rows: rows.statuses() == [("LIVE", 1)])
        assert len(server.dials) == 1
        assert any("does not answer requests" in note for note in run.reports)


async def test_sequence_gap_resubscribes_the_book_alone(server: FrameServer) -> None:
    async with running(server, "book", "trades") as run:
        await run.exchange.until_subscribed(BOOK, TRADES)
        await run.rows.until(lambda rows: len(rows.of(Kind.LEVEL)) == 4)
        await run.exchange.send_diff([["0.99", "12"]], [])
        await run.exchange.send_diff([["0.97", "7"]], [], skip=5)
        await run.rows.until(lambda rows: len(rows.of(Kind.LEVEL)) == 9)
        await run.exchange.send_diff([["0.97", "7"]], [])
        await run.rows.until(lambda rows: len(rows.of(Kind.LEVEL)) == 10)
        (gap,) = run.rows.of(Kind.GAP)
        assert gap.side == Channel.BOOK
        assert [status for status in run.rows.statuses() if status[1] == Channel.BOOK] == [("LIVE", 2), ("LOST", 2), ("LIVE", 2)]
        assert run.exchange.subscribes.count(TRADES) == 1
        assert not Books(run.rows.rows).crossed


async def test_refused_handshake_waits_as_long_as_it_was_told(server: FrameServer) -> None:
    async with running(server, "trades", refuse=1) as run:
        await run.exchange.until_subscribed(TRADES)
        await run.exchange.send_trade(1)
        await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 1)
        assert server.dials[1] - server.dials[0] >= 0.9
        assert run.rows.of(Kind.GAP) == []


async def test_unacknowledged_book_is_subscribed_again_after_the_first_event_deadline(server: FrameServer) -> None:
    async with running(server, "book", first_event_s=0.4) as run:
        run.exchange.gives_acks = False
        await run.exchange.until_subscribed(BOOK)
        await run.exchange.until_subscribed(BOOK, times=2)
        run.exchange.gives_acks = True
        await run.rows.until(lambda rows: len(rows.of(Kind.LEVEL)) == 4)
        assert run.rows.statuses() == [("LIVE", 2)]
        assert any("nothing came within" in note for note in run.reports)


async def test_rate_limited_snapshot_pauses_rest_for_retry_after(server: FrameServer) -> None:
    async with running(server, "book") as run:
        run.exchange.depth_answers.append((429, {"Retry-After": "1"}, '{"code": -1003, "msg": "too many"}'))
        start = asyncio.get_running_loop().time()
        await run.rows.until(lambda rows: len(rows.of(Kind.LEVEL)) == 4)
        assert asyncio.get_running_loop().time() - start >= 0.9
        assert server.times_asked("/api/v3/depth") == 2


async def test_unknown_symbol_is_parked_and_told_once(server: FrameServer) -> None:
    run = Running(server, frozenset({"trades"}))
    await run.connector.open()
    task = asyncio.create_task(run.connector.stream({Market("small", "NOPE/USDT"): 0, AAA: 1}, run.rows))
    await run.exchange.until_subscribed(TRADES)
    await run.exchange.send_trade(1)
    await run.rows.until(lambda rows: len(rows.of(Kind.TRADE, 1)) == 1)
    assert run.rows.statuses(0) == [("LOST", 1)]
    assert [note for note in run.reports if "NOPE/USDT" in note and "parked" in note] != []
    assert run.connector.health().details["subscriptions"] == {"parked": 1, "live": 1}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await run.connector.close()


def abort(run: Running) -> None:
    """Drop all sockets without a close frame."""
    for socket in run.exchange.sockets.values():
        socket._req.transport.abort()


def pause(run: Running) -> None:
    """Stop reading the sockets: nothing is answered any more, not even a ping."""
    for socket in run.exchange.sockets.values():
        socket._req.transport.pause_reading()
