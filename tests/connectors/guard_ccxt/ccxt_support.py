"""What the connector's tests share: a clock set to a moment, fixed chance, a sink that collects, and a server of frames."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import WSMsgType, web

from guard.model import ASK, BID, Flag, Kind, Status
from guard.model.ports import ConnectorContext

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

CAPTURES = Path(__file__).parents[3] / "../shared/data/ws_captures"
START_US = 1_700_000_000_000_000


class MovedClock:
    """Runs as the machine does, but from a moment of its own."""

    def __init__(self, start_us: int = START_US) -> None:
        self.start_us = start_us
        self.zero = asyncio.get_running_loop().time()

    def now_us(self) -> int:
        return self.start_us + self.monotonic_us()

    def monotonic_us(self) -> int:
        return int((asyncio.get_running_loop().time() - self.zero) * 1e6)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class StillClock:
    """Moves only when told."""

    def __init__(self, now_us: int = START_US) -> None:
        self.at_us = now_us

    def now_us(self) -> int:
        return self.at_us

    def monotonic_us(self) -> int:
        return self.at_us - START_US

    async def sleep(self, seconds: float) -> None:
        self.at_us += int(seconds * 1e6)


class FixedChance:
    def __init__(self, value: float = 0.1) -> None:
        self.value = value

    def random(self) -> float:
        return self.value


async def until(what: Callable[[], bool], *, seconds: float = 8.0, shown: Callable[[], str] = str) -> None:
    """Let the loop turn until `what` holds: sockets have no event to wait for."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not what():
        assert asyncio.get_running_loop().time() < deadline, f"waited {seconds} s; {shown()}"
        await asyncio.sleep(0.02)


class Row(NamedTuple):
    kind: int
    market: int
    at_us: int
    received_us: int
    price: float
    amount: float
    side: int
    key: int
    flags: int


class Rows:
    """A sink that keeps its rows."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def append(
        self,
        kind: int,
        market: int,
        *,
        at_us: int,
        received_us: int,
        price: float = 0.0,
        amount: float = 0.0,
        side: int = 0,
        key: int = 0,
        flags: int = 0,
    ) -> None:
        self.rows.append(Row(int(kind), market, at_us, received_us, price, amount, int(side), int(key), int(flags)))

    def of(self, kind: Kind, market: int | None = None) -> list[Row]:
        return [row for row in self.rows if row.kind == kind and market in (None, row.market)]

    def statuses(self, market: int | None = None) -> list[tuple[str, int]]:
        return [(Status(row.key).name, row.side) for row in self.of(Kind.STATUS, market)]

    async def until(self, what: Callable[[Rows], bool], *, seconds: float = 8.0) -> None:
        await until(lambda: what(self), seconds=seconds, shown=lambda: f"rows end with {self.rows[-5:]}")


class Books:
    """Books rebuilt from rows; remembers whether one was ever crossed at the end of a message."""

    def __init__(self, rows: list[Row]) -> None:
        self.sides: dict[tuple[int, int], dict[float, float]] = defaultdict(dict)
        self.messages: dict[int, int] = defaultdict(int)
        self.crossed: list[Row] = []
        previous_last = True
        for row in rows:
            if row.kind != Kind.LEVEL:
                assert previous_last, "rows of one book message are contiguous"
                continue
            if previous_last and row.flags & Flag.SNAPSHOT:
                self.sides[row.market, BID].clear()
                self.sides[row.market, ASK].clear()
            side = self.sides[row.market, row.side]
            if row.amount:
                side[row.price] = row.amount
            else:
                del side[row.price]  # a level that was never shown is an error
            previous_last = bool(row.flags & Flag.LAST)
            if previous_last:
                self.messages[row.market] += 1
                bids, asks = self.sides[row.market, BID], self.sides[row.market, ASK]
                if bids and asks and max(bids) >= min(asks):
                    self.crossed.append(row)
        assert previous_last, "the last message ends with LAST"


def context(
    name: str, options: Mapping[str, Any], clock: Any, *, reports: list[str] | None = None, chance: float = 0.1
) -> ConnectorContext:
    told: list[str] = reports if reports is not None else []
    return ConnectorContext(
        name=name,
        options=options,
        streams=frozenset({"trades", "book"}),
        clock=clock,
        random=FixedChance(chance),
        cache_folder="",
        report=told.append,
    )


class FrameServer:
    """A loopback server: REST answers by path, and a script for each websocket.

    `rest` maps a path to a function of the query that returns (status, headers, text). `on_socket` is called with each websocket
    that passed the handshake; `delays` are awaited before a path is answered; `refuse_next` answers so many handshakes with 429
    first.
    """

    def __init__(self) -> None:
        self.rest: dict[str, Callable[[Mapping[str, str]], tuple[int, dict[str, str], str]]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.on_socket: Callable[[web.WebSocketResponse], Awaitable[None]] | None = None
        self.sockets: list[web.WebSocketResponse] = []
        self.dials: list[float] = []
        self.refuse_next = 0
        self.delays: dict[str, Callable[..., Awaitable[None]]] = {}
        self.gives_pongs = True
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        for socket in self.sockets:
            if socket._req is not None and socket._req.transport is not None:
                socket._req.transport.abort()
        assert self._runner is not None
        await self._runner.cleanup()

    def times_asked(self, path: str) -> int:
        return sum(asked == path for asked, _ in self.asked)

    async def until_asked(self, path: str, **query: str) -> None:
        await until(lambda: any(asked == path and query.items() <= given.items() for asked, given in self.asked))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._socket(request)
        self.asked.append((request.path, dict(request.query)))
        if request.path in self.delays:
            await self.delays[request.path]()
        answer = self.rest.get(request.path)
        if answer is None:
            return web.json_response({"code": "404", "msg": "not recorded"}, status=404)
        status, headers, text = answer(request.query)
        return web.Response(status=status, headers=headers, text=text, content_type="application/json")

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        self.dials.append(asyncio.get_running_loop().time())
        if self.refuse_next:
            self.refuse_next -= 1
            return web.Response(status=429, headers={"Retry-After": "1"})
        socket = web.WebSocketResponse(autoping=self.gives_pongs)
        await socket.prepare(request)
        self.sockets.append(socket)
        assert self.on_socket is not None
        with suppress(ConnectionError, RuntimeError):  # the client may leave in the middle of the script
            await self.on_socket(socket)
        return socket


async def requests_of(socket: web.WebSocketResponse) -> AsyncIterator[dict[str, Any]]:
    """Yield what the client sends."""
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            yield json.loads(message.data)


def recorded_answers(name: str) -> dict[str, str]:
    """Return url -> answer of a recording's REST files; a later answer to the same url replaces an earlier one."""
    answers: dict[str, str] = {}
    for path in sorted(CAPTURES.glob(f"{name}.0.gz")) + sorted(CAPTURES.glob(f"{name}.http.*.gz")):
        with gzip.open(path, "rt") as lines:
            for line in lines:
                if line.startswith("http"):
                    url, _, rest = line.partition(" -> ")
                    answers[url] = rest.partition(": ")[2].strip()
    return answers


def recorded_frames(name: str) -> list[tuple[float, str]]:
    """Return (receive time in s, frame) of everything a recording's websocket received."""
    (path,) = CAPTURES.glob(f"{name}.ws.*.gz")
    frames = []
    with gzip.open(path, "rt") as lines:
        for line in lines:
            if not line.startswith("wss://") and ": " in line:
                stamp, _, frame = line.partition(": ")
                frames.append((float(stamp), frame.strip()))
    return frames
