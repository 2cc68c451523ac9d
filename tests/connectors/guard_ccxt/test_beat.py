"""Busy sockets read together: when that begins and ends, and that nothing is lost, late or unseen meanwhile. Real sockets."""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.base_protocol import BaseProtocol
from ccxt_support import until
from test_faults import TRADES, running

from guard.model import Kind
from guard_ccxt.connections.beat import PERIOD_S, Beat, Socket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ccxt_support import FrameServer
    from test_faults import Running

    from guard_ccxt.connections.pump import Connection

_MS = 1000
_QUIET_BEATS = 26


class Line(BaseProtocol):
    """The reading end of a loopback connection, which tells a beat of each arrival as of a clock that the test moves."""

    def __init__(self, beat: Beat) -> None:
        super().__init__(asyncio.get_running_loop())
        self._upgraded = True
        self.beat = beat
        self.got = b""
        self.now_us = 0
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.socket = Socket(self)

    def data_received(self, data: bytes) -> None:
        self.got += data
        self.beat.heard(self.socket, len(data), self.now_us)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.is_lost = True
        self.beat.leave(self.socket)
        super().connection_lost(exc)

    @property
    def is_held(self) -> bool:
        return self.socket in self.beat._quiet


@asynccontextmanager
async def lines(number: int, beat: Beat, *, tls: bool = False) -> AsyncIterator[list[tuple[Line, asyncio.StreamWriter]]]:
    writers: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    sides: list[ssl.SSLContext | None] = [None, None]
    if tls:
        sides = [ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)]
        for side in sides:
            assert side is not None
            side.check_hostname, side.verify_mode = False, ssl.CERT_NONE
            side.maximum_version = ssl.TLSVersion.TLSv1_2
            side.set_ciphers("aNULL:@SECLEVEL=0")  # needs no certificate
    server = await asyncio.start_server(lambda _, writer: writers.put_nowait(writer), "127.0.0.1", 0, ssl=sides[0])
    port = server.sockets[0].getsockname()[1]
    pairs = []
    for _ in range(number):
        _, line = await asyncio.get_running_loop().create_connection(lambda: Line(beat), "127.0.0.1", port, ssl=sides[1])
        pairs.append((line, await writers.get()))
    try:
        yield pairs
    finally:
        for line, writer in pairs:
            writer.transport.abort()
            await until(lambda line=line: line.is_lost)  # type: ignore[misc]  # a default for the loop
        server.close()
        await server.wait_closed()


async def arrives(line: Line, writer: asyncio.StreamWriter, data: bytes) -> None:
    goal = len(line.got) + len(data)
    writer.write(data)
    await until(lambda: len(line.got) >= goal)


async def make_dense(line: Line, writer: asyncio.StreamWriter) -> None:
    # 20 frames in 20 ms of the moved clock.
    for data in (b"x" * 20, b"y" * 20):
        line.now_us += 20 * _MS
        await arrives(line, writer, data)


@pytest.mark.parametrize("tls", [False, True])
async def test_a_held_socket_is_read_within_a_beat_and_misses_nothing(*, tls: bool) -> None:
    beat = Beat()
    async with lines(1, beat, tls=tls) as [(line, writer)]:
        await make_dense(line, writer)
        assert line.is_held
        assert not line.socket._transport.is_reading()
        sent = line.got
        for number in range(15):
            assert beat._timer is not None
            assert beat._timer.when() - asyncio.get_running_loop().time() <= PERIOD_S
            data = b"%d," % number * 1000
            sent += data
            line.now_us += _MS
            await arrives(line, writer, data)
        assert line.got == sent
        assert line.is_held


@pytest.mark.parametrize("gap_us", [2_001, 3_000, 100_000])
async def test_frames_that_are_rare_never_wait(gap_us: int) -> None:
    beat = Beat()
    async with lines(1, beat) as [(line, _)]:
        line.now_us = 10**9
        for _ in range(300):
            line.now_us += gap_us
            line.data_received(b"x")
            assert not line.is_held
        assert beat._timer is None


async def test_a_burst_after_silence_never_waits() -> None:
    async with lines(1, Beat()) as [(line, _)]:
        for _ in range(5):
            line.now_us += 1_000 * _MS
            line.data_received(b"x" * 250)
            line.now_us += _MS
            line.data_received(b"x" * 250)
            assert not line.is_held


async def test_dense_frames_on_many_sockets_count_together() -> None:
    async with lines(4, Beat()) as pairs:
        for number in range(60):
            line = pairs[number % 4][0]
            line.now_us = (number + 100) * _MS
            line.data_received(b"x")
        assert all(line.is_held for line, _ in pairs)


async def test_a_socket_that_falls_silent_goes_back_to_the_loop_while_others_go_on() -> None:
    beat = Beat()
    async with lines(2, beat) as [(busy, _), (silent, writer)]:
        await make_dense(silent, writer)
        busy.now_us = silent.now_us
        silent.data_received(b"x")
        for _ in range(_QUIET_BEATS):
            assert silent.is_held
            busy.now_us += 4 * _MS
            busy.data_received(b"xxxx")
            beat._read()
        assert busy.is_held
        assert not silent.is_held
        assert silent.socket._transport.is_reading()


