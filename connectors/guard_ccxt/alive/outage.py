"""Whether a whole exchange is closed: it says so, or nothing at all arrives from it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from guard.errors import Unavailable
from guard.model import Channel
from guard_ccxt.stream.standing import close, reopen
from guard_ccxt.stream.subscription import Phase

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from guard.model.ports import Clock
    from guard_ccxt.counters import Counters
    from guard_ccxt.stream.subscription import Subscription

__all__ = ["Outage", "Quiet", "says_closed"]

_LOOK_S: Final = 1.0
_ANSWER_S: Final = 10.0
_ASK_RARELY_US: Final = 600_000_000
_ASK_AGAIN_US: Final = 30_000_000
_SUSPECT_US: Final = 15_000_000
_SILENT_US: Final = 60_000_000
_STREAMS_MIN: Final = 10
_QUIET_FACTOR: Final = 3
_CLOSED: Final = frozenset({"maintenance", "shutdown"})


def says_closed(answer: object) -> bool | None:
    """Return whether an answer of ccxt's `fetch_status` says that the exchange is closed; None where it says nothing.

    Examples
    --------
    >>> [says_closed(answer) for answer in ({"status": "maintenance"}, {"status": "ok"}, {"status": None}, [])]
    [True, False, None, None]
    """
    status = answer.get("status") if isinstance(answer, dict) else None
    return status in _CLOSED if isinstance(status, str) else None


class Quiet:
    """For how long nothing arrived from any stream of an exchange, and whether that is more than its markets explain.

    Notes
    -----
    With no stream live, a minute is too long. With streams that look live, nothing may come for a minute, and for three times the
    longest pause so far, where ten or more are watched: a few thin coins are silent for hours.

    Examples
    --------
    >>> quiet = Quiet()
    >>> [quiet.look(7, live=0, streams=2, steady_us=at * 1_000_000) for at in (0, 14, 15, 60)]
    [None, None, 'suspect', 'silent']
    """

    def __init__(self) -> None:
        self._arrived = -1
        self._since_us = 0
        self._longest_us = 0

    def look(self, arrived: int, *, live: int, streams: int, steady_us: int) -> str | None:
        """Take what changes whenever something arrives, and how many streams look live; returns ``suspect``, ``silent`` or None."""
        if arrived != self._arrived:
            if self._arrived >= 0 and live:
                self._longest_us = max(self._longest_us, steady_us - self._since_us)
            self._arrived, self._since_us = arrived, steady_us
            return None
        quiet_us = steady_us - self._since_us
        factor_us = _QUIET_FACTOR * self._longest_us if live else 0
        if live and streams < _STREAMS_MIN:
            return None
        if quiet_us >= max(_SILENT_US, factor_us):
            return "silent"
        return "suspect" if quiet_us >= max(_SUSPECT_US, factor_us // _QUIET_FACTOR) else None


class Outage:
    """Closes all streams of an exchange while it is in maintenance, and opens them again.

    Parameters
    ----------
    ask
        Returns what ccxt's `fetch_status` does; raises Unavailable. None where the exchange has no such request.
    subscriptions
        Returns the streams.
    clock, counters
        Injected.

    Notes
    -----
    The exchange is asked every ten minutes, and at once, then every 30 s, while nothing arrives or it said that it is closed. It
    counts as closed where it says so, or where nothing arrived for too long (see `Quiet`); as open again where it says nothing of
    the kind any more and something arrives. Streams live on below: none is given up because of it.
    """

    def __init__(
        self,
        *,
        ask: Callable[[], Awaitable[Any]] | None,
        subscriptions: Callable[[], Collection[Subscription]],
        clock: Clock,
        counters: Counters,
    ) -> None:
        self._ask = ask
        self._subscriptions = subscriptions
        self._clock = clock
        self._counters = counters
        self._quiet = Quiet()
        self._asked_us: int | None = None
        self._says = False
        self.is_closed = False

    async def run(self) -> None:
        """Look once a second until cancelled."""
        while True:
            await self._clock.sleep(_LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Look once."""
        ours = self._subscriptions()
        live = sum(one.phase in (Phase.LIVE, Phase.SUSPECT, Phase.REPAIRING) for one in ours)
        trades = sum(one.channel is Channel.TRADES for one in ours)
        state = self._quiet.look(self._counters.last_event_us or 0, live=live, streams=trades, steady_us=self._clock.monotonic_us())
        await self._inquire(is_urgent=state is not None or self.is_closed)
        if not ours:
            return
        if self._says or state == "silent":
            for one in ours:
                close(one)  # also those that came since
            if not self.is_closed:
                self.is_closed = True
                self._counters.closed = "said" if self._says else "silent"
                why = "says that it is in maintenance" if self._says else "is silent in all its streams"
                self._counters.note(f"maintenance: the exchange {why}; nothing is judged until it is back")
        elif self.is_closed and state is None and live:
            self.is_closed = False
            self._counters.closed = ""
            self._counters.note("maintenance is over: data flows again")
            for one in ours:
                reopen(one, self._clock.now_us())

    async def _inquire(self, *, is_urgent: bool) -> None:
        now_us = self._clock.monotonic_us()
        if self._asked_us is None:
            self._asked_us = now_us  # it has just been opened
        if self._ask is None or now_us - self._asked_us < (_ASK_AGAIN_US if is_urgent else _ASK_RARELY_US):
            return
        self._asked_us = now_us
        try:
            async with asyncio.timeout(_ANSWER_S):
                told = says_closed(await self._ask())
        except (Unavailable, TimeoutError):
            return  # as it was: who is closed seldom answers
        if told is not None:
            self._says = told
