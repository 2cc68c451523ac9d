"""Frames taken in the socket's own callback: order, what is left to the task, the end; and a reader without it. Real sockets."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from ccxt_support import until
from test_faults import TRADES, running

from guard.model import Kind
from guard_ccxt.connections import direct as direct_module
from guard_ccxt.connections.direct import Direct

if TYPE_CHECKING:
    from aiohttp import web
    from ccxt_support import FrameServer
    from test_faults import Running

    from guard_ccxt.connections.pump import Connection

TIERS = pytest.mark.parametrize("tier", ["auto", "generic"])
WAYS = pytest.mark.parametrize("way", ["direct", "awaited"], indirect=True)


def connection_of(run: Running) -> Connection:
    return next(iter(run.connector._session.connections()))  # type: ignore[union-attr]


def data_received(run: Running) -> Any:
    return connection_of(run).client.connection._conn.protocol.data_received


@pytest.fixture
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "awaited":

        def other_inside(*_: Any) -> None:
            raise AttributeError("_payload")

        monkeypatch.setattr(direct_module.Direct, "__init__", other_inside)
    return str(request.param)


@TIERS
@WAYS
async def test_a_flood_with_pings_and_bad_frames_in_it_arrives_whole_and_in_order(server: FrameServer, tier: str, way: str) -> None:
    async with running(server, "trades", tier=tier, bad_frames_max=50) as run:
        await run.exchange.until_subscribed(TRADES)
        await run.exchange.send_trade(1)
        await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 1)
        assert isinstance(getattr(data_received(run), "__self__", None), Direct) is (way == "direct")
        socket = run.exchange.sockets[TRADES]
        for identity in range(2, 2002):
            await socket.send_str(json.dumps({"stream": TRADES, "data": run.exchange.trade(identity)}))
            if identity % 300 == 0:
                await socket.ping(b"%d" % identity)
            if identity % 500 == 0:
                await socket.send_str("{broken")
        await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) >= 2001)
        assert [row.key for row in run.rows.of(Kind.TRADE)] == list(range(1, 2002))
        assert run.connector.health().bad_frames == 4
        assert connection_of(run).received_us == 0


@WAYS
async def test_each_kind_of_end_makes_a_new_connection(server: FrameServer, way: str) -> None:
    async with running(server, "trades") as run:
        ends = (_abort, _close, _break_protocol)
        for times, end in enumerate(ends, start=1):
            await run.exchange.until_subscribed(TRADES, times=times)
            await run.exchange.send_trade(times)
            await run.rows.until(lambda rows, seen=times: any(row.key == seen for row in rows.of(Kind.TRADE)))
            assert isinstance(getattr(data_received(run), "__self__", None), Direct) is (way == "direct")
            await end(run.exchange.sockets[TRADES])
        await run.exchange.until_subscribed(TRADES, times=len(ends) + 1)


async def test_a_connection_that_ccxt_itself_closes_ends_at_once_though_the_peer_says_nothing(server: FrameServer) -> None:
    async with running(server, "trades") as run:
        await run.exchange.until_subscribed(TRADES)
        await run.exchange.send_trade(1)
        await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 1)
        connection = connection_of(run)
        transport = run.exchange.sockets[TRADES]._req.transport  # type: ignore[union-attr]
        transport.pause_reading()  # type: ignore[union-attr]
        closing = asyncio.create_task(connection.client.close())
        await until(lambda: not connection.tasks)
        transport.abort()  # type: ignore[union-attr]
        await closing


async def _abort(socket: web.WebSocketResponse) -> None:
    socket._req.transport.abort()  # type: ignore[union-attr]


async def _close(socket: web.WebSocketResponse) -> None:
    await socket.close(code=1001)


async def _break_protocol(socket: web.WebSocketResponse) -> None:
    # A text frame that is no UTF-8.
    socket._req.transport.write(b"\x81\x02\xff\xfe")  # type: ignore[union-attr]