async def test_all_go_back_to_the_loop_once_frames_are_rare_and_the_timer_ends() -> None:
    beat = Beat()
    async with lines(1, beat) as [(line, writer)]:
        await make_dense(line, writer)
        line.now_us += 1_000 * _MS
        line.data_received(b"x")
        await until(lambda: not line.is_held)
        assert line.socket._transport.is_reading()
        await until(lambda: beat._timer is None)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("way", ["abort", "close"])
async def test_the_end_is_seen_while_a_socket_is_held_and_what_came_before_it_is_read(way: str, *, tls: bool) -> None:
    async with lines(1, Beat(), tls=tls) as [(line, writer)]:
        await make_dense(line, writer)
        assert line.is_held
        if way == "abort":
            writer.transport.abort()
        else:
            writer.write(b"the last words")
            writer.close()
        await until(lambda: line.is_lost)
        assert way == "abort" or line.got.endswith(b"the last words")
        assert not line.is_held


async def test_a_socket_that_aiohttp_has_enough_of_is_not_read() -> None:
    beat = Beat()
    async with lines(1, beat) as [(line, writer)]:
        await make_dense(line, writer)
        before = len(line.got)
        line.pause_reading()
        writer.write(b"later")
        for _ in range(_QUIET_BEATS + 1):
            await asyncio.sleep(0)
            beat._read()
        assert len(line.got) == before
        assert not line.is_held
        assert not line.socket._transport.is_reading()
        line.resume_reading()
        await until(lambda: line.got.endswith(b"later"))


def test_another_event_loop_lets_go_of_a_held_socket_at_each_beat() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def run() -> None:
        async with lines(1, Beat()) as [(line, writer)]:
            await make_dense(line, writer)
            for number in range(20):
                data = b"%d," % number * 1000
                line.now_us += _MS
                await arrives(line, writer, data)
                assert line.got.endswith(data)
            writer.close()
            await until(lambda: line.is_lost)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def connection_of(run: Running) -> Connection:
    return next(iter(run.connector._session.connections()))  # type: ignore[union-attr]


def is_held(run: Running) -> bool:
    beat = connection_of(run).beat
    assert beat is not None
    return bool(beat._quiet)


@asynccontextmanager
async def flowing(run: Running) -> AsyncIterator[list[int]]:
    """Send trades without a pause until the block ends; yields the last id that was sent."""
    await run.exchange.until_subscribed(TRADES)
    socket, last = run.exchange.sockets[TRADES], [0]

    async def send() -> None:
        while not socket.closed and socket._req is not None and socket._req.transport is not None:
            last[0] += 1
            frame = json.dumps({"stream": TRADES, "data": run.exchange.trade(last[0])})
            try:
                await socket.send_str(frame)
            except ConnectionError:
                return
            await asyncio.sleep(0.0005)

    sending = asyncio.create_task(send())
    try:
        yield last
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


@pytest.mark.parametrize("tier", ["auto", "generic"])
async def test_held_connections_deliver_whole_and_in_order_and_answer_pings(server: FrameServer, tier: str) -> None:
    async with running(server, "trades", tier=tier) as run, flowing(run) as last:
        await until(lambda: is_held(run))
        connection = connection_of(run)
        answered: list[Any] = []
        stock_pong = connection.client.connection.pong

        async def pong(data: Any) -> None:
            answered.append(data)
            await stock_pong(data)

        connection.client.connection.pong = pong
        await run.exchange.sockets[TRADES].ping(b"there?")
        await until(lambda: answered == [b"there?"])
        await connection.client.connection.ping(b"and there?")
        await until(lambda: connection.echo == b"and there?")
        await until(lambda: is_held(run))
        goal = last[0] + 300
        await until(lambda: last[0] >= goal)
        await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) >= goal)
        keys = [row.key for row in run.rows.of(Kind.TRADE)]
        assert keys == list(range(1, len(keys) + 1))


@pytest.mark.parametrize("way", ["abort", "close", "drop"])
async def test_a_held_connection_that_ends_is_made_anew(server: FrameServer, way: str) -> None:
    async with running(server, "trades") as run:
        async with flowing(run):
            await until(lambda: is_held(run))
            socket, connection = run.exchange.sockets[TRADES], connection_of(run)
            if way == "abort":
                socket._req.transport.abort()  # type: ignore[union-attr]
            elif way == "close":
                await socket.close(code=1001)
            else:
                await connection.client.close()
            await until(lambda: connection.state == "lost" and not connection.tasks)
            assert not is_held(run)
        await run.exchange.until_subscribed(TRADES, times=2)
        await run.exchange.send_trade(10**6)
        await run.rows.until(lambda rows: any(row.key == 10**6 for row in rows.of(Kind.TRADE)))
