"""The embedded exchange as a connector: a real server in a child process, read through ccxt like any other."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guard.errors import Disconnected
from guard.model.ports import ConnectorHealth
from guard_sim.child import Child
from guard_sim.dialects import ccxt_options
from guard_sim.options import read_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.model import Market, MarketFacts
    from guard.model.ports import Connector, ConnectorContext, Sink

__all__ = ["SimConnector"]

_ASK_S = 5.0
_LOG_BYTES = 1 << 16
_BOT_LOG = "demo_bot.jsonl"


class SimConnector:
    """A connector whose exchange it brings along.

    Parameters
    ----------
    context
        Its `options` are those of `guard_sim.options.Options`; the demo bot's log goes to its cache folder.

    Notes
    -----
    `open` starts the server on a loopback port and then does all through `guard_ccxt.CcxtConnector`, the class that reads real
    exchanges. The server leaves when this process ends, however it ends. A server that dies is reported, and `stream` raises
    Disconnected; a new connector starts a new server. Raises ConfigurationError for options that cannot be used.

    `truth`, `inbox` and `bot_log` are for a summary of a run.
    """

    def __init__(self, context: ConnectorContext) -> None:
        self._context = context
        self._options = read_options(context.name, context.options)
        self._server: Child | None = None
        self._bot: Child | None = None
        self._reader: Connector | None = None
        self._watches: list[asyncio.Task[None]] = []
        self._is_closed = False
        self._followed: Mapping[Market, int] = {}
        self.urls: dict[str, Any] = {}

    async def open(self) -> Sequence[MarketFacts]:
        """Start the server where none runs and load its markets; raises Disconnected or ConfigurationError."""
        if self._is_closed:
            raise Disconnected(f"{self._context.name} is closed")
        if self._server is None:
            # First what takes seconds: the schedule begins with the server, and should find its reader awake.
            await asyncio.to_thread(importlib.import_module, "guard_ccxt.session")
            self._server = await Child.start("guard_sim.server", json.dumps(self._options.server()))
            try:
                self.urls = await self._server.first_line()
            except BaseException:
                server, self._server = self._server, None
                await server.stop()
                raise
            self._watches.append(
                asyncio.create_task(self._mourn(self._server, f"the embedded exchange, so {self._context.name} has no data"))
            )
            self._reader = self._through_ccxt()
        return await self._opened().open()

    async def markets(self) -> Sequence[MarketFacts]:
        """Return every market on offer; raises Unavailable."""
        return await self._opened().markets()

    async def history(self, market: Market, row: int, sink: Sink, *, since_us: int) -> None:
        """Put the seeded past into `sink`; raises Unavailable."""
        await self._opened().history(market, row, sink, since_us=since_us)

    async def glance(self, market: Market, row: int, sink: Sink) -> None:
        """Put the last minutes of the seeded past into `sink`; raises Unavailable."""
        reader: Any = self._opened()
        await reader.glance(market, row, sink)

    async def stream(self, markets: Mapping[Market, int], sink: Sink) -> None:
        """Deliver until cancelled; raises Disconnected when the server dies."""
        reader, server = self._opened(), self._server
        assert server is not None
        if self._options.bot and self._bot is None:
            await self._start_bot()
        self._followed = markets

        async def read() -> None:
            await reader.stream(self._followed, sink)  # what was followed before this task had its first turn counts too

        reading = asyncio.create_task(read())
        try:
            await asyncio.wait({reading, server.exited}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
            raise Disconnected(f"the embedded exchange ended with code {server.code}")
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError, Disconnected):
                await reading

    def follow(self, markets: Mapping[Market, int]) -> None:
        """Stream these markets from now on."""
        self._followed = markets
        if self._reader is not None:
            self._reader.follow(markets)

    def resync(self, market: Market) -> None:
        """Show the whole book of `market` now."""
        if self._reader is not None:
            self._reader.resync(market)

    async def close(self) -> None:
        """End bot, streams and server. Safe to call twice."""
        self._is_closed = True
        for watch in self._watches:
            watch.cancel()
        bot, self._bot = self._bot, None
        reader, self._reader = self._reader, None
        server, self._server = self._server, None
        if bot is not None:
            await bot.stop()
        if reader is not None:
            await reader.close()
        if server is not None:
            await server.stop()

    def health(self) -> ConnectorHealth:
        """Return the counters of the ccxt connector, with the server's addresses in the notes."""
        if self._reader is None:
            return ConnectorHealth(0, {}, 0, 0, 0, 0.0, {}, None)
        health = self._reader.health()
        told = [f"{name} at {url}" for name, url in self.urls.items() if url]
        return health._replace(notes=(*health.notes, f"embedded exchange: {', '.join(told)}"))

    async def truth(self) -> list[dict[str, Any]]:
        """Return what the schedule did so far, one mapping an act; raises Disconnected.

        Each has pattern, market (``sim:MOON/USDT``, ``sim:*`` for all), harmless (a quarantine for it would be a mistake),
        planned_us, started_us and ended_us (None = not yet), and phases ``[{"phase", "at_us"}]``.
        """
        document = await self._ask(f"{self._opened_url('rest')}/control/truth")
        return [{**act, "market": f"{self._context.name}:{act['symbol']}"} for act in document["truth"]]

    async def inbox(self) -> dict[str, Any]:
        """Return ``{"received", "refused", "messages"}`` of the inbox, the last 200 messages oldest first; raises Disconnected."""
        if not self.urls.get("inbox"):
            return {"received": 0, "refused": 0, "messages": []}
        return await self._ask(f"{self._opened_url('inbox')}/messages")

    def bot_log(self) -> list[dict[str, Any]]:
        """Return the last lines (up to 64 kB) of the demo bot's log, oldest first; empty where no bot ran.

        Lines are those of `guard.client.demo`; the last one is its summary once it has ended.
        """
        path = self._bot_path()
        if not path.is_file():
            return []
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_BYTES))
            lines = file.read().split(b"\n")
        # The first line of the part read may be cut, the last one may be half written.
        return [json.loads(line) for line in lines[:-1] if line.startswith(b"{") and line.endswith(b"}")]

    async def stop_bot(self) -> None:
        """End the demo bot, so that its summary is in the log."""
        bot, self._bot = self._bot, None
        if bot is not None:
            for watch in self._watches[1:]:
                watch.cancel()
            await bot.stop()

    async def fault(self, kind: str, **words: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Order a fault of the exchange: `symbol`, `for_s` and what the kind takes; see `guard_sim.server.faults`.

        Raises Disconnected; ValueError for a fault that cannot be.
        """
        answer = await self._ask(f"{self._opened_url('rest')}/control/fault", document={"kind": kind, **words})
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    def _through_ccxt(self) -> Connector:
        # Not at the top: the server's process imports this package too, and ccxt costs seconds.
        from guard_ccxt import CcxtConnector  # noqa: PLC0415 - see above

        options = {**ccxt_options(self._options.dialect, self.urls), **self._options.ccxt}
        return CcxtConnector(self._context._replace(options=options))

    async def _mourn(self, child: Child, what: str) -> None:
        code = await asyncio.shield(child.exited)
        self._context.report(f"ended by itself with code {code}: {what}")

    async def _start_bot(self) -> None:
        path = self._bot_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        where = ["--snapshot", self._options.snapshot] if self._options.snapshot else []
        words = ["--exchange", self.urls["rest"], "--out", str(path), "--exchange-id", self._context.name, *where]
        self._bot = await Child.start("guard.client.demo", *words)
        self._watches.append(asyncio.create_task(self._mourn(self._bot, "the demo bot")))

    def _bot_path(self) -> Path:
        return Path(self._context.cache_folder) / _BOT_LOG

    def _opened(self) -> Connector:
        if self._reader is None or self._is_closed:
            raise Disconnected(f"{self._context.name} is not open")
        return self._reader

    def _opened_url(self, name: str) -> str:
        self._opened()
        return str(self.urls[name])

    async def _ask(self, url: str, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
        import aiohttp  # noqa: PLC0415 - its options are checked without

        timeout = aiohttp.ClientTimeout(total=_ASK_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request("GET" if document is None else "POST", url, json=document) as response,
            ):
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Disconnected(f"the embedded exchange does not answer: {error}") from error
        return dict(answer)
