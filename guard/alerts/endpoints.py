"""Where webhooks post to; apart from what posts, which is slow to import."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from guard.alerts.secrecy import secrets_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Endpoint"]

# Shorter ones would star out half of every message.
_SECRET_MIN = 5


class Endpoint(NamedTuple):
    """One webhook of guard.yaml: where to post, the key of its signatures (None: unsigned), seconds of an attempt, its headers."""

    url: str
    key: bytes | None
    timeout_s: float
    headers: Mapping[str, str]

    def secrets(self) -> Iterator[str]:
        """Yield what may stand in no log and no message."""
        yield from secrets_of(self.url)
        values = [word for value in self.headers.values() for word in (value, *value.split())]
        values += [] if self.key is None else [self.key.decode()]
        yield from (value for value in values if len(value) >= _SECRET_MIN)
