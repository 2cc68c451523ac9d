"""The HTTP server's connections: aiohttp's protocol with limits that a hostile or sleepy client runs into."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.streams import StreamReader

__all__ = ["Doors", "Limits", "Quick", "plain"]

HEAD_BYTES_MAX: Final = 8 * 1024
BODY_BYTES_MAX: Final = 64 * 1024
_HEAD_END: Final = b"\r\n\r\n"
_TAIL: Final = len(_HEAD_END) - 1
_HEADERS_MAX: Final = 64
SECURITY: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Server": "guard",
}


class Limits(NamedTuple):
    """What one client may take, all > 0.

    `read_s` is how long a request may take to come in once it has begun, `write_s` how long its answer may take to be fetched,
    `idle_s` how long a connection may be silent between requests. `requests_per_s` is for each token, with as many at once.
    """

    connections_max: int = 256
    streams_max: int = 32
    requests_per_s: int = 5_000
    read_s: float = 2.0
    write_s: float = 10.0
    idle_s: float = 30.0


_HEAD: Final = "".join(f"{name}: {value}\r\n" for name, value in {**SECURITY, "Content-Type": "application/json"}.items())
_ANSWER: Final = f"HTTP/1.1 200 OK\r\n{_HEAD}Content-Length: ".encode()
_UNFETCHED_MAX: Final = 256 * 1024


class Quick:
    """A small answer in JSON, written as it is: aiohttp's own answers cost several times what a check does.

    Only for a request that keeps its connection and wants the body.
    """

    __slots__ = ("_body",)
    status = 200
    keep_alive = True

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write the answer, or cut a client that asks on and on and fetches nothing."""
        transport = request.transport
        if transport is None or transport.get_write_buffer_size() > _UNFETCHED_MAX:
            if transport is not None:
                transport.abort()
            raise ConnectionResetError("the client is gone, or fetches no answers")
        transport.write(b"%b%d\r\n\r\n%b" % (_ANSWER, len(self._body), self._body))

    async def write_eof(self) -> None:
        """Do nothing more."""


def plain(status: int, text: str, **headers: str) -> web.Response:
    """Return an error as text: a bot that reads lists would take an error in JSON for an empty list, and trade."""
    return web.Response(status=status, text=f"{text}\n", content_type="text/plain", headers={**SECURITY, **headers})


class Doors(web.Server):
    """Makes the protocol of each connection, counts them, and shuts late ones out.

    Parameters
    ----------
    handler
        Answers one request; what it raises is a mistake of guard.
    limits
        What a client may take.
    failed
        Told of each exception that `handler` raised.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[Any]],
        limits: Limits,
        failed: Callable[[BaseException], None],
    ) -> None:
        super().__init__(handler, request_factory=self._request)
        self.limits = limits
        self.failed = failed
        self.open: set[Door] = set()
        self.turned_away = 0
        self.cut = 0

    def __call__(self) -> RequestHandler:
        """Return the protocol of a new connection."""
        loop = asyncio.get_running_loop()
        return Door(
            self,
            loop=loop,
            access_log=None,
            keepalive_timeout=self.limits.idle_s,
            max_headers=_HEADERS_MAX,
            max_line_size=HEAD_BYTES_MAX,
            max_field_size=HEAD_BYTES_MAX,
            lingering_time=0,
            auto_decompress=False,
        )

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        assert isinstance(protocol, Door)
        protocol.begun()
        loop = asyncio.get_running_loop()
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=BODY_BYTES_MAX)


class Door(RequestHandler):
    """One connection. A request has 2 seconds from its first byte to the last of its head, and 8 KiB for it."""

    __slots__ = ("_doors", "_head_bytes", "_is_in_head", "_message_bytes", "_tail", "_timer")

    def __init__(self, doors: Doors, **options: Any) -> None:  # noqa: ANN401 - aiohttp's own
        super().__init__(doors, **options)
        self._doors = doors
        self._timer: asyncio.TimerHandle | None = None
        self._is_in_head = True
        self._head_bytes = self._message_bytes = 0
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the client in, or tell it that too many are."""
        super().connection_made(transport)
        doors = self._doors
        if len(doors.open) >= doors.limits.connections_max:
            doors.turned_away += 1
            self._refuse(503, f"more than {doors.limits.connections_max} connections; try again")
            return
        doors.open.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the client."""
        self._doors.open.discard(self)
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request, as long as it keeps to its limits."""
        if self._force_close:
            return
        if self._is_in_head:
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(self._doors.limits.read_s, self._too_slow)
            end = (self._tail + data).find(_HEAD_END)
            head = self._head_bytes + (len(data) if end < 0 else end + len(_HEAD_END) - len(self._tail))
            if head > HEAD_BYTES_MAX:
                self._refuse(431, f"the head of a request has at most {HEAD_BYTES_MAX} bytes")
                return
            self._head_bytes = head
            self._tail = (self._tail + data)[-_TAIL:]
            if end >= 0:
                self._is_in_head = False
        self._message_bytes += len(data)
        # Also what is sent ahead, before the answer, counts.
        if self._message_bytes > HEAD_BYTES_MAX + BODY_BYTES_MAX:
            self._refuse(413, f"a request has at most {BODY_BYTES_MAX} bytes")
            return
        super().data_received(data)

    def begun(self) -> None:
        """Note that a request's head is whole; its body is read under a time limit of its own."""
        self._stop_timer()

    async def finish_response(
        self,
        request: web.BaseRequest,
        resp: Any,  # noqa: ANN401 - an answer of either kind
        start_time: float | None,
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; a client that does not fetch it is cut."""
        try:
            if isinstance(resp, Quick):
                return await super().finish_response(request, resp, start_time)  # type: ignore[arg-type] # aiohttp asks no more of it
            async with asyncio.timeout(self._doors.limits.write_s):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:
            self._cut()
            return resp, True
        finally:
            self._is_in_head = True
            self._head_bytes = self._message_bytes = 0
            self._tail = b""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what went wrong without a word of what was sent: it may hold a token."""
        del message
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        if status >= 500:  # noqa: PLR2004 - a mistake of guard
            self._doors.failed(exc or RuntimeError(f"status {status}"))
            text = "guard failed at this request: a mistake of guard, see its log"
        else:
            text = "this is no request that guard understands"
        response = plain(status, text)
        response.force_close()
        return response

    def _refuse(self, status: int, text: str) -> None:
        self._doors.cut += 1
        transport = self.transport
        if transport is not None and not transport.is_closing():
            body = f"{text}\n".encode()
            head = f"HTTP/1.1 {status} Refused\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
            transport.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        self._stop_timer()
        self.force_close()

    def _too_slow(self) -> None:
        self._timer = None
        self._refuse(408, "the request took too long to come in")

    def _cut(self) -> None:
        self._doors.cut += 1
        transport = self.transport
        if transport is not None:
            transport.abort()
        self.force_close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
