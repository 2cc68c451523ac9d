"""Times and foreign texts as a terminal may show them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from guard.cli.durations import say_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["age_text", "counts_text", "hole_text", "judged", "market_wide", "moment", "safe"]

_TEXT_MAX = 300
_SECOND_MS, _MINUTE_MS = 1000.0, 60_000.0


def safe(text: str) -> str:
    r"""Return a text from outside without what could steer a terminal.

    Examples
    --------
    >>> safe("PEPE\x1b[31m/USDT")
    'PEPE?[31m/USDT'
    """
    return "".join(sign if sign.isprintable() else "?" for sign in text[:_TEXT_MAX])


def counts_text(counts: Mapping[str, int]) -> str:
    """Return counts as a sentence's end: ``4 ordered, 3 done, 1 dead``; without zeros."""
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "nothing"


def hole_text(hole: Mapping[str, Any]) -> str:
    """Return what is missing on a recording, in which file and why."""
    from guard.model.moments import stamp

    told = f"{hole['file']}: {hole['reason']}"
    if "rows" in hole:
        told += f", {hole['rows']:,} rows are missing"
    if "since_us" in hole:
        told += f" from {stamp(hole['since_us'])} to {stamp(hole['until_us'])}"
    return f"{told}, {hole['bytes']:,} bytes" if "bytes" in hole else told


def judged(verdict: Mapping[str, Any]) -> tuple[str, str]:
    """Return what a verdict line is about, and how many markets of a group hold its level; the latter is empty for a market.

    Examples
    --------
    >>> judged({"market": "okx:A/USDT"})
    ('okx:A/USDT', '')
    >>> judged({"market": "okx:A/USDT", "per": "exchange", "group": "okx", "quorum": {"held": 3, "needed": 2, "of": 9}})
    ('exchange:okx', '3 of 9 markets, quorum 2')
    """
    if "group" not in verdict:
        return verdict["market"], ""
    quorum = verdict["quorum"]
    return f"{verdict['per']}:{verdict['group']}", f"{quorum['held']} of {quorum['of']} markets, quorum {quorum['needed']}"


def moment(at_us: int, *, now_us: int) -> str:
    """Return a time in UTC, as all of guard tells it, and how far it is: ``14:05:00Z (in 28m 10s)``."""
    there, today = (datetime.fromtimestamp(us / 1e6, UTC) for us in (at_us, now_us))
    shown = f"{there:%H:%M:%S}Z" if there.date() == today.date() else f"{there:%Y-%m-%d %H:%M}Z"
    away = say_duration(abs(at_us - now_us))
    return f"{shown} (in {away})" if at_us >= now_us else f"{shown} ({away} ago)"


def market_wide(state: Mapping[str, Any], *, now_us: int) -> str:
    """Return one line for an exchange that moves as a whole: until when, and what of it is not held one by one.

    Examples
    --------
    >>> state = {"exchange": "okx", "until_us": 600_000_000, "findings": 2, "explained": ["okx:A/USDT"], "explained_more": 0}
    >>> market_wide(state, now_us=0)
    'okx moves as a whole until 00:10:00Z (in 10m): 2 findings explained by its leader, now okx:A/USDT'
    """
    led = list(map(safe, state["explained"]))
    more = f" and {state['explained_more']} more" if state["explained_more"] else ""
    now = f", now {', '.join(led)}{more}" if led else ""
    count = f"{state['findings']} finding{'' if state['findings'] == 1 else 's'}"
    until = moment(state["until_us"], now_us=now_us)
    return f"{safe(state['exchange'])} moves as a whole until {until}: {count} explained by its leader{now}"


def age_text(milliseconds: float) -> str:
    """Return an age as people say it: 781 ms, 2.1 s, 3 min 04 s."""
    if milliseconds < _SECOND_MS:
        return f"{milliseconds:.0f} ms"
    if milliseconds < _MINUTE_MS:
        return f"{milliseconds / _SECOND_MS:.1f} s"
    minutes, seconds = divmod(int(milliseconds / _SECOND_MS), 60)
    return f"{minutes} min {seconds:02d} s"
