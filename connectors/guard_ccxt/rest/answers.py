"""What the headers of a REST answer say about budgets and bans; they are read as hostile input."""

from __future__ import annotations

import math
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Reading", "lowered", "reading", "retry_after_s"]

_MINUTE_S = 60.0
_WEIGHT_MAX = 1e6
_BANNED_UNTIL = re.compile(r"until (\d{13})\b")
_FAPI_LIMIT = 2400.0


class Reading(NamedTuple):
    """What an exchange says of an address's budget: `used` of `limit`, and for how many seconds at most that stands."""

    used: float
    limit: float
    stands_s: float


def lowered(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return the headers by their names in small letters."""
    return {str(name).lower(): str(value) for name, value in (headers or {}).items()}


def reading(headers: Mapping[str, str], *, host: str, limit: float, now_us: int) -> Reading | None:
    """Return what lowered `headers` say, None where they say nothing that can be true.

    Binance tells what was used, the others what is left. `limit` stands in where only a use is told.
    """
    used = _number(headers.get("x-mbx-used-weight-1m"))
    if used is not None:
        if host.startswith(("fapi.", "dapi.")):
            limit = _FAPI_LIMIT
        return Reading(used, limit, _to_minute_s(headers, now_us))
    for left_name, most_name, reset_name, in_s in (
        ("gw-ratelimit-remaining", "gw-ratelimit-limit", "gw-ratelimit-reset", _after_ms),
        ("x-gate-ratelimit-requests-remain", "x-gate-ratelimit-limit", "x-gate-ratelimit-reset-timestamp", _at_s),
        ("x-bapi-limit-status", "x-bapi-limit", "x-bapi-limit-reset-timestamp", _at_ms),
    ):
        left, most = _number(headers.get(left_name)), _number(headers.get(most_name))
        if left is None or most is None or not most > 0 or left > most:
            continue
        reset = _number(headers.get(reset_name), most=1e15)
        stands_s = _MINUTE_S if reset is None else in_s(reset, now_us)
        return Reading(most - left, most, min(max(stands_s, 1.0), _MINUTE_S))
    return None


def retry_after_s(headers: Mapping[str, str], body: str, *, now_us: int) -> float | None:
    """Return how long an answer asks for quiet: ``Retry-After`` in seconds or as a date, or a ban's end in its text.

    None where nothing is said. A moment that is over asks for nothing: 0.
    """
    given = headers.get("retry-after")
    if given is not None:
        seconds = _number(given, most=1e9)
        if seconds is not None:
            return seconds
        until_us = _date_us(given)
        if until_us is not None:
            # By the exchange's own clock, where it tells that too.
            return max(0.0, (until_us - (_date_us(headers.get("date")) or now_us)) / 1e6)
    banned = _BANNED_UNTIL.search(body[:2000])
    return None if banned is None else max(0.0, int(banned[1]) / 1e3 - now_us / 1e6)


def _number(text: str | None, *, most: float = _WEIGHT_MAX) -> float | None:
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return number if 0 <= number <= most else None


def _to_minute_s(headers: Mapping[str, str], now_us: int) -> float:
    # Binance counts by the minutes of its own clock.
    at_us = _date_us(headers.get("date")) or now_us
    return _MINUTE_S - at_us / 1e6 % _MINUTE_S + 1.0


def _after_ms(reset: float, now_us: int) -> float:
    del now_us
    return reset / 1e3


def _at_s(reset: float, now_us: int) -> float:
    return reset - now_us / 1e6


def _at_ms(reset: float, now_us: int) -> float:
    return (reset - now_us / 1e3) / 1e3


def _date_us(text: str | None) -> int | None:
    try:
        found = parsedate_to_datetime(text or "")
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1e6)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
