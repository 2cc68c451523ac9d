"""A look at all tickers now and then: finds streams that died in silence, and keeps rates and turnover fresh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.errors import Unavailable
from guard.model import Channel, Kind, Status
from guard_ccxt.facts import turnover_usd, usd_rate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from guard.model import Market
    from guard.model.ports import Clock, Sink
    from guard_ccxt.counters import Counters
    from guard_ccxt.subscription import Subscription

__all__ = ["Silence", "TickerPoll"]

_NEEDED_FIRST = 2
_NEEDED_MAX = 64
_CHANGE = 0.01


class Silence:
    """Judges one stream of trades by the ticker's last price.

    Notes
    -----
    Silence alone says nothing: thin coins are silent for hours. But where the ticker shows another price than our last trade
    at two polls in a row, and nothing came in between, trades were missed. Each such judgement doubles the polls that the next
    one needs (up to 64), until a trade arrives: an exchange whose ticker and trades differ by nature is not disturbed for long.

    Examples
    --------
    >>> silence = Silence()
    >>> [silence.is_deaf(arrivals=1, own_last=1.0, ticker_last=last) for last in (1.0, 1.0, 1.1, 1.1)]
    [False, False, False, True]
    """

    def __init__(self) -> None:
        self._arrivals = -1
        self._reference: float | None = None
        self._strikes = 0
        self._needed = _NEEDED_FIRST

    def is_deaf(self, *, arrivals: int, own_last: float | None, ticker_last: float | None) -> bool:
        """Return whether the stream missed trades, given how many ever arrived, the price of the last, and the ticker's."""
        if arrivals != self._arrivals:
            self._arrivals, self._strikes, self._reference = arrivals, 0, ticker_last
            self._needed = _NEEDED_FIRST
            return False
        reference = self._reference if own_last is None else own_last
        if reference is None or ticker_last is None or ticker_last == reference:
            self._reference = self._reference or ticker_last
            self._strikes = 0
            return False
        self._strikes += 1
        if self._strikes < self._needed:
            return False
        self._strikes, self._needed = 0, min(self._needed * 2, _NEEDED_MAX)
        return True


class TickerPoll:
    """Asks for all tickers every `every_s` seconds while a stream runs.

    Parameters
    ----------
    fetch
        Returns tickers by symbol; raises Unavailable, which is counted by its own reports: the poll goes on.
    subscriptions
        The streams of trades to judge.
    on_deaf
        Told of a stream that missed trades.
    markets, sink, clock, counters
        Where STATUS USD_RATE and VOLUME_24H rows go when a value moved by 1 %.
    every_s
        Seconds between polls, > 0.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Mapping[str, Any]]],
        *,
        subscriptions: Sequence[Subscription],
        on_deaf: Callable[[Subscription], None],
        markets: Mapping[Market, int],
        sink: Sink,
        clock: Clock,
        counters: Counters,
        every_s: float,
    ) -> None:
        self._fetch = fetch
        self._silences = {id(one): (one, Silence()) for one in subscriptions if one.channel is Channel.TRADES}
        self._on_deaf = on_deaf
        self._markets = markets
        self._sink = sink
        self._clock = clock
        self._counters = counters
        self._every_s = every_s
        self._told: dict[tuple[int, Status], float] = {}

    def follow(self, subscriptions: Iterable[Subscription], markets: Mapping[Market, int]) -> None:
        """Judge and tell these from now on; what is known of those that stay is kept."""
        ours = [one for one in subscriptions if one.channel is Channel.TRADES]
        self._silences = {id(one): self._silences.get(id(one)) or (one, Silence()) for one in ours}
        rows = set(markets.values())
        self._markets = dict(markets)
        self._told = {key: value for key, value in self._told.items() if key[0] in rows}

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await self._clock.sleep(self._every_s)
            try:
                tickers = await self._fetch()
            except Unavailable:
                continue
            self.take(tickers)

    def take(self, tickers: Mapping[str, Any]) -> None:
        """Judge the streams by `tickers` and write what changed."""
        for subscription, silence in self._silences.values():
            last = (tickers.get(subscription.symbol) or {}).get("last")
            if silence.is_deaf(arrivals=subscription.arrivals, own_last=subscription.last_price, ticker_last=last):
                self._on_deaf(subscription)
        for market, row in self._markets.items():
            rate = usd_rate(market.quote, tickers)
            self._tell(row, Status.USD_RATE, rate)
            self._tell(row, Status.VOLUME_24H, turnover_usd(tickers.get(market.symbol) or {}, rate))

    def _tell(self, row: int, status: Status, value: float | None) -> None:
        before = self._told.get((row, status))
        if value is None or (before is not None and abs(value - before) <= _CHANGE * before):
            return
        self._told[row, status] = value
        now_us = self._clock.now_us()
        self._sink.append(Kind.STATUS, row, at_us=now_us, received_us=now_us, price=value, side=Channel.ALL, key=status)
        self._counters.received += 1
