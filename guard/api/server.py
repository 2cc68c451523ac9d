"""The operator's door: a unix socket that only the owner of guard can open."""

from __future__ import annotations

import asyncio
import pwd
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from guard.api.protocol import REQUEST_BYTES_MAX, ErrorKind, failure, parse_request, reachable, success
from guard.errors import GuardError, StateError

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable, Mapping

    Handler = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]

__all__ = ["OperatorServer", "refuse_live"]

_CREDENTIALS = struct.Struct("3i")


class OperatorServer:
    """Serve the operations of a running guard to its operator.

    Parameters
    ----------
    path
        The socket; made with mode 0600. One that a dead guard left is replaced, one that answers is a StateError.
    handlers
        Operations by name. Each takes the arguments of the request and returns what JSON can hold. What it raises of `GuardError`
        is told to the caller; any other exception is a mistake of guard: the caller is told so, the loop's exception handler gets
        it, `failures` counts it, and the server goes on.
    idle_s, handle_s
        How long a connection may be silent, and how long a handler may take, > 0.
    connections_max
        How many may be open at once, > 0; one more is told to try again.

    Notes
    -----
    The argument ``actor`` is set here to the user at the other end, as the system knows it: nobody can sign for another.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        handlers: Mapping[str, Handler],
        *,
        idle_s: float = 10.0,
        handle_s: float = 30.0,
        connections_max: int = 32,
    ) -> None:
        self._path = Path(path)
        self._handlers = dict(handlers)
        self._idle_s = idle_s
        self._handle_s = handle_s
        self._connections_max = connections_max
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.failures = 0

    async def start(self) -> None:
        """Open the door. Raises StateError where another guard answers at this socket, or it cannot be made."""
        try:
            listening = self._bind()
        except OSError as error:
            raise StateError(f"the operator's socket {self._path} cannot be made: {error.strerror}") from error
        self._server = await asyncio.start_unix_server(self._connected, sock=listening, limit=REQUEST_BYTES_MAX)

    async def stop(self) -> None:
        """Close the door and every connection. Safe to call twice."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        open_tasks = tuple(self._connections)
        for task in open_tasks:
            task.cancel()
        await asyncio.gather(*open_tasks, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _bind(self) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with reachable(self._path) as name:
                if self._path.is_socket():
                    _refuse_live(name, self._path)
                    self._path.unlink()
                listening.bind(name)
            # Nobody can connect before listen(), so no one slips in before the mode is set.
            self._path.chmod(0o600)
            listening.setblocking(False)  # noqa: FBT003 - the name of this argument differs between versions
        except BaseException:
            listening.close()
            raise
        return listening

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._converse(reader, writer)
        except (ConnectionError, TimeoutError):
            # The other side went away or sleeps; it has learnt all it waited for.
            pass
        except asyncio.CancelledError:
            # Only `stop` cancels; asyncio's streams complain of a connection that ends cancelled.
            pass
        finally:
            self._connections.discard(task)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) > self._connections_max:
            await self._send(writer, failure(ErrorKind.BUSY, f"more than {self._connections_max} connections; try again"))
            return
        actor = _actor(writer)
        while True:
            try:
                async with asyncio.timeout(self._idle_s):
                    line = await reader.readline()
            except ValueError:
                message = f"a request has at most {REQUEST_BYTES_MAX} bytes"
                await self._send(writer, failure(ErrorKind.MALFORMED, message))
                return
            if not line.endswith(b"\n"):
                return
            await self._send(writer, await self._reply(line, actor))

    async def _send(self, writer: asyncio.StreamWriter, line: bytes) -> None:
        writer.write(line)
        async with asyncio.timeout(self._idle_s):
            await writer.drain()

    async def _reply(self, line: bytes, actor: str) -> bytes:
        try:
            op, arguments = parse_request(line)
        except ValueError as error:
            return failure(ErrorKind.MALFORMED, str(error))
        handler = self._handlers.get(op)
        if handler is None:
            return failure(ErrorKind.UNKNOWN, f"guard knows no operation {op!r}; it knows {', '.join(sorted(self._handlers))}")
        try:
            async with asyncio.timeout(self._handle_s) as limit:
                return success(await handler({**arguments, "actor": actor}))
        except GuardError as error:
            return failure(ErrorKind.REFUSED, str(error))
        except Exception as error:  # noqa: BLE001 - the supervisor of a handler: it is told, counted, and the door stays open
            if isinstance(error, TimeoutError) and limit.expired():
                message = f"{op} took longer than {self._handle_s:g} s and was given up; look at `guard status` whether it was done"
                return failure(ErrorKind.TIMEOUT, message)
            self.failures += 1
            context = {"message": f"the operator's operation {op} failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
            return failure(
                ErrorKind.FAILED, f"guard failed at {op} ({type(error).__name__}): this is a mistake of guard, see its log"
            )


def refuse_live(path: Path) -> None:
    """Raise StateError where a guard answers at the socket `path`."""
    if path.is_socket():
        with reachable(path) as name:
            _refuse_live(name, path)


def _refuse_live(name: str, path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(name)
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except TimeoutError:
            pass
    raise StateError(f"another guard answers at {path}; stop it first")


def _actor(writer: asyncio.StreamWriter) -> str:
    peer = writer.get_extra_info("socket")
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None or peer is None:
        return "operator"
    _, user, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size))
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
