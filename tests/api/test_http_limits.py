"""Clients that are slow, large, many, wrong, or made by chance: each runs into its limit, and the others go on."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import pytest
from api.http_bench import A, answer_of, closed, image, serving
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.api.door import BODY_BYTES_MAX, HEAD_BYTES_MAX, Limits
from guard.api.limits import Failures, Rates

if TYPE_CHECKING:
    from pathlib import Path

    from api.http_bench import Bench

QUICK = Limits(connections_max=8, streams_max=2, read_s=0.2, write_s=0.3, idle_s=0.4)


async def other_goes_on(bench: Bench) -> None:
    assert (await bench.ask("GET", "/v1/check?exchange=sim&symbol=A/USDT")).status == 200
    assert not bench.failed


@pytest.mark.parametrize("piece", [b"G", b"GET /healthz HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: "])
async def test_a_head_that_drips_in_is_cut_in_time(tmp_path: Path, piece: bytes) -> None:
    async with serving(tmp_path, QUICK) as bench:
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
        writer.write(piece)
        began = asyncio.get_running_loop().time()

        async def drip() -> None:
            with suppress(ConnectionError):
                while True:
                    writer.write(b"a")
                    await writer.drain()
                    await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        answer = await answer_of(reader)
        assert asyncio.get_running_loop().time() - began < 1.0
        assert answer.status in {0, 400, 408}
        dripping.cancel()
        await closed(writer)
        await other_goes_on(bench)


async def test_a_body_that_drips_in_is_cut_in_time(tmp_path: Path) -> None:
    async with serving(tmp_path, QUICK) as bench:
        head = (
            f"POST /v1/quarantines HTTP/1.1\r\nHost: 127.0.0.1:{bench.port}\r\nAuthorization: Bearer {bench.tokens['operate']}\r\n"
        )
        answer = await bench.send(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
        assert (answer.status, answer.is_text) == (408, True)
        assert bench.calls == []
        await other_goes_on(bench)


async def test_a_connection_that_says_nothing_is_closed(tmp_path: Path) -> None:
    async with serving(tmp_path, QUICK) as bench:
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
        async with asyncio.timeout(2):
            assert await reader.read() == b""
        await closed(writer)


@pytest.mark.parametrize("shape", ["one header", "many headers", "the path", "no end"])
async def test_a_head_beyond_8_kib_is_refused(tmp_path: Path, shape: str) -> None:
    async with serving(tmp_path, QUICK) as bench:
        host = f"Host: 127.0.0.1:{bench.port}\r\n"
        raw = {
            "one header": f"GET /healthz HTTP/1.1\r\n{host}X: {'a' * HEAD_BYTES_MAX}\r\n\r\n",
            "many headers": f"GET /healthz HTTP/1.1\r\n{host}{''.join(f'X{n}: {n}' + chr(13) + chr(10) for n in range(2_000))}\r\n",
            "the path": f"GET /{'a' * HEAD_BYTES_MAX} HTTP/1.1\r\n{host}\r\n",
            "no end": "GET /healthz HTTP/1.1\r\n" + "a" * (2 * HEAD_BYTES_MAX),
        }[shape]
        answer = await bench.send(raw.encode())
        # A refusal may be lost where the client still sends.
        assert answer.status in {0, 400, 431}
        await other_goes_on(bench)


@pytest.mark.parametrize("size", [BODY_BYTES_MAX + 1, 10 * BODY_BYTES_MAX, 1 << 40])
async def test_a_body_beyond_64_kib_is_refused_before_it_is_taken(tmp_path: Path, size: int) -> None:
    async with serving(tmp_path, QUICK) as bench:
        head = (
            f"POST /v1/quarantines HTTP/1.1\r\nHost: 127.0.0.1:{bench.port}\r\nAuthorization: Bearer {bench.tokens['operate']}\r\n"
        )
        head += f"Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
        answer = await bench.send(head.encode() + b" " * min(size, 2 * BODY_BYTES_MAX))
        assert answer.status in {0, 413}
        assert bench.calls == []
        await other_goes_on(bench)


async def test_a_body_in_chunks_has_the_same_limit(tmp_path: Path) -> None:
    async with serving(tmp_path, QUICK) as bench:
        head = (
            f"POST /v1/quarantines HTTP/1.1\r\nHost: 127.0.0.1:{bench.port}\r\nAuthorization: Bearer {bench.tokens['operate']}\r\n"
        )
        head += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = await bench.send(
            head.encode() + b"10000\r\n" + b" " * 0x10000 + b"\r\n" + b"10000\r\n" + b" " * 0x10000 + b"\r\n0\r\n\r\n"
        )
        assert answer.status in {0, 413}
        assert bench.calls == []
        await other_goes_on(bench)


async def test_a_body_for_a_route_that_takes_none_is_not_waited_for(tmp_path: Path) -> None:
    async with serving(tmp_path, QUICK) as bench:
        answer = await bench.ask("GET", "/v1/check?exchange=sim&symbol=A/USDT", Content_Length="1000000")
        assert answer.status == 200
        await other_goes_on(bench)


async def test_requests_sent_ahead_are_bounded(tmp_path: Path) -> None:
    async with serving(tmp_path, QUICK) as bench:
        one = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{bench.port}\r\n\r\n".encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
        writer.write(one * 3)
        assert [(await answer_of(reader)).status for _ in range(3)] == [200, 200, 200]
        with suppress(ConnectionError):
            writer.write(one * 20_000)
            await asyncio.sleep(0.5)
        await closed(writer)
        await other_goes_on(bench)


async def test_one_connection_too_many_is_told_to_try_again(tmp_path: Path) -> None:
    async with serving(tmp_path, QUICK) as bench:
        writers = []
        for _ in range(QUICK.connections_max):
            _, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writers.append(writer)
        await asyncio.sleep(0.05)
        answer = await bench.send(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert (answer.status, answer.is_text) == (503, True)
        assert bench.server.doors.turned_away == 1
        for writer in writers:
            await closed(writer)
        await asyncio.sleep(0.05)
        await other_goes_on(bench)


def asking_for(path: str, bench: Bench) -> bytes:
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{bench.port}\r\n"
    return f"{head}Authorization: Bearer {bench.tokens['read']}\r\n\r\n".encode()


async def stream_of(bench: Bench) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.port, limit=1 << 24)
    writer.write(asking_for("/v1/stream", bench))
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def test_one_stream_too_many_is_told_to_try_again(tmp_path: Path) -> None:
    async with serving(tmp_path, QUICK) as bench:
        streams = [await stream_of(bench) for _ in range(QUICK.streams_max)]
        answer = await bench.ask("GET", "/v1/stream")
        assert (answer.status, answer.is_text) == (503, True)
        for _, writer in streams:
            await closed(writer)


async def test_a_reader_that_does_not_read_is_cut_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    async with serving(tmp_path, QUICK) as bench:
        sleepy = socket.create_connection(("127.0.0.1", bench.port))
        sleepy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sleepy.sendall(asking_for("/v1/stream", bench))
        awake, writer = await stream_of(bench)
        await asyncio.sleep(0.05)
        assert bench.server.stream.readers == 2
        for number in range(60):
            markets = {f"sim:M{n}/USDT": A._replace(rules_active=number) for n in range(4_000)}
            bench.publish(image(markets))
            await awake.readuntil(b"\n\n")
            await asyncio.sleep(0)
        await asyncio.sleep(2 * QUICK.write_s)
        assert bench.server.stream.readers <= 1
        await other_goes_on(bench)
        sleepy.close()
        await closed(writer)


async def test_a_reader_that_falls_behind_is_told_to_begin_anew() -> None:
    from guard.api.stream import RESYNC, Reader

    reader = Reader()
    for number in range(100):
        reader.put(b"%d" % number)
    assert reader.is_cut
    assert await reader.take() == RESYNC


async def test_an_answer_that_is_not_fetched_is_cut(tmp_path: Path) -> None:
    async with serving(tmp_path, QUICK) as bench:
        bench.publish(image({f"sim:M{n}/USDT": A for n in range(40_000)}))
        _, writer = await asyncio.open_connection("127.0.0.1", bench.port, limit=1024)
        writer.write(asking_for("/v1/blocklist", bench) * 8)
        for _ in range(40):
            await asyncio.sleep(0.1)
            if not bench.server.doors.open:
                break
        assert not bench.server.doors.open
        await closed(writer)
        bench.publish()
        await other_goes_on(bench)


async def test_a_token_that_asks_too_often_waits_and_the_others_do_not(tmp_path: Path) -> None:
    async with serving(tmp_path, QUICK._replace(requests_per_s=5)) as bench:
        statuses = [(await bench.ask("GET", "/metrics")).status for _ in range(12)]
        assert statuses[:5] == [200] * 5
        assert 429 in statuses
        assert (await bench.ask("GET", "/metrics", scope="admin")).status == 200


async def test_wrong_tokens_are_counted_by_address_and_lock_nobody_else_out(tmp_path: Path) -> None:
    async with serving(tmp_path, QUICK) as bench:
        wrong = {"Authorization": "Bearer guard_wrong"}
        statuses = [(await bench.ask("GET", "/v1/status", **wrong)).status for _ in range(12)]
        assert statuses == [401] * 10 + [429] * 2
        # The bot behind the same address goes on; another address has its own count.
        await other_goes_on(bench)
        assert (await bench.ask("GET", "/v1/status", source="127.0.0.9", **wrong)).status == 401


def test_what_is_remembered_of_clients_is_bounded() -> None:
    rates, failures = Rates(1, monotonic_us=lambda: 0), Failures(1, monotonic_us=lambda: 0)
    for number in range(5_000):
        rates.permits(f"10.{number}")
        failures.count(f"10.{number}")
    assert len(rates._buckets) == 1024
    assert len(failures._times) == 1024


async def test_many_clients_at_once_keep_memory_and_the_loop_free(tmp_path: Path) -> None:
    async with serving(tmp_path, Limits()) as bench, AsyncExitStack():
        late = 0.0

        async def watch() -> None:
            nonlocal late
            loop = asyncio.get_running_loop()
            while True:
                due = loop.time() + 0.01
                await asyncio.sleep(0.01)
                late = max(late, loop.time() - due)

        watching = asyncio.create_task(watch())
        paths = ["/v1/check?exchange=sim&symbol=A/USDT", "/v1/blocklist", "/healthz", "/nowhere", "/v1/status"]
        answers = await asyncio.gather(*(bench.ask("GET", paths[number % 5]) for number in range(200)))
        watching.cancel()
        assert {answer.status for answer in answers} == {200, 404}
        assert late < 0.5


TOKENS = st.sampled_from([b"GET", b"POST", b"HEAD", b"CONNECT", b"PRI", b"get", b"\x16\x03\x01", b"", b"A" * 99])
TARGETS = st.sampled_from(
    [
        b"/v1/check?exchange=sim&symbol=A/USDT",
        b"/v1/blocklist?since=1",
        b"/v1/blocklist?since=999999999999999999999999",
        b"/v1/freqtrade/%00%ff/pairlist",
        b"/v1/freqtrade/../pairlist?mode=x",
        b"/v1/quarantines",
        b"/v1/quarantines/release",
        b"/v1/stream",
        b"http://evil/v1/check",
        b"*",
        b"/\xff\xfe",
        b"/%",
        b"//",
        b"/metrics?x=1",
    ]
)
LINES = st.sampled_from(
    [
        b"Host: 127.0.0.1:PORT",
        b"Host: evil",
        b"Authorization: Bearer TOKEN",
        b"Authorization: Bearer",
        b"Authorization: Basic \xff",
        b"Content-Type: application/json",
        b"Content-Length: 2",
        b"Content-Length: -1",
        b"Content-Length: 2, 3",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip",
        b"Content-Encoding: deflate",
        b"Connection: keep-alive, Upgrade",
        b"Upgrade: websocket",
        b"Expect: 100-continue",
        b"Last-Event-ID: 1.2.3",
        b"Last-Event-ID: " + b"9" * 500,
        b"If-None-Match: *",
        b": x",
        b"X\x00: y",
        b"Origin: \xff",
        b" folded",
    ]
)
BODIES = st.sampled_from([b"", b"{}", b"[]", b'{"target":1}', b"\x00" * 10, b"5\r\nhello\r\n0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
VERSIONS = st.sampled_from([b" HTTP/1.1", b" HTTP/1.0", b" HTTP/2.0", b"", b" HTTP/x"])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    requests=st.lists(st.tuples(TOKENS, TARGETS, VERSIONS, st.lists(LINES, max_size=7), BODIES), min_size=20, max_size=20),
    noise=st.binary(max_size=60),
)
def test_no_request_whatever_makes_a_mistake_of_guard(
    tmp_path: Path, requests: list[tuple[bytes, bytes, bytes, list[bytes], bytes]], noise: bytes
) -> None:
    async def play() -> None:
        async with serving(tmp_path, Limits(read_s=0.05, write_s=0.2, idle_s=0.05, requests_per_s=100_000)) as bench:
            token = bench.file.rotate("admin", b"a" * 32, 1).encode()
            bench.watch._look_us = 0

            async def one(method: bytes, target: bytes, version: bytes, lines: list[bytes], body: bytes) -> None:
                head = method + b" " + target + version + b"\r\n" + b"".join(line + b"\r\n" for line in lines)
                raw = (head + b"\r\n" + body).replace(b"PORT", b"%d" % bench.port).replace(b"TOKEN", token)
                reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
                writer.write(raw + noise)
                with suppress(ConnectionError, asyncio.TimeoutError, asyncio.IncompleteReadError):
                    async with asyncio.timeout(0.15):
                        answer = await answer_of(reader)
                        assert answer.status < 500 or answer.status in {503, 505}
                        assert b"Traceback" not in answer.body
                        assert token not in answer.body
                        assert answer.status < 400 or answer.is_text or not answer.body
                        if (
                            answer.status == 200
                            and answer.headers.get("content-type", "").startswith("application/json")
                            and method != b"HEAD"
                        ):
                            json.loads(answer.body)
                await closed(writer)

            await asyncio.gather(*(one(*request) for request in requests))
            assert bench.failed == []

    asyncio.run(play())
