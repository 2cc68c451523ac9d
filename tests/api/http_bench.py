"""An HTTP server over a real snapshot, real clients and real tokens, in this process, and a raw connection to it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.api.checks import Checks
from guard.api.door import Limits
from guard.api.gate import Gate, local_hosts
from guard.api.http import Desk, HttpServer
from guard.api.metrics import page
from guard.api.pairlist import pairlist
from guard.api.tokens import Scope, TokenFile, TokenWatch
from guard.client import Guard
from guard.model import Image, MarketView, Mode, Quarantine
from guard.model.bot import BotPolicy
from guard.runtime.clock import SystemClock, secret_bytes
from guard.runtime.publish import SnapshotPublisher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

POLICIES = {"*": BotPolicy(), "loose": BotPolicy(mode=Mode.OBSERVE, sides=("buy",))}
A = MarketView("ok", "normal", 0.1, 3, 3)
STATUS = {
    "version": "1",
    "mode": "enforce",
    "uptime_s": 1.0,
    "durable": True,
    "seq": 1,
    "events": 1,
    "events_per_second": 1.0,
    "lag_max_ms": 1,
    "clock_jump_ms": 0,
    "bypass": None,
    "rules": {"active": 1, "problem": None},
    "http": {"unready": [], "heartbeat_age_s": 0.1, "streams": 0, "connections": 0},
    "markets": [],
    "quarantines": [],
    "feeds": [],
    "channels": {"secret-channel": {"failing": True}},
    "outbox": {"secret-channel": {"pending": 2}},
    "actions": {},
}


def image(
    markets: Mapping[str, MarketView] | None = None, blocks: Sequence[Quarantine] = (), *, at_us: int = 0, mode: Mode = Mode.ENFORCE
) -> Image:
    return Image(
        mode, at_us, markets or {"sim:A/USDT": A}, tuple(blocks), {"*": {}, "careful": {"not_watched": False}}, bots=POLICIES
    )


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_text(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/plain")


class Bench:
    """The server at `port`; `tokens` by scope."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.clock = SystemClock()
        self.limits = limits
        (folder / "snapshot").mkdir(exist_ok=True)
        self.publisher = SnapshotPublisher(folder / "snapshot", self.clock)
        self.seq = 0
        # Clients look for the file once in 50 ms.
        self.publish()
        self.file = TokenFile(folder / "tokens.json")
        self.tokens = {
            str(scope): self.file.add(str(scope), scope, secret_bytes(32), self.clock.now_us())
            for scope in Scope
            if not self.file.path.exists() or str(scope) not in {each.name for each in self.file.tokens()}
        }
        self.watch = TokenWatch(self.file, monotonic_us=self.clock.monotonic_us, wall_us=self.clock.now_us)
        self.gate = Gate(self.watch, (), requests_per_s=limits.requests_per_s, monotonic_us=self.clock.monotonic_us)
        self.checks = Checks(lambda bot: Guard(self.publisher.path, bot), ["*", "careful"])
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.failed: list[BaseException] = []
        self.unready: list[str] = []
        self.port = 0
        operations = {
            name: self._operation(name)
            for name in (
                "quarantine.ls",
                "quarantine.add",
                "quarantine.extend",
                "quarantine.release",
                "allow.ls",
                "allow.add",
                "allow.rm",
                "reload",
            )
        }
        desk = Desk(self.publisher, self.checks, operations, self._status, self._metrics, lambda: self.unready, pairlist=pairlist)
        self.server = HttpServer(desk, self.gate, limits, self.clock, self.failed.append)
        self.publisher.on_published = self.server.stream.published

    def _operation(self, name: str) -> Any:  # noqa: ANN401 - a handler
        async def handle(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
            self.calls.append((name, dict(arguments)))
            return {"seq": 7}

        return handle

    async def _status(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        return STATUS

    async def _metrics(self) -> bytes:
        return page(STATUS, {})

    def publish(self, shown: Image | None = None, *, seq: int | None = None, durable: bool = True) -> None:
        self.seq = self.seq + 1 if seq is None else seq
        self.publisher.publish(shown or image(), epoch=3, seq=self.seq, durable=durable)
        self.publisher.beat()

    async def send(self, raw: bytes, *, source: str = "127.0.0.1") -> Answer:
        """Send bytes on a connection of their own and return what comes back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))
        try:
            writer.write(raw)
            return await answer_of(reader)
        finally:
            await closed(writer)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        scope: str | None = "read",
        body: bytes | None = None,
        source: str = "127.0.0.1",
        **headers: str,
    ) -> Answer:
        """Ask as a well-behaved client does; `headers` replace or add (``_`` for ``-``), an empty one is left out."""
        found = {"Host": f"127.0.0.1:{self.port}", "Connection": "close"}
        if scope is not None:
            found["Authorization"] = f"Bearer {self.tokens[scope]}"
        if body is not None:
            found |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        found |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = "".join(f"{name}: {value}\r\n" for name, value in found.items() if value)
        return await self.send(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + (body or b""), source=source)


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close a connection, whatever the other side did to it."""
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


async def answer_of(reader: asyncio.StreamReader) -> Answer:
    """Read one answer; status 0 where the connection ended without one."""
    async with asyncio.timeout(10):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return Answer(0, {}, b"")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        try:
            body = await reader.readexactly(int(headers["content-length"])) if "content-length" in headers else b""
        except asyncio.IncompleteReadError as error:
            body = error.partial
        return Answer(int(first.split()[1]), headers, body)


@asynccontextmanager
async def serving(folder: Path, limits: Limits | None = None) -> AsyncIterator[Bench]:
    bench = Bench(folder, limits or Limits())
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(bench.server.doors, "127.0.0.1", 0)
    bench.port = listening.sockets[0].getsockname()[1]
    bench.gate.hosts = local_hosts("127.0.0.1", bench.port)
    streaming = asyncio.create_task(bench.server.stream.run())
    try:
        yield bench
    finally:
        bench.server.stream.close()
        listening.close()
        streaming.cancel()
        await asyncio.gather(streaming, return_exceptions=True)
        bench.server.doors.pre_shutdown()
        await bench.server.doors.shutdown(0.2)
        bench.publisher.stop()
