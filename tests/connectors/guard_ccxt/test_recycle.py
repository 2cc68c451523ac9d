"""Connections renewed before the exchange cuts them, and what may go wrong meanwhile."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from ccxt_support import Books, until
from test_lives import AAA, BBB, BOOK, TRADES, Opened, ended

from guard.model import Channel, Flag, Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ccxt_support import FrameServer

BBB_TRADES = "bbbusdt@trade"


@pytest.fixture(autouse=True)
def _short_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard_ccxt.connections.handover._OVERLAP_S", 0.3)
    monkeypatch.setattr("guard_ccxt.connections.handover._TICK_S", 0.05)
    monkeypatch.setattr("guard_ccxt.connections.recycle._LATE_S", 0.3)
    monkeypatch.setattr("guard_ccxt.connections.handover._DEAF_S", 2.0)
    monkeypatch.setattr("guard_ccxt.connections.recycle._TICK_MAX_S", 0.1)
    monkeypatch.setattr("guard_ccxt.connections.judge._SETTLE_US", 200_000)
    monkeypatch.setattr("guard_ccxt.connections.judge._TICK_MAX_S", 0.1)


class Traded:
    """A stream of trades that goes on whatever happens, each told from the others by its id."""

    def __init__(self, run: Opened, *market_ids: str) -> None:
        self.run = run
        self.sent = 0
        self.market_ids = market_ids or ("AAAUSDT",)
        self.task = asyncio.create_task(self._go_on())

    async def _go_on(self) -> None:
        while True:
            self.sent += 1
            for market_id in self.market_ids:
                await self.run.exchange.send_trade(self.sent, 1.0 + self.sent % 7 / 100, market_id=market_id)
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def streaming(server: FrameServer, *streams: str, **options: Any) -> AsyncIterator[tuple[Opened, asyncio.Task[None]]]:
    run = Opened(server, *streams, dials_per_minute=1000, **options)
    await run.connector.open()
    task = run.stream({AAA: 0})
    await run.exchange.until_subscribed(*([TRADES] if "trades" in streams else []), *([BOOK] if "book" in streams else []))
    try:
        yield run, task
    finally:
        await ended(task)
        await run.connector.close()


def recycled(run: Opened) -> int:
    return int(run.connector.health().details["recycled"])


async def test_recycle_under_way_loses_and_doubles_nothing_and_says_nothing(server: FrameServer) -> None:
    async with streaming(server, "trades", "book", recycle_after_s=0.5) as (run, _):
        traded = Traded(run)
        await run.rows.until(lambda rows: len(rows.of(Kind.LEVEL)) == 4)
        await until(lambda: recycled(run) >= 2)
        await traded.stop()
        await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) >= traded.sent)
        assert [row.key for row in run.rows.of(Kind.TRADE)] == list(range(1, traded.sent + 1))
        assert not any(row.flags for row in run.rows.of(Kind.TRADE))
        assert sorted(run.rows.statuses()) == [("LIVE", Channel.TRADES), ("LIVE", Channel.BOOK)]
        assert run.rows.of(Kind.GAP) == []
        assert len([row for row in run.rows.of(Kind.LEVEL) if row.flags & Flag.SNAPSHOT and row.flags & Flag.LAST]) >= 3
        assert not Books(run.rows.rows).crossed
        assert len(run.connector.health().details["shards"]) == 1
        assert run.connector.health().rejected.keys() <= {"duplicate"}


async def test_book_follows_the_fresh_connection_after_a_recycle(server: FrameServer) -> None:
    async with streaming(server, "book", recycle_after_s=0.5) as (run, _):
        await until(lambda: recycled(run) == 1)
        await until(lambda: len(run.exchange.listeners(BOOK)) == 1)
        await run.exchange.send_diff([["0.97", "7"]], [])
        await run.rows.until(lambda rows: rows.of(Kind.LEVEL)[-1].price == 0.97)
        assert not run.rows.of(Kind.LEVEL)[-1].flags & Flag.SNAPSHOT
        assert not Books(run.rows.rows).crossed


async def test_quiet_market_is_taken_over_too_and_the_old_sockets_are_closed(server: FrameServer) -> None:
    async with streaming(server, "trades", recycle_after_s=0.5) as (run, _):
        await until(lambda: recycled(run) == 1)
        await until(lambda: sum(not socket.closed for socket in server.sockets) == 1)
        await run.exchange.send_trade(1)
        await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 1)
        assert run.rows.statuses() == [("LIVE", Channel.TRADES)]


async def test_announced_end_of_a_connection_renews_it_at_once(server: FrameServer) -> None:
    async with streaming(server, "trades", recycle_after_s=0) as (run, _):
        await run.rows.until(lambda rows: rows.statuses() == [("LIVE", Channel.TRADES)])
        await run.exchange.sockets[TRADES].send_str('{"e": "serverShutdown", "E": 1770123456789}')
        await until(lambda: recycled(run) == 1)
        assert run.rows.statuses() == [("LIVE", Channel.TRADES)]
        assert any("announces" in note for note in run.reports)


async def test_old_connection_that_dies_in_the_overlap_costs_no_gap(server: FrameServer) -> None:
    async with streaming(server, "trades", recycle_after_s=0.5) as (run, _):
        traded = Traded(run)
        await until(lambda: len(run.exchange.listeners(TRADES)) == 2)
        await asyncio.sleep(0.2)
        run.exchange.listeners(TRADES)[0]._req.transport.abort()
        await until(lambda: recycled(run) == 1)
        await traded.stop()
        await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) >= traded.sent)
        assert [row.key for row in run.rows.of(Kind.TRADE)] == list(range(1, traded.sent + 1))
        assert run.rows.of(Kind.GAP) == []


async def test_fresh_connection_that_dies_in_the_overlap_is_made_again_and_nobody_hears_of_it(server: FrameServer) -> None:
    async with streaming(server, "trades", recycle_after_s=0.5) as (run, _):
        traded = Traded(run)
        await until(lambda: len(run.exchange.listeners(TRADES)) == 2)
        run.exchange.listeners(TRADES)[1]._req.transport.abort()
        await until(lambda: recycled(run) == 1)
        await traded.stop()
        await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) >= traded.sent)
        assert [row.key for row in run.rows.of(Kind.TRADE)] == list(range(1, traded.sent + 1))
        assert run.rows.statuses() == [("LIVE", Channel.TRADES)]


async def test_both_connections_that_die_in_the_overlap_leave_a_hole_that_is_filled_or_marked(server: FrameServer) -> None:
    async with streaming(server, "trades", recycle_after_s=0.5) as (run, _):
        traded = Traded(run)
        await until(lambda: len(run.exchange.listeners(TRADES)) == 2)
        for socket in run.exchange.listeners(TRADES):
            socket._req.transport.abort()
        await until(lambda: recycled(run) == 1)
        await traded.stop()
        await run.rows.until(lambda rows: rows.of(Kind.TRADE)[-1].key == traded.sent)
        keys = [row.key for row in run.rows.of(Kind.TRADE)]
        assert len(keys) == len(set(keys))
        assert keys == list(range(1, traded.sent + 1)) or run.rows.of(Kind.GAP)
        assert ("LOST", Channel.TRADES) in run.rows.statuses()
        assert run.rows.statuses()[-1] == ("LIVE", Channel.TRADES)


async def test_exchange_that_refuses_the_second_connection_keeps_the_first_and_is_tried_again(server: FrameServer) -> None:
    async with streaming(server, "trades", recycle_after_s=0.5, first_event_s=0.2) as (run, _):
        await run.rows.until(lambda rows: rows.statuses() == [("LIVE", Channel.TRADES)])
        server.refuse_next = 10_000
        traded = Traded(run)
        await until(lambda: any("could not be renewed" in note for note in run.reports))
        await until(lambda: len(run.connector.health().details["shards"]) == 1)
        server.refuse_next = 0
        await until(lambda: recycled(run) == 1, seconds=12)
        await traded.stop()
        await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) >= traded.sent)
        assert [row.key for row in run.rows.of(Kind.TRADE)] == list(range(1, traded.sent + 1))
        assert run.rows.statuses() == [("LIVE", Channel.TRADES)]
        assert sum("could not be renewed" in note for note in run.reports) == 1


async def test_rate_limit_at_a_recycle_leaves_the_book_on_the_old_connection_until_it_is_over(server: FrameServer) -> None:
    async with streaming(server, "book", recycle_after_s=0.5, first_event_s=0.5) as (run, _):
        await run.rows.until(lambda rows: len(rows.of(Kind.LEVEL)) == 4)
        run.exchange.depth_answers = [(429, {"Retry-After": "1"}, '{"code": -1003, "msg": "Too many requests"}')]
        await until(lambda: len(run.exchange.listeners(BOOK)) == 2)
        await run.exchange.send_diff([["0.97", "7"]], [])
        await run.rows.until(lambda rows: rows.of(Kind.LEVEL)[-1].price == 0.97)
        await until(lambda: recycled(run) == 1, seconds=12)
        assert run.rows.statuses() == [("LIVE", Channel.BOOK)]
        assert run.rows.of(Kind.GAP) == []


async def test_markets_that_come_and_go_in_the_middle_of_a_recycle(server: FrameServer) -> None:
    async with streaming(server, "trades", recycle_after_s=0.5) as (run, _):
        run.connector.follow({AAA: 0, BBB: 1})
        await run.exchange.until_subscribed(BBB_TRADES)
        await until(lambda: len(run.exchange.listeners(TRADES)) == 2)
        run.connector.follow({AAA: 0})
        run.connector.follow({AAA: 0, BBB: 5})
        traded = Traded(run, "AAAUSDT", "BBBUSDT")
        await until(lambda: recycled(run) == 1)
        await traded.stop()
        await run.rows.until(lambda rows: any(row.key == traded.sent for row in rows.of(Kind.TRADE, 5)))
        assert [row.key for row in run.rows.of(Kind.TRADE, 0)] == list(range(1, traded.sent + 1))
        assert run.rows.of(Kind.TRADE, 1) == []
        seen = [row.key for row in run.rows.of(Kind.TRADE, 5)]
        assert seen == list(range(seen[0], traded.sent + 1))
        assert run.connector.health().details["subscriptions"] == {"live": 2}


async def test_stream_that_ends_in_the_middle_of_a_recycle_leaves_no_task_and_no_socket(server: FrameServer) -> None:
    before = asyncio.all_tasks()
    async with streaming(server, "trades", "book", recycle_after_s=0.5) as (run, _):
        await until(lambda: len(run.exchange.listeners(TRADES)) == 2)
    await until(lambda: all(socket.closed for socket in server.sockets))
    await until(lambda: not [task for task in asyncio.all_tasks() - before if "guard_ccxt" in repr(task)])


async def test_trades_without_ids_are_told_apart_by_what_they_are(server: FrameServer) -> None:
    async with streaming(server, "trades", recycle_after_s=0.5) as (run, _):
        sent = 0
        while not recycled(run):
            sent += 1
            trade = run.exchange.trade(sent, 1.0 + sent % 3 / 100)
            del trade["t"]
            await run.exchange.send(TRADES, trade)
            await asyncio.sleep(0.005)
        await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) >= sent)
        assert [row.price for row in run.rows.of(Kind.TRADE)] == [1.0 + number % 3 / 100 for number in range(1, sent + 1)]
        assert {row.key for row in run.rows.of(Kind.TRADE)} == {0}


async def test_fresh_connection_that_is_behind_doubles_nothing(server: FrameServer) -> None:
    async with streaming(server, "trades", recycle_after_s=0.5) as (run, _):
        late: list[str] = []
        sent = 0
        (old,) = run.exchange.listeners(TRADES)
        while not recycled(run):
            sent += 1
            text = json.dumps({"stream": TRADES, "data": run.exchange.trade(sent)})
            fresh = [socket for socket in run.exchange.listeners(TRADES) if socket is not old]
            if not old.closed:
                await old.send_str(text)
            if fresh:
                late.append(text)
                if len(late) > 20:  # so far is it behind
                    await fresh[0].send_str(late.pop(0))
            await asyncio.sleep(0.005)
        for text in late:
            await fresh[0].send_str(text)
        await run.rows.until(lambda rows: rows.of(Kind.TRADE)[-1].key == sent)
        assert [row.key for row in run.rows.of(Kind.TRADE)] == list(range(1, sent + 1))
        assert run.rows.of(Kind.GAP) == []


async def test_old_connection_that_answers_no_ping_is_replaced_only_after_data_came_for_long(server: FrameServer) -> None:
    server.gives_pongs = False
    async with streaming(server, "trades", recycle_after_s=0.5) as (run, _):
        traded = Traded(run)
        await until(lambda: len(run.exchange.listeners(TRADES)) == 2)
        began = asyncio.get_running_loop().time()
        await until(lambda: recycled(run) == 1)
        assert asyncio.get_running_loop().time() - began >= 1.9
        await traded.stop()
        await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) >= traded.sent)
        assert [row.key for row in run.rows.of(Kind.TRADE)] == list(range(1, traded.sent + 1))
        assert run.rows.statuses() == [("LIVE", Channel.TRADES)]
