"""Ask the running guard, from a command: synchronous, standard library only."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guard.api.protocol import ANSWER_BYTES_MAX, REQUEST_BYTES_MAX, ErrorKind, reachable
from guard.client.clock import MACHINE
from guard.errors import NotRunning, OperationRefused, Timeout

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

__all__ = ["call"]

_CHUNK_BYTES = 64 * 1024


def call(path: str | os.PathLike[str], op: str, /, *, timeout_s: float = 10.0, **arguments: object) -> Mapping[str, Any]:
    """Return the answer of the guard whose socket is at `path`.

    Raises NotRunning where no guard listens or it goes away, Timeout after `timeout_s` in all (the order may still be carried out),
    OperationRefused with the reason where guard says no.
    """
    line = json.dumps({"op": op, "arguments": arguments}, separators=(",", ":")).encode() + b"\n"
    if len(line) > REQUEST_BYTES_MAX:
        raise OperationRefused(f"a request has at most {REQUEST_BYTES_MAX} bytes, this one has {len(line)}")
    deadline_ns = MACHINE.boot_ns() + int(timeout_s * 1e9)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            with reachable(Path(path)) as name:
                connection.connect(name)
            connection.sendall(line)
            answer = _receive(connection, deadline_ns)
    except TimeoutError as error:
        raise Timeout(f"guard did not answer {op!r} within {timeout_s:g} s; look at `guard status` whether it was done") from error
    except PermissionError as error:
        raise NotRunning(f"{path} belongs to another user; run this as the user that runs guard") from error
    except OSError as error:
        raise NotRunning(f"no live guard at {path} ({error.strerror or error}); start it with `guard run`") from error
    return _understood(answer, op)


def _receive(connection: socket.socket, deadline_ns: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while size <= ANSWER_BYTES_MAX:
        left_s = (deadline_ns - MACHINE.boot_ns()) / 1e9
        if left_s <= 0:
            raise TimeoutError
        connection.settimeout(left_s)
        part = connection.recv(_CHUNK_BYTES)
        if not part:
            raise ConnectionResetError("it went away before it answered")
        parts.append(part)
        size += len(part)
        if part.endswith(b"\n"):
            break
    return b"".join(parts)


def _understood(line: bytes, op: str) -> Mapping[str, Any]:
    try:
        document = json.loads(line)
        if document["ok"]:
            answer: Mapping[str, Any] = document["answer"]
            return answer
        kind, message = document["error"], str(document["message"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise OperationRefused(f"guard's answer to {op!r} cannot be read; are guard and this command of one version?") from error
    if kind == ErrorKind.TIMEOUT:
        raise Timeout(message)
    raise OperationRefused(message)
