"""A look at all tickers now and then: finds streams that died in silence, and keeps rates and turnover fresh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guard.errors import Unavailable
from guard.model import Channel, Kind, Status
from guard_ccxt.alive.silence import Here, Silence, TickerLag, there
from guard_ccxt.markets.facts import turnover_usd, usd_rate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

    from guard.model import Market
    from guard.model.ports import Clock, Sink
    from guard_ccxt.alive.books import Books
    from guard_ccxt.counters import Counters
    from guard_ccxt.stream.subscription import Subscription

__all__ = ["TickerPoll", "grace_of"]

_CHANGE: Final = 0.01
_GRACE_S: Final = 5.0
_GRACE_SHARE: Final = 0.25
_AGAIN_S: Final = 10.0


def grace_of(every_s: float) -> float:
    """Return for how long a trade that the tickers showed may still be on its way, seconds."""
    return min(_GRACE_S, _GRACE_SHARE * every_s)


class TickerPoll:
    """Asks for all tickers every `every_s` seconds while a stream runs.

    Parameters
    ----------
    fetch
        Returns tickers by symbol; raises Unavailable, which is counted by its own reports: it is tried again in 10 s.
    subscriptions
        The streams to judge, those of trades among them; it may change between two looks.
    on_deaf
        Told of a stream that missed trades: the tickers showed some, and 5 s later they had not come. Called again at each look
        at which that still holds.
    markets, sink, clock, counters
        Where STATUS USD_RATE and VOLUME_24H rows go when a value moved by 1 %; `markets` may change likewise.
    every_s
        Seconds between polls, > 0.
    on_open
        Told after each look of the streams of which it says nothing for sure.
    books
        Judges the streams of books by the same answers.

    Attributes
    ----------
    silences
        The judges of the streams.
    lag
        How old the exchange's tickers may be.
    failed
        Whether the last poll failed.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Mapping[str, Any]]],
        *,
        subscriptions: Collection[Subscription],
        on_deaf: Callable[[Subscription], None],
        markets: Mapping[Market, int],
        sink: Sink,
        clock: Clock,
        counters: Counters,
        every_s: float,
        on_open: Callable[[list[tuple[Subscription, Silence]]], None] = lambda _: None,
        books: Books | None = None,
    ) -> None:
        self._fetch = fetch
        self._subscriptions = subscriptions
        self._on_deaf = on_deaf
        self._markets = markets
        self._sink = sink
        self._clock = clock
        self._counters = counters
        self._every_s = every_s
        self._on_open = on_open
        self._books = books
        self._told: dict[tuple[int, Status], float] = {}
        self.silences: dict[Subscription, Silence] = {}
        self.lag = TickerLag(int(every_s * 1e6))
        self.failed = False

    def follow(self, subscriptions: Iterable[Subscription], markets: Mapping[Market, int]) -> None:
        """Judge and tell these from now on; what is known of those that stay is kept."""
        self._subscriptions = list(subscriptions)
        rows = set(markets.values())
        self._markets = dict(markets)
        self._told = {key: value for key, value in self._told.items() if key[0] in rows}

    async def run(self) -> None:
        """Poll until cancelled."""
        wait_s = self._every_s
        while True:
            await self._clock.sleep(wait_s)
            try:
                tickers = await self._fetch()
            except Unavailable:
                self.failed, wait_s = True, min(self._every_s, _AGAIN_S)
                continue
            self.failed = False
            suspects = self.take(tickers)
            doubted = self._books.look(self._subscriptions, tickers, self.lag) if self._books else []
            # A request may be faster than a stream: what is on its way still counts as here.
            grace_s = grace_of(self._every_s)
            await self._clock.sleep(grace_s)
            for subscription, arrivals in suspects:
                if subscription.arrivals == arrivals:
                    self._on_deaf(subscription)
            if self._books:
                self._books.take(doubted)
            self._on_open([(one, silence) for one, silence in self.silences.items() if silence.is_open])
            wait_s = self._every_s - grace_s

    def take(self, tickers: Mapping[str, Any]) -> list[tuple[Subscription, int]]:
        """Write what changed, and return the streams that seem to have missed trades, each with its arrivals so far."""
        suspects = []
        now_us, steady_us = self._clock.now_us(), self._clock.monotonic_us()
        streams = [one for one in self._subscriptions if one.channel is Channel.TRADES]
        # Those that are gone are forgotten.
        self.silences = {one: self.silences.get(one) or Silence(self.lag) for one in streams}
        for one, silence in self.silences.items():
            # Where amounts are converted, the ticker counts in another unit.
            total = one.amount if one.gate.is_plain else None
            here = Here(one.arrivals, one.last_price, one.last_trade_us, one.ids.last, total, one.voice.gap_us, one.ids.tells)
            if silence.misses(here, there(tickers.get(one.symbol)), now_us=now_us, steady_us=steady_us):
                suspects.append((one, one.arrivals))
        for market, row in self._markets.items():
            rate = usd_rate(market.quote, tickers)
            self._tell(row, Status.USD_RATE, rate)
            self._tell(row, Status.VOLUME_24H, turnover_usd(tickers.get(market.symbol) or {}, rate))
        return suspects

    def _tell(self, row: int, status: Status, value: float | None) -> None:
        before = self._told.get((row, status))
        if value is None or (before is not None and abs(value - before) <= _CHANGE * before):
            return
        self._told[row, status] = value
        now_us = self._clock.now_us()
        self._sink.append(Kind.STATUS, row, at_us=now_us, received_us=now_us, price=value, side=Channel.ALL, key=status)
        self._counters.received += 1
