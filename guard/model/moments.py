"""Moments as text, in UTC: for programs, and for people."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["stamp", "utc"]


def stamp(at_us: int) -> str:
    """Return a time as ISO 8601 in UTC with milliseconds.

    Examples
    --------
    >>> stamp(1_536_334_200_123_456)
    '2018-09-07T15:30:00.123Z'
    """
    # From whole seconds: a float of today's microseconds would round some milliseconds.
    moment = datetime.fromtimestamp(at_us // 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_us % 1_000_000 // 1000:03d}Z"


def utc(at_us: int) -> str:
    """Return a time as a person reads it.

    Examples
    --------
    >>> utc(1_000_000)
    '1970-01-01 00:00:01 UTC'
    """
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
