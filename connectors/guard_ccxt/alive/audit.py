"""Holds the last trades that REST tells of a market against those that its stream brought."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from guard.errors import Unavailable
from guard_ccxt.stream.phase import Phase
from guard_ccxt.stream.repair import overlooked, passed
from guard_ccxt.stream.standing import missed, suspect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from guard.model.ports import Clock
    from guard_ccxt.alive.silence import Silence
    from guard_ccxt.counters import Counters
    from guard_ccxt.stream.gate import TradeRow
    from guard_ccxt.stream.subscription import Subscription

__all__ = ["Audit"]

_WAIT_MAX: Final = 64


class Audit:
    """Asks for the trades of markets of which neither ids nor the ticker can tell whether all of them came.

    Parameters
    ----------
    fetch_of
        Returns what fetches the last trades of a stream's market; itself None where the exchange cannot be asked.
    on_dead
        Told of a stream that is marked and lacks a trade that should have come: it is to be subscribed again.
    grace_s
        How long a trade may be on its way, seconds.
    has_single_prints
        Whether each trade of the stream is one of REST: elsewhere only what is newer than the last one says something.
    clock, counters
        Injected; `audits` and `overlooked` are counted.

    Notes
    -----
    After each look at the tickers those are asked about, one at a time and with what is left of the REST share, that were silent
    while the ticker moved, then those that brought trades, the longest unasked first, those last whose
    ids would show a hole. A trade that is newer than the last one of a
    silent stream proves it dead. One that lies between two that came was lost on the way: it is BACKFILL, and a GAP from it on.

    Where something was found the next 2, 4 ... 64 looks are left out, and fewer again after each that finds nothing: an exchange
    whose pages hold what its streams leave out by nature does not disturb for long.
    """

    def __init__(
        self,
        *,
        fetch_of: Callable[[Subscription], Callable[[int | None], Awaitable[Any]] | None],
        on_dead: Callable[[Subscription], None],
        clock: Clock,
        counters: Counters,
        grace_s: float,
        has_single_prints: bool,
    ) -> None:
        self._fetch_of = fetch_of
        self._on_dead = on_dead
        self._clock = clock
        self._counters = counters
        self._grace_us = int(grace_s * 1e6)
        self._has_single_prints = has_single_prints
        self._due: list[tuple[Subscription, Silence]] = []
        self._asked_us: dict[Subscription, int] = {}
        self._waits: dict[Subscription, list[int]] = {}
        self._changed = asyncio.Event()

    def take(self, doubted: Iterable[tuple[Subscription, Silence]]) -> None:
        """Ask about these from now on, in place of those that were not asked about yet."""
        found = list(doubted)
        held = {one for one, _ in found}
        self._asked_us = {one: at_us for one, at_us in self._asked_us.items() if one in held}
        self._due = [pair for pair in found if self._is_due(pair[0])]
        self._due.sort(key=self._order, reverse=True)
        self._changed.set()

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            self._changed.clear()
            while self._due:
                subscription, silence = self._due.pop()
                await self._ask(subscription, silence)
            await self._changed.wait()

    def _order(self, due: tuple[Subscription, Silence]) -> tuple[bool, bool, int]:
        subscription, silence = due
        return not silence.is_silent, subscription.ids.tells, self._asked_us.get(subscription, 0)

    def _is_due(self, subscription: Subscription) -> bool:
        wait = self._waits.get(subscription)
        if wait is None or wait[0] <= 0:
            return True
        wait[0] -= 1
        return False

    async def _ask(self, subscription: Subscription, silence: Silence) -> None:
        fetch = self._fetch_of(subscription)
        if fetch is None or not _can_be_judged(subscription):
            return
        arrivals, asked_us, state = subscription.arrivals, self._clock.now_us(), silence.state
        self._asked_us[subscription] = self._clock.monotonic_us()
        try:
            answer = await fetch(None)
        except Unavailable as error:
            self._counters.note(f"whether all trades of {subscription.symbol} came cannot be asked for: {error}")
            return
        self._counters.audits += 1
        rows = passed(answer, subscription, self._counters, self._clock.now_us())
        if not _can_be_judged(subscription):
            return
        is_found = False
        until_us = asked_us - self._grace_us
        if subscription.arrivals == arrivals and newer(rows, subscription, until_us=until_us) and suspect(subscription):
            self._counters.stalls += 1
            self._on_dead(subscription)
            is_found = True
        elif self._has_single_prints:
            gone = [row for row in overlooked(rows, subscription.recent(), subscription.memory.since_us) if row.at_us < until_us]
            if gone:
                self._counters.overlooked += len(gone)
                missed(subscription, gone, self._clock.now_us())
                is_found = True
        if is_found or not newer(rows, subscription, until_us=self._clock.now_us()):  # else one may still be on its way
            silence.settle(state)
        self._wait(subscription, is_found=is_found)

    def _wait(self, subscription: Subscription, *, is_found: bool) -> None:
        wait = self._waits.setdefault(subscription, [0, 1])
        if is_found:
            wait[0], wait[1] = wait[1] - 1, min(2 * wait[1], _WAIT_MAX)
        elif wait[1] <= 1:
            del self._waits[subscription]
        else:
            wait[1] //= 2


def newer(rows: Iterable[TradeRow], subscription: Subscription, *, until_us: int) -> bool:
    """Return whether an answer holds a trade of before `until_us` that should have come after the last one."""
    known, since_us = subscription.recent(), subscription.last_trade_us or subscription.presumed_us
    if since_us is None:
        return False
    return any(since_us <= row.at_us < until_us and (row.key not in known if row.key else row.at_us > since_us) for row in rows)


def _can_be_judged(subscription: Subscription) -> bool:
    is_plain = subscription.held is None and subscription.overlap is None and not subscription.voice.is_closed
    return subscription.phase is Phase.LIVE and is_plain
