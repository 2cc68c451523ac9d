"""Holds books against the tickers: a book that died alone is marked, proven dead by the exchange's own book, subscribed again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from guard.errors import Unavailable
from guard.model import Channel
from guard_ccxt.alive.still_book import HereBook, Quote, StillBook, quote, top
from guard_ccxt.stream.phase import Phase
from guard_ccxt.stream.standing import clear_book, doubt_book

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from guard.model.ports import Clock
    from guard_ccxt.alive.silence import TickerLag
    from guard_ccxt.counters import Counters
    from guard_ccxt.stream.subscription import Subscription

__all__ = ["Books"]

_PROOFS_MAX: Final = 4
_Doubt = tuple["Subscription", "tuple[object, ...]"]


class Books:
    """Judges the streams of books at each look at the tickers.

    Parameters
    ----------
    fetch
        Returns the exchange's own book of a symbol over REST; raises Unavailable.
    restart
        Subscribes a stream again.
    grace_s
        How long a message may be on its way, seconds.
    clock, counters
        Injected; `stalls`, `refuted` and `resubscribed` are counted.

    Notes
    -----
    A mark (STATUS STALLED) makes the book unknown at once. Then the exchange's own book is asked for, of at most four markets at a
    time: other best prices than ours, and still no message, prove the stream dead; the same ones clear it. Where there is no answer
    the next look decides: the same judgement again counts as proof. Exchanges whose tickers tell no bid and ask are not judged.
    """

    def __init__(
        self,
        *,
        fetch: Callable[[str], Awaitable[Any]],
        restart: Callable[[Subscription], None],
        grace_s: float,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self._fetch = fetch
        self._restart = restart
        self._grace_s = grace_s
        self._clock = clock
        self._counters = counters
        self._judges: dict[Subscription, StillBook] = {}
        self._proofs: dict[Subscription, asyncio.Task[None]] = {}

    def look(self, subscriptions: Iterable[Subscription], tickers: Mapping[str, Any], lag: TickerLag) -> list[_Doubt]:
        """Return the books that seem to have missed messages, each with what tells its last one."""
        now_us, steady_us = self._clock.now_us(), self._clock.monotonic_us()
        books = [one for one in subscriptions if one.channel is Channel.BOOK]
        self._judges = {one: self._judges.get(one) or StillBook() for one in books}
        doubted = []
        for one, judge in self._judges.items():
            if not _can_be_judged(one):
                continue
            here = _here(one)
            if judge.misses(here, quote(tickers.get(one.symbol)), lag=lag, now_us=now_us, steady_us=steady_us):
                doubted.append((one, here.token))
        return doubted

    def take(self, doubted: Iterable[_Doubt]) -> None:
        """Mark those of which no message came since the look, and look for proof."""
        for one, token in doubted:
            if one not in self._judges or not _can_be_judged(one) or one.shown.token != token:
                continue
            if doubt_book(one):
                self._counters.stalls += 1
                if len(self._proofs) < _PROOFS_MAX:
                    task = self._proofs[one] = asyncio.ensure_future(self._prove(one, self._judges[one]))
                    task.add_done_callback(lambda _, one=one: self._proofs.pop(one, None))  # type: ignore[misc]
            elif one not in self._proofs:
                self._is_dead(one, self._judges[one])

    async def close(self) -> None:
        """Look for proof no longer."""
        tasks = list(self._proofs.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _prove(self, subscription: Subscription, judge: StillBook) -> None:
        try:
            theirs = top(await self._fetch(subscription.symbol))
        except Unavailable as error:
            self._counters.note(f"whether the book of {subscription.symbol} is dead cannot be told by its own: {error}")
            return
        await self._clock.sleep(self._grace_s)
        if subscription.phase is not Phase.SUSPECT:
            return
        if theirs is not None and theirs != _here(subscription).quote:
            self._is_dead(subscription, judge)
            return
        self._counters.refuted += 1
        judge.refute()
        clear_book(subscription, self._clock.now_us())

    def _is_dead(self, subscription: Subscription, judge: StillBook) -> None:
        judge.confirm()
        self._counters.resubscribed += 1
        self._restart(subscription)


def _here(subscription: Subscription) -> HereBook:
    shown = subscription.shown
    bids, asks = shown.mirror.bids, shown.mirror.asks
    ours = Quote(max(bids), min(asks)) if bids and asks else None
    return HereBook(shown.token, shown.at_us, ours)


def _can_be_judged(subscription: Subscription) -> bool:
    is_up = subscription.phase in (Phase.LIVE, Phase.SUSPECT)
    return is_up and subscription.overlap is None and not subscription.voice.is_closed
