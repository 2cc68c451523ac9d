"""HTTP for what cannot read the snapshot or open the operator's socket: other languages, other hosts, people."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from urllib.parse import unquote

from aiohttp import HttpVersion11, web

from guard.api.blocklist import Blocklist, blocks_digest
from guard.api.checks import arguments_of, json_answer
from guard.api.door import BODY_BYTES_MAX, SECURITY, Doors, Limits, Quick, plain
from guard.api.gate import Caller, Gate, Refused
from guard.api.routes import Route, find
from guard.api.stream import Stream
from guard.api.tokens import Scope
from guard.dsl.values import duration_us
from guard.errors import GuardError, OperationRefused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from guard.api.blocklist import Listed, Published
    from guard.api.checks import Checks
    from guard.model.ports import Clock

    Operation = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]

__all__ = ["Desk", "HttpServer"]

_HANDLE_S: Final = 80.0
_METRICS_TYPE: Final = "text/plain; version=0.0.4"
_OPERATORS_ONLY: Final = ("channels", "outbox", "actions")


class Desk(NamedTuple):
    """What the interface is given of a running guard.

    `operations` are those of the operator's socket, `metrics` returns a page for Prometheus, `unready` says what keeps guard from
    protecting bots now, `pairlist` makes Freqtrade's list of a snapshot.
    """

    published: Published
    checks: Checks
    operations: Mapping[str, Operation]
    status: Operation
    metrics: Callable[[], Awaitable[bytes]]
    unready: Callable[[], list[str]]
    pairlist: Callable[..., tuple[int, str, bytes]] | None = None


class _Exchange(Protocol):
    """Answers one request."""

    def __call__(self, request: web.BaseRequest, caller: Caller, name: str) -> Awaitable[web.StreamResponse]: ...


class HttpServer:
    """Answer requests, within limits.

    Parameters
    ----------
    desk
        What is answered from.
    gate
        Who may ask.
    limits, clock
        What a client may take, and the time.
    failed
        Told of exceptions that are mistakes of guard.

    Notes
    -----
    Every error is plain text, on every route: a bot that reads a list must not take an error for an empty one. Lists are never
    answered once guard has not proved to live within its lease.
    """

    def __init__(self, desk: Desk, gate: Gate, limits: Limits, clock: Clock, failed: Callable[[BaseException], None]) -> None:
        self._desk = desk
        self._gate = gate
        self._limits = limits
        self._clock = clock
        self.doors = Doors(self.handle, limits, failed)
        self.blocklist = Blocklist(desk.published)
        self.stream = Stream(self.blocklist, clock, readers_max=limits.streams_max)
        self.counts: dict[tuple[str, int], int] = {}
        self._handlers: dict[str, _Exchange] = {
            "blocklist": self._blocklist,
            "stream": self._stream,
            "pairlist": self._pairlist,
            "status": self._status,
            "metrics": self._metrics,
            "healthz": self._healthz,
            "readyz": self._readyz,
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse | Quick:
        """Answer one request."""
        path, _, query = request.raw_path.partition("?")
        routes, name = find(path)
        method = "GET" if request.method == "HEAD" and path != "/v1/stream" else request.method
        route = routes.get(method)
        try:
            self._gate.check_site(request)
            if route is None:
                response: web.StreamResponse | Quick = _nowhere(routes)
            elif route.handler == "check":
                self._gate.caller(request, Scope.READ)
                found = self._desk.checks.answer(query)
                is_quick = request.keep_alive and request.method == "GET" and request.version == HttpVersion11
                response = Quick(found) if is_quick else json_answer(found)
            else:
                response = await self._routed(request, route, unquote(name))
        except Refused as refused:
            response = refused.response
        key = (route.path if route else "other", response.status)
        self.counts[key] = self.counts.get(key, 0) + 1
        if not isinstance(response, Quick) and response.status >= 400 and request.body_exists:  # noqa: PLR2004 - an error
            # The rest of its body is not waited for.
            response.force_close()
        return response

    async def _routed(self, request: web.BaseRequest, route: Route, name: str) -> web.StreamResponse:
        if route.scope is None:
            self._gate.count(request.remote or "unix")
            caller = Caller("", Scope.READ)
        else:
            caller = self._gate.caller(request, route.scope)
        try:
            if route.op is not None:
                return await self._operation(request, route.op, caller, writes=route.writes)
            return await self._handlers[route.handler](request, caller, name)
        except OperationRefused as error:
            return plain(409, str(error))
        except Unavailable as error:
            return plain(503, str(error))
        except GuardError as error:
            return plain(500, str(error))

    async def _operation(self, request: web.BaseRequest, op: str, caller: Caller, *, writes: bool) -> web.StreamResponse:
        operation = self._desk.operations.get(op)
        if operation is None:
            return plain(404, f"this guard knows no operation {op}")
        arguments = _timed(await self._body(request)) if writes else {}
        try:
            async with asyncio.timeout(_HANDLE_S):
                # Whoever asked may go away: an order is not left halfway.
                task = asyncio.ensure_future(operation({**arguments, "actor": caller.actor}))
                answer = await asyncio.shield(task)
        except TimeoutError:
            return plain(504, f"{op} took longer than {_HANDLE_S:g} s and may still be done; look at the status")
        return json_answer(json.dumps(answer, default=str).encode())

    async def _body(self, request: web.BaseRequest) -> dict[str, Any]:
        if request.content_type != "application/json" or "Content-Encoding" in request.headers:
            raise Refused(plain(415, "a request that changes something is JSON: Content-Type: application/json"))
        if (request.content_length or 0) > BODY_BYTES_MAX:
            raise Refused(plain(413, f"a request has at most {BODY_BYTES_MAX} bytes"))
        try:
            async with asyncio.timeout(self._limits.read_s):
                raw = await request.read()
        except TimeoutError as error:
            raise Refused(plain(408, "the request took too long to come in")) from error
        except web.HTTPRequestEntityTooLarge as error:
            raise Refused(plain(413, f"a request has at most {BODY_BYTES_MAX} bytes")) from error
        except (web.RequestPayloadError, ValueError, OSError) as error:
            raise Refused(plain(400, "the body of the request cannot be read")) from error
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise Refused(plain(400, "the body is no JSON")) from error
        if not isinstance(found, dict):
            raise Refused(plain(400, "the body is a JSON object"))
        return found

    def _listed(self) -> Listed:
        """Return the list. Raises Refused where guard did not prove to live lately."""
        listed = self.blocklist.current() if self.blocklist.is_fresh else None
        if listed is None:
            raise Refused(plain(503, "guard has not proved to live within its lease: no list is better than an old one"))
        return listed

    async def _blocklist(self, request: web.BaseRequest, caller: Caller, name: str) -> web.StreamResponse:
        del caller, name
        given = arguments_of(request.raw_path.partition("?")[2], ("since",))
        listed = self._listed()
        headers = {"ETag": listed.name, "Cache-Control": "no-cache", **self._moment()}
        if "since" in given:
            changes = self._since(listed, given["since"])
            if changes is not None:
                return json_answer(changes, **headers)
        if listed.name in [part.strip() for part in request.headers.get("If-None-Match", "").split(",")]:
            return web.Response(status=304, headers={**SECURITY, **headers})
        now_us = self._clock.now_us()
        return json_answer(listed.document(now_us=now_us, lease_until_us=now_us + self.blocklist.left_us), **headers)

    def _moment(self) -> dict[str, str]:
        now_us = self._clock.now_us()
        return {
            "Guard-Now": f"{self._clock.monotonic_us()} {now_us}",
            "Guard-Lease-Until": str(now_us + self.blocklist.left_us),
        }

    def _since(self, listed: Listed, since: str) -> bytes | None:
        """Return what changed, None where only the whole list tells."""
        *epoch, seq = since.split(".")
        if len(epoch) > 1 or not all(part.isascii() and part.isdigit() and len(part) < 20 for part in (*epoch, seq)):  # noqa: PLR2004 - digits of 64 bits
            raise Refused(plain(400, "since is a sequence number, or epoch.seq"))
        if epoch and int(epoch[0]) != listed.epoch:
            return None
        changes = self.blocklist.since(listed, int(seq))
        if changes is None:
            return None
        document = {
            "schema": 1,
            "full": False,
            "epoch": listed.epoch,
            "seq": listed.seq,
            "since": int(seq),
            "count": len(listed.blocks),
            "blocks_digest": blocks_digest(listed.blocks),
            "lease_until_us": self._clock.now_us() + self.blocklist.left_us,
            **changes._asdict(),
        }
        return json.dumps(document, separators=(",", ":")).encode()

    async def _stream(self, request: web.BaseRequest, caller: Caller, name: str) -> web.StreamResponse:
        del name
        if self.stream.is_full:
            return plain(503, f"more than {self._limits.streams_max} streams; try again", **{"Retry-After": "5"})
        self._listed()
        response = web.StreamResponse(headers={**SECURITY, "X-Accel-Buffering": "no"})
        response.content_type = "text/event-stream"
        await response.prepare(request)

        async def write(piece: bytes) -> None:
            async with asyncio.timeout(self._limits.write_s):
                await response.write(piece)

        try:
            last_id = request.headers.get("Last-Event-ID")
            await self.stream.serve(last_id, write, lambda: self._gate.still_valid(caller, Scope.READ))
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        response.force_close()
        return response

    async def _pairlist(self, request: web.BaseRequest, caller: Caller, name: str) -> web.StreamResponse:
        given = arguments_of(request.raw_path.partition("?")[2], ("mode", "bot"))
        del caller
        listed = self._listed()
        if self._desk.pairlist is None:
            return plain(404, "this guard knows no lists for Freqtrade")
        status, kind, body = self._desk.pairlist(
            listed.snapshot(),
            name,
            bot=given.get("bot"),
            mode=given.get("mode", "blacklist"),
            now_us=self._clock.now_us(),
            is_bypassed=self._desk.checks.is_bypassed,
        )
        if status != 200:  # noqa: PLR2004 - an error, and text
            return plain(status, body.decode("utf-8", "replace").strip())
        return web.Response(body=body, content_type=kind.partition(";")[0], headers=SECURITY)

    async def _status(self, request: web.BaseRequest, caller: Caller, name: str) -> web.StreamResponse:
        del request, name
        document = await self._desk.status({})
        if caller.scope < Scope.OPERATE:
            document = {key: value for key, value in document.items() if key not in _OPERATORS_ONLY}
        return json_answer(json.dumps({"schema": 1, **document}, default=str).encode())

    async def _metrics(self, request: web.BaseRequest, caller: Caller, name: str) -> web.StreamResponse:
        del request, caller, name
        headers = {**SECURITY, "Content-Type": f"{_METRICS_TYPE}; charset=utf-8"}
        return web.Response(body=await self._desk.metrics(), headers=headers)

    async def _healthz(self, request: web.BaseRequest, caller: Caller, name: str) -> web.StreamResponse:
        del request, caller, name
        return plain(200, "ok")

    async def _readyz(self, request: web.BaseRequest, caller: Caller, name: str) -> web.StreamResponse:
        del request, caller, name
        reasons = self._desk.unready()
        return plain(503, "not ready: " + ", ".join(reasons)) if reasons else plain(200, "ready")


def _timed(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return arguments with durations as the operations take them. Raises OperationRefused."""
    given = arguments.pop("for", None)
    if given is None:
        return arguments
    try:
        return {**arguments, "for_us": duration_us(given)}
    except ValueError as error:
        raise OperationRefused(f"for: {error}") from error


def _nowhere(routes: Mapping[str, Route]) -> web.Response:
    if not routes:
        return plain(404, "no such path; docs/http.md lists them all")
    return plain(
        405,
        "this path takes " + ", ".join(sorted(routes)),
        Allow=", ".join(sorted({*routes, "HEAD"} if "GET" in routes else routes)),
    )
