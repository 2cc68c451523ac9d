"""When guard's own REST keeps quiet: asked to by the exchange, or because the address is busy with something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard_ccxt.connections.faults import RETRY_AFTER_S

if TYPE_CHECKING:
    from guard_ccxt.rest.answers import Reading

__all__ = ["Quiet"]

_BANNED = 418
_BAN_S = 120.0
_PAUSE_MAX_S, _BAN_MAX_S = 600.0, 3 * 86_400.0
_FORGIVEN_US = 600_000_000
_DOUBLINGS_MAX = 10


class Quiet:
    """Two reasons to ask nothing for a while.

    Parameters
    ----------
    stop_at
        The part of the exchange's budget, used by all of this address, at which guard stops asking. In (0, 1].

    Notes
    -----
    A refusal (429, 418, or what ccxt takes for one) is a pause of Retry-After, 30 s where nothing is said, 2 minutes for a ban. The
    next one within ten minutes of the pause's end doubles it. At most 10 minutes, for a ban 3 days. Refusals that come in while a
    pause lasts were asked for before it, and only lengthen it where they ask for more.

    After a stop for a busy address one request goes alone, and the others follow when it says that there is room again.
    """

    def __init__(self, *, stop_at: float) -> None:
        self.refusals = 0
        self.bans = 0
        self.stops = 0
        self.is_probing = False
        self.reading: Reading | None = None
        self._stop_at = stop_at
        self._read_us = 0
        self._paused_until_us = -2 * _FORGIVEN_US
        self._busy_until_us = 0
        self._in_a_row = 0
        self._why_paused = self._why_busy = ""

    def narrow(self, stop_at: float) -> None:
        """Stop at `stop_at` from now on, where that is less."""
        self._stop_at = min(self._stop_at, stop_at)

    def left_s(self, now_us: int) -> float:
        """Return seconds of quiet that are left."""
        return max(0, max(self._paused_until_us, self._busy_until_us) - now_us) / 1e6

    def why(self, now_us: int) -> str:
        """Return the reason for the quiet, empty where there is none."""
        if self._paused_until_us > now_us:
            return self._why_paused
        return self._why_busy if self._busy_until_us > now_us else ""

    def refuse(self, status: int, asked_s: float | None, now_us: int) -> bool:
        """Take note of a refusal; returns whether it begins a pause."""
        is_ban = status == _BANNED
        self.refusals += 1
        self.bans += is_ban
        begins = now_us >= self._paused_until_us
        if begins:
            forgiven = now_us - self._paused_until_us > _FORGIVEN_US
            self._in_a_row = 0 if forgiven else min(self._in_a_row + 1, _DOUBLINGS_MAX)
        first_s = (_BAN_S if is_ban else RETRY_AFTER_S) if asked_s is None else asked_s
        pause_s = min(first_s * 2.0**self._in_a_row, _BAN_MAX_S if is_ban else _PAUSE_MAX_S)
        until_us = now_us + int(pause_s * 1e6)
        if until_us > self._paused_until_us:
            self._paused_until_us = until_us
            self._why_paused = "banned (418)" if is_ban else f"refused ({status})" if status else "refused (rate limit)"
        return begins

    def read(self, reading: Reading, now_us: int) -> bool:
        """Take note of what the exchange says of this address; returns whether guard stops for it now."""
        self.reading, self._read_us = reading, now_us
        if reading.used < self._stop_at * reading.limit:
            self._busy_until_us = min(self._busy_until_us, now_us)
            self.is_probing = False
            return False
        begins = now_us >= self._busy_until_us and not self.is_probing
        self.stops += begins
        self._busy_until_us = now_us + int(reading.stands_s * 1e6)
        self._why_busy = f"the address used {reading.used:g} of {reading.limit:g}"
        self.is_probing = True
        return begins

    def answered(self, now_us: int) -> None:
        """Take note of an answer that says nothing of budgets: a probe that brings no news lets the others go."""
        if self._busy_until_us <= now_us:
            self.is_probing = False

    def record(self, now_us: int) -> dict[str, Any]:
        """Return the state, JSON-able."""
        known = self.reading is not None and now_us - self._read_us < int(60e6)
        return {
            "paused_s": round(self.left_s(now_us), 1),
            "why": self.why(now_us) or None,
            "address_used": self.reading.used if known and self.reading else None,
            "address_limit": self.reading.limit if known and self.reading else None,
            "refusals": self.refusals,
            "bans": self.bans,
            "stops": self.stops,
        }
