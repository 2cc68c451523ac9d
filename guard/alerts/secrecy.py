"""Secrets of channel URLs kept out of errors and logs."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Redactor", "secrets_of"]

_MASK = "***"
_LENGTH_MIN = 5
# Schemes whose host is a plain server name; elsewhere (tgram://, slack://, discord://) the host is part of the token.
_PLAIN_HOST = frozenset(
    [
        "http",
        "https",
        "json",
        "jsons",
        "xml",
        "xmls",
        "form",
        "forms",
        "mailto",
        "mailtos",
        "ntfy",
        "ntfys",
        "gotify",
        "gotifys",
        "matrix",
        "matrixs",
    ]
)


def secrets_of(url: str) -> frozenset[str]:
    """Return every part of a channel's URL that may be secret: user, password, path, query values, and the host of token schemes.

    Examples
    --------
    >>> sorted(secrets_of("json://me:passw0rd@example.org/hook-77?method=post"))
    ['hook-77', 'me:passw0rd', 'passw0rd']
    """
    parts = urlsplit(url)
    rest = url.partition("://")[2]
    if parts.scheme.lower() in _PLAIN_HOST:
        authority, slash, path = rest.partition("/")
        rest = f"{authority.rpartition('@')[0]}{slash}{path}"
    words = set(re.split(r"[/:@?&=,+#;\s]+", rest)) - {"method", "overflow", "format", "post", "silent", "split", "text"}
    words |= {unquote(word) for word in words}
    # tgram://123456789:token: the plug-in writes it as one word.
    words |= {found.group() for found in re.finditer(r"[^/@?&=,\s]{8,}", rest)}
    return frozenset(word for word in words if len(word) >= _LENGTH_MIN)


class Redactor(logging.Filter):
    """Replaces known secrets by ``***``, in texts and, installed on a logger, in its records.

    Examples
    --------
    >>> Redactor(["t0psecret"]).clean("POST /bott0psecret/sendMessage")
    'POST /bot***/sendMessage'
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__()
        longest_first = sorted(set(secrets), key=lambda secret: (-len(secret), secret))
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def clean(self, text: str) -> str:
        """Return `text` without secrets."""
        return text if self._pattern is None else self._pattern.sub(_MASK, text)

    def filter(self, record: logging.LogRecord) -> bool:
        """Clean one record; it always passes."""
        record.msg = self.clean(record.getMessage())
        record.args = None
        if record.exc_info:
            record.exc_text = self.clean(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True
