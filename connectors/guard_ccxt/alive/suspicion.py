"""What follows where the tickers show trades that a stream did not bring: a mark first, a new subscription once it is proven."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from guard.errors import Unavailable
from guard_ccxt.stream.repair import passed
from guard_ccxt.stream.standing import clear, suspect
from guard_ccxt.stream.subscription import Phase

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from guard.model.ports import Clock
    from guard_ccxt.alive.silence import Silence
    from guard_ccxt.counters import Counters
    from guard_ccxt.stream.subscription import Subscription

__all__ = ["Suspicion"]

_PROOFS_MAX: Final = 4


class Suspicion:
    """Marks streams that seem deaf, looks for proof, and subscribes again where it is found.

    Parameters
    ----------
    fetch_of
        Returns what fetches the last trades of a stream's market, called with a time to begin at or None; itself None where the
        exchange cannot be asked.
    restart
        Subscribes a stream again.
    silences
        Returns the judges, who are told what came of it.
    clock, counters
        Injected; `stalls`, `refuted` and `resubscribed` are counted.

    Notes
    -----
    A mark (STATUS STALLED) makes the data not ready at once. Then the market's own last trades are asked for, of at most four
    markets at a time. One that had not come proves the stream dead; an answer without one clears it. Where there is no answer the
    next look at the tickers decides: the same judgement again counts as proof.
    """

    def __init__(
        self,
        *,
        fetch_of: Callable[[Subscription], Callable[[int | None], Awaitable[Any]] | None],
        restart: Callable[[Subscription], None],
        silences: Callable[[], Mapping[Subscription, Silence]],
        clock: Clock,
        counters: Counters,
    ) -> None:
        self._fetch_of = fetch_of
        self._restart = restart
        self._silences = silences
        self._clock = clock
        self._counters = counters
        self._proofs: dict[Subscription, asyncio.Task[None]] = {}

    def take(self, subscription: Subscription) -> None:
        """Take note that a stream seems deaf, for the first time or again."""
        if suspect(subscription):
            self._counters.stalls += 1
            fetch = self._fetch_of(subscription)
            if fetch is not None and len(self._proofs) < _PROOFS_MAX:
                task = self._proofs[subscription] = asyncio.ensure_future(self._prove(subscription, fetch))
                task.add_done_callback(lambda _: self._proofs.pop(subscription, None))
        elif subscription.phase is Phase.SUSPECT and subscription not in self._proofs:
            self._is_dead(subscription)

    def prove(self, subscription: Subscription) -> None:
        """Take note that a stream that is marked missed trades for sure."""
        self._is_dead(subscription)

    async def close(self) -> None:
        """Look for proof no longer."""
        tasks = list(self._proofs.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _prove(self, subscription: Subscription, fetch: Callable[[int | None], Awaitable[Any]]) -> None:
        try:
            rows = passed(await fetch(None), subscription, self._counters, self._clock.now_us())
        except Unavailable as error:
            self._counters.note(f"whether {subscription.symbol} is deaf cannot be told by its trades: {error}")
            return
        if subscription.phase is not Phase.SUSPECT or not rows:
            return
        since_us = subscription.last_trade_us or 0
        is_new = any(row.at_us >= since_us and row.key and row.key not in subscription.known for row in rows)
        if is_new or any(row.at_us > since_us and not row.key for row in rows):
            self._is_dead(subscription)
        else:
            self._counters.refuted += 1
            silence = self._silences().get(subscription)
            if silence is not None:
                silence.refute()
            clear(subscription, self._clock.now_us())

    def _is_dead(self, subscription: Subscription) -> None:
        silence = self._silences().get(subscription)
        if silence is not None:
            silence.confirm()
        self._counters.resubscribed += 1
        self._restart(subscription)
