"""Times and foreign texts as a terminal may show them."""

from __future__ import annotations

from datetime import UTC, datetime

from guard.cli.durations import say_duration

__all__ = ["moment", "safe"]

_TEXT_MAX = 300


def safe(text: str) -> str:
    r"""Return a text from outside without what could steer a terminal.

    Examples
    --------
    >>> safe("PEPE\x1b[31m/USDT")
    'PEPE?[31m/USDT'
    """
    return "".join(sign if sign.isprintable() else "?" for sign in text[:_TEXT_MAX])


def moment(at_us: int, *, now_us: int) -> str:
    """Return a time as the reader's clock shows it, and how far it is: ``14:05 (in 28m 10s)``."""
    there = datetime.fromtimestamp(at_us / 1e6, UTC).astimezone()
    today = datetime.fromtimestamp(now_us / 1e6, UTC).astimezone()
    shown = f"{there:%H:%M:%S}" if there.date() == today.date() else f"{there:%Y-%m-%d %H:%M}"
    away = say_duration(abs(at_us - now_us))
    return f"{shown} (in {away})" if at_us >= now_us else f"{shown} ({away} ago)"
