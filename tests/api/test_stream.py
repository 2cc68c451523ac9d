"""The stream, broken off and taken up again by its last id: nothing is missed, nothing is sent twice."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from api.http_bench import A, closed, image, serving
from client.images import quarantine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from api.http_bench import Bench

Event = tuple[str, str, dict[str, Any]]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with serving(tmp_path) as found:
        yield found


class Reading:
    """One reader of the stream."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self.beats = 0

    async def piece(self) -> str:
        # Each piece comes as one chunk or more; their sizes stand in lines of their own.
        async with asyncio.timeout(10):
            return (await self._reader.readuntil(b"\n\n")).decode().strip()

    async def event(self) -> Event | None:
        """Return the next event; None for "nothing new", which only a reader that came back is told."""
        while True:
            lines = [line for line in (await self.piece()).splitlines() if ":" in line]
            if lines[0].startswith(": nothing new"):
                return None
            if lines[0].startswith(":"):
                self.beats += 1
                continue
            said = dict(line.split(": ", 1) for line in lines)
            return said["event"], said["id"], json.loads(said["data"])


@asynccontextmanager
async def read(bench: Bench, last_id: str | None = None) -> AsyncIterator[Reading]:
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
    again = "" if last_id is None else f"Last-Event-ID: {last_id}\r\n"
    head = f"Host: 127.0.0.1:{bench.port}\r\nAuthorization: Bearer {bench.tokens['read']}\r\n{again}"
    writer.write(f"GET /v1/stream HTTP/1.1\r\n{head}\r\n".encode())
    try:
        async with asyncio.timeout(10):
            assert b" 200 " in (await reader.readuntil(b"\r\n\r\n")).splitlines()[0]
        yield Reading(reader)
    finally:
        await closed(writer)


def held(count: int) -> list[Any]:
    return [quarantine(f"sim:N{number}/USDT", identity=f"{number:012x}", until_us=2**52) for number in range(count)]


def change(bench: Bench, count: int) -> None:
    bench.publish(image({"sim:A/USDT": A}, held(count)))


async def begun(bench: Bench, changes: int) -> str:
    """Read the whole state and some changes, each in an event of its own, and return the last id."""
    async with read(bench) as reading:
        first = await reading.event()
        assert first is not None
        assert first[0] == "state"
        last = first[1]
        for number in range(changes):
            change(bench, number + 1)
            event = await reading.event()
            assert event is not None
            assert event[0] == "change"
            last = event[1]
    return last


async def test_a_reader_that_comes_back_gets_what_it_missed_and_nothing_else(bench: Bench) -> None:
    last = await begun(bench, 2)
    change(bench, 3)
    async with read(bench, last) as reading:
        missed = await reading.event()
        assert missed is not None
        assert missed[0] == "change"
        assert f"{2:012x}" in json.dumps(missed[2])
        assert f"{1:012x}" not in json.dumps(missed[2])
        change(bench, 4)
        later = await reading.event()
        assert later is not None
        assert int(later[1].rpartition(".")[2]) == int(missed[1].rpartition(".")[2]) + 1


async def test_a_reader_that_missed_nothing_is_told_so(bench: Bench) -> None:
    last = await begun(bench, 2)
    async with read(bench, last) as reading:
        assert await reading.event() is None


async def test_what_several_readers_are_told_after_one_id_is_the_same(bench: Bench) -> None:
    first = await begun(bench, 1)
    async with read(bench) as other:
        await other.event()
        change(bench, 2)
        seen = [await other.event()]
        change(bench, 3)
        seen.append(await other.event())
    async with read(bench, first) as reading:
        assert [await reading.event(), await reading.event()] == seen


@pytest.mark.parametrize("last_id", ["2.1.1", "3.1.999", "3.1.0", "x", "3.1", "3.1.-1"])
async def test_an_id_that_guard_does_not_know_gets_the_whole_state(bench: Bench, last_id: str) -> None:
    """Of another run, of a step that never was, or none at all."""
    await begun(bench, 2)
    async with read(bench, last_id) as reading:
        event = await reading.event()
        assert event is not None
        assert event[0] == "state"
        assert len(event[2]["content"]["blocks"]) == 2


async def test_a_reader_that_was_away_for_too_long_gets_the_whole_state(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard.api.stream._KEPT_MAX", 8)
    last = await begun(bench, 1)
    async with read(bench) as other:
        await other.event()
        for number in range(12):
            change(bench, 2 + number % 2)
            await other.event()
    async with read(bench, last) as reading:
        event = await reading.event()
        assert event is not None
        assert event[0] == "state"
