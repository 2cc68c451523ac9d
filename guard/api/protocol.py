"""The operator's protocol: one line of JSON asks, one line answers.

A request is ``{"op": "quarantine.add", "arguments": {...}}``, at most 64 KiB. An answer is ``{"ok": true, "answer": {...}}`` or
``{"ok": false, "error": KIND, "message": TEXT}`` with a kind of `ErrorKind`. A connection may ask again after each answer.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["ANSWER_BYTES_MAX", "REQUEST_BYTES_MAX", "ErrorKind", "Request", "failure", "parse_request", "reachable", "success"]

REQUEST_BYTES_MAX = 64 * 1024
ANSWER_BYTES_MAX = 16 * 1024 * 1024
# The system's limit for a socket's path is 108 bytes with the closing zero.
_PATH_BYTES_MAX = 100


class ErrorKind(StrEnum):
    """Why there is no answer. REFUSED: it cannot be done, the message says why. FAILED: a mistake of guard, its log tells."""

    MALFORMED = "malformed"
    UNKNOWN = "unknown_operation"
    REFUSED = "refused"
    BUSY = "busy"
    TIMEOUT = "timeout"
    FAILED = "failed"


class Request(NamedTuple):
    """What is asked."""

    op: str
    arguments: Mapping[str, Any]


def parse_request(line: bytes) -> Request:
    """Read a request; raises ValueError that says what is wrong."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"a request is one line of JSON; {error}") from error
    match document:
        case {"op": str(op), "arguments": dict(arguments)}:
            return Request(op, arguments)
        case {"op": str(op)} if "arguments" not in document:
            return Request(op, {})
        case _:
            raise ValueError('a request is {"op": TEXT, "arguments": OBJECT}')


def success(answer: Mapping[str, Any]) -> bytes:
    """Return the line of an answer. Raises ValueError where it is longer than 16 MiB or no JSON."""
    try:
        line = json.dumps({"ok": True, "answer": answer}, separators=(",", ":")).encode() + b"\n"
    except TypeError as error:
        raise ValueError(f"the answer is no JSON: {error}") from error
    if len(line) > ANSWER_BYTES_MAX:
        raise ValueError(f"the answer has {len(line)} bytes, at most {ANSWER_BYTES_MAX} are allowed")
    return line


def failure(kind: ErrorKind, message: str) -> bytes:
    """Return the line of an error."""
    return json.dumps({"ok": False, "error": kind, "message": message}, separators=(",", ":")).encode() + b"\n"


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """Yield a name of `path` short enough for a socket's address, good inside the block."""
    if len(os.fsencode(path)) <= _PATH_BYTES_MAX:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
