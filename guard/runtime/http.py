"""Opens the HTTP interface of a running guard and keeps it open: it may fail, and guard goes on."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import structlog

from guard.api.protocol import reachable
from guard.api.server import refuse_live
from guard.api.tokens import TokenFile, TokenWatch
from guard.client import Guard
from guard.errors import StateError
from guard.model import Level

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from guard.api.gate import Gate
    from guard.api.http import HttpServer
    from guard.dsl import GuardConfig
    from guard.runtime.live import Live
    from guard.runtime.operators import Operators
    from guard.runtime.state import StateFolder

__all__ = ["Http", "secured"]

_log = structlog.get_logger(__name__)
_AGAIN_S: Final = 5.0
_RECENT_US: Final = 1_000_000
_BACKLOG: Final = 128
_HANDSHAKE_S: Final = 5.0
_EVERY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - a name for them


class Http:
    """The HTTP interface, where guard.yaml asks for one.

    Parameters
    ----------
    config, state, live, operators
        Of the running guard.
    is_ruled
        Whether any rule runs.

    Notes
    -----
    aiohttp is loaded in a thread once guard already answers bots. An address that cannot be had is told to people, and tried
    again every 5 s.
    """

    def __init__(
        self, config: GuardConfig, state: StateFolder, live: Live, operators: Operators, *, is_ruled: Callable[[], bool]
    ) -> None:
        self._settings = config.http
        self._folder = config.folder
        self._bots = tuple(config.bots)
        self._state = state
        self._live = live
        self._operators = operators
        self._is_ruled = is_ruled
        clock = live.clock
        self._tokens = TokenWatch(TokenFile(state.tokens), monotonic_us=clock.monotonic_us, wall_us=clock.now_us)
        self._status = _Recent(operators.status, clock.monotonic_us)
        self._figures = _Recent(operators.figures, clock.monotonic_us)
        self._page: tuple[object, bytes] = (None, b"")
        self._server: HttpServer | None = None
        self._gate: Gate | None = None
        self._open: list[asyncio.Server] = []
        self.addresses: tuple[str, ...] = ()
        self.problem: str | None = None
        self.failures = 0

    async def run(self) -> None:
        """Serve until cancelled."""
        if not self._settings.is_on:
            await asyncio.Event().wait()
        await asyncio.to_thread(import_module, "guard.api.http")
        await asyncio.to_thread(import_module, "guard.api.metrics")
        server = self._make()
        self._live.publisher.on_published = server.stream.published
        try:
            while not await self._listen(server):
                await self._live.clock.sleep(_AGAIN_S)
            await server.stream.run()
        finally:
            await self._close(server)

    def record(self) -> dict[str, Any]:
        """Return how the interface fares, for the status document."""
        publisher, server, gate = self._live.publisher, self._server, self._gate
        silent_us = publisher.silent_us
        found: dict[str, Any] = {
            "on": self._settings.is_on,
            "addresses": list(self.addresses),
            "problem": self.problem,
            "unready": self.unready(),
            "heartbeat_age_s": None if silent_us is None else round(silent_us / 1e6, 3),
            "tokens": len(self._tokens.current()),
            "tokens_problem": self._tokens.problem,
            "connections": 0,
            "streams": 0,
            "requests": 0,
            "failures": self.failures,
            "refused": {},
        }
        if server is not None and gate is not None:
            found |= {
                "connections": len(server.doors.open),
                "streams": server.stream.readers,
                "requests": sum(server.counts.values()),
                "refused": _refused(server, gate),
            }
        return found

    def unready(self) -> list[str]:
        """Return what keeps guard from protecting bots now; nothing where all is well."""
        live = self._live
        silent_us = live.publisher.silent_us
        found = {
            "heartbeat": silent_us is None or silent_us > live.publisher.lease_us,
            "ledger": not live.is_durable,
            "feeds": not live.feeds or not all(feed.is_streaming for feed in live.feeds),
            "rules": not self._is_ruled(),
        }
        # What `guard deadman` waits for in the heartbeat file, stage by stage.
        unproved = [f"proof of {stage}" for stage in live.vigil.proof.missing]
        return [*(name for name, is_wrong in found.items() if is_wrong), *unproved]

    def _make(self) -> HttpServer:
        from guard.api.checks import Checks  # noqa: PLC0415 - loads aiohttp, which takes long, and few need it
        from guard.api.door import Limits  # noqa: PLC0415 - likewise
        from guard.api.gate import Gate  # noqa: PLC0415 - likewise
        from guard.api.http import Desk, HttpServer  # noqa: PLC0415 - likewise

        settings, clock = self._settings, self._live.clock
        limits = Limits(settings.connections, settings.streams, settings.requests_per_second)
        checks = Checks(lambda bot: Guard(self._state.snapshot, bot), self._bots)
        desk = Desk(
            self._live.publisher,
            checks,
            self._operators.handlers(),
            lambda _arguments: self._status.get(),
            self._metrics,
            self.unready,
            pairlist=_pairlist(),
        )
        gate = Gate(self._tokens, (), requests_per_s=limits.requests_per_s, monotonic_us=clock.monotonic_us)
        self._gate, self._checks = gate, checks
        self._server = HttpServer(desk, gate, limits, clock, self._failed)
        return self._server

    async def _listen(self, server: HttpServer) -> bool:
        """Open what guard.yaml asks for; tell whether that went well."""
        try:
            await self._open_all(server)
        except (OSError, StateError, LookupError) as error:
            await self._close_listeners()
            if self.problem != str(error):
                self.problem = str(error)
                _log.error("the HTTP interface cannot be opened", problem=self.problem)
                body = f"{self.problem}. Bots on this machine read the snapshot and are not concerned."
                self._live.announce("http", "the HTTP interface cannot be opened", body)
            return False
        if self.problem is not None:
            self._live.announce("http", "the HTTP interface is open", ", ".join(self.addresses), Level.NORMAL)
        self.problem = None
        _log.info("the HTTP interface is open", addresses=self.addresses)
        if not self._tokens.current() and self._settings.listen is not None:
            _log.warning("no token opens the HTTP interface yet; make one with `guard token add`", problem=self._tokens.problem)
        return True

    async def _open_all(self, server: HttpServer) -> None:
        from guard.api.gate import local_hosts  # noqa: PLC0415 - loads aiohttp

        settings, loop = self._settings, asyncio.get_running_loop()
        addresses: list[str] = []
        if settings.unix is not None:
            path = self._folder / settings.unix
            opened = await loop.create_unix_server(server.doors, sock=_unix_socket(path, settings.group), backlog=_BACKLOG)
            self._open.append(opened)
            addresses.append(f"unix:{path}")
        if settings.listen is not None:
            context = None if settings.tls is None else secured(self._folder / settings.tls.cert, self._folder / settings.tls.key)
            options: dict[str, Any] = {} if context is None else {"ssl": context, "ssl_handshake_timeout": _HANDSHAKE_S}
            opened = await loop.create_server(server.doors, settings.host, settings.port, backlog=_BACKLOG, **options)
            self._open.append(opened)
            port = opened.sockets[0].getsockname()[1]
            near = "localhost" if settings.host in _EVERY_ADDRESS else settings.host
            named = {name.lower() for host in settings.hosts for name in (host, f"{host}:{port}")}
            assert self._gate is not None
            self._gate.hosts = local_hosts(near, port) | named
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            addresses.append(f"{'http' if context is None else 'https'}://{host}:{port}")
        self.addresses = tuple(addresses)

    async def _close(self, server: HttpServer) -> None:
        server.stream.close()
        await self._close_listeners()
        server.doors.pre_shutdown()
        await server.doors.shutdown(1.0)
        if self._settings.unix is not None:
            (self._folder / self._settings.unix).unlink(missing_ok=True)

    async def _close_listeners(self) -> None:
        for each in self._open:
            each.close()
        self._open.clear()
        self.addresses = ()

    def _failed(self, error: BaseException) -> None:
        self.failures += 1
        _log.error("an HTTP request failed", exc_info=error)

    async def _metrics(self) -> bytes:
        from guard.api.metrics import page  # noqa: PLC0415 - loads prometheus_client

        document = await self._figures.get()
        if self._page[0] is not document:
            assert self._server is not None
            assert self._gate is not None
            counters: dict[str, Mapping[tuple[str, ...], float]] = {
                "guard_http_requests": {(route, str(code)): count for (route, code), count in self._server.counts.items()},
                "guard_http_checks": self._checks.counts,
                "guard_http_refused": {(why,): count for why, count in _refused(self._server, self._gate).items()},
            }
            self._page = (document, page(document, counters))
        return self._page[1]


class _Recent:
    """The status document, made at most once a second however many ask."""

    def __init__(self, make: Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]], monotonic_us: Callable[[], int]) -> None:
        self._make = make
        self._monotonic_us = monotonic_us
        self._lock = asyncio.Lock()
        self._made: Mapping[str, Any] = {}
        self._due_us = 0

    async def get(self) -> Mapping[str, Any]:
        async with self._lock:
            if self._monotonic_us() >= self._due_us:
                self._made = await self._make({})
                self._due_us = self._monotonic_us() + _RECENT_US
            return self._made


def _pairlist() -> Callable[..., tuple[int, str, bytes]] | None:
    try:
        found: Callable[..., tuple[int, str, bytes]] = import_module("guard.api.pairlist").pairlist
    except ModuleNotFoundError:
        return None
    return found


def _refused(server: HttpServer, gate: Gate) -> dict[str, int]:
    return {
        "auth": gate.failures.total,
        "rate": gate.rate_limited,
        "origin": gate.refused_origins,
        "connections": server.doors.turned_away,
        "cut": server.doors.cut + server.stream.cut,
    }


def _unix_socket(path: Path, group: str | None) -> socket.socket:
    """Bind a socket that the group may use. Raises StateError where another process answers there."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        refuse_live(path)
        if path.is_socket():
            path.unlink()
        with reachable(path) as name:
            listening.bind(name)
        if group is not None:
            shutil.chown(path, group=int(group) if group.isdigit() else group)
        path.chmod(0o660)
        listening.setblocking(False)  # noqa: FBT003 - the name of this argument differs between versions
    except BaseException:
        listening.close()
        raise
    return listening


def secured(cert: Path, key: Path) -> ssl.SSLContext:
    """Return the context of a certificate. Raises StateError for a key that others can read."""
    if key.stat().st_mode & 0o077:
        raise StateError(f"others can read the key {key}; chmod 600 it")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    return context
