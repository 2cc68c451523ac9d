"""The connector of every exchange that ccxt.pro knows."""

from __future__ import annotations

import asyncio
import importlib
from itertools import count
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from guard.errors import Disconnected
from guard.model.ports import ConnectorHealth
from guard_ccxt.counters import Counters
from guard_ccxt.options import read_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.model import Market, MarketFacts
    from guard.model.exchange import ExchangeOffer
    from guard.model.ports import ConnectorContext, Probe, Sink
    from guard_ccxt.session import Session

__all__ = ["CcxtConnector"]


class CcxtConnector:
    """Public trades and order books of one exchange, through ccxt.pro.

    Parameters
    ----------
    context
        Its `options` are those of `guard_ccxt.options.Options`; `id` is ccxt.pro's id of the exchange, by default the
        connector's name. Keys of an account are refused.

    Notes
    -----
    ccxt is imported at `open`, in a thread. Data is taken where ccxt resolves its futures, so that bursts are complete; see
    docs of `Tap`, `Subscription` and `Supervisor` for what is delivered when.

    Raises ConfigurationError for options that cannot be used.
    """

    def __init__(self, context: ConnectorContext) -> None:
        self._context = context
        self._options = read_options(context.name, context.options)
        self._counters = Counters(context.report)
        self._session: Session | None = None
        self._is_closed = False

    @staticmethod
    def catalogue() -> list[ExchangeOffer]:
        """Return every exchange that can be asked for; imports ccxt, which takes a second."""
        found: list[ExchangeOffer] = importlib.import_module("guard_ccxt.markets.catalogue").catalogue()
        return found

    def check_options(self) -> None:
        """Look at what only ccxt knows, its ids and addresses; imports ccxt, connects to nothing. Raises ConfigurationError."""
        importlib.import_module("guard_ccxt.connections.instance").made(self._context.name, self._options)

    async def open(self) -> Sequence[MarketFacts]:
        """Load the markets; raises Disconnected, RateLimited or ConfigurationError. May be tried again."""
        if self._is_closed:
            raise Disconnected(f"{self._context.name} is closed")
        if self._session is None:
            module = await asyncio.to_thread(importlib.import_module, "guard_ccxt.session")
            self._session = module.Session(self._context, self._options, self._counters)
        return await self._opened().load()

    async def markets(self) -> Sequence[MarketFacts]:
        """Return every market on offer as it is known now, asked for once an hour or for a new listing; raises Unavailable."""
        return await self._opened().markets()

    async def history(self, market: Market, row: int, sink: Sink, *, since_us: int) -> None:
        """Put candles and recent trades since `since_us` into `sink` as BACKFILL rows, then STATUS WARM; raises Unavailable."""
        await self._opened().history(market.symbol, row, sink, since_us=since_us)

    async def glance(self, market: Market, row: int, sink: Sink) -> None:
        """Put the last twenty minutes into `sink` as BACKFILL rows, for one request; raises Unavailable."""
        await self._opened().glance(market.symbol, row, sink)

    async def stream(self, markets: Mapping[Market, int], sink: Sink) -> None:
        """Deliver `markets` into `sink` until cancelled; reconnects by itself."""
        await self._opened().stream(markets, sink)

    def follow(self, markets: Mapping[Market, int]) -> None:
        """Stream these markets from now on: new ones are subscribed, missing ones unsubscribed, where a stream runs."""
        if self._session is not None:
            self._session.follow(markets)

    def resync(self, market: Market) -> None:
        """Show the whole book of `market` now, as ccxt holds it; without a request to the exchange."""
        if self._session is not None:
            self._session.resync(market.symbol)

    async def close(self) -> None:
        """Let go of all sockets. Safe to call twice."""
        self._is_closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def health(self) -> ConnectorHealth:
        """Return the counters as they stand."""
        counters = self._counters
        session = self._session
        return ConnectorHealth(
            received=counters.received,
            rejected=dict(counters.rejected),
            bad_frames=counters.bad_frames,
            reconnects=counters.reconnects,
            gaps=counters.gaps,
            gap_seconds=counters.gap_us / 1e6,
            connections={} if session is None else _states(session),
            last_event_us=counters.last_event_us,
            notes=tuple(counters.notes),
            details={
                "repaired": counters.repaired,
                "closed": counters.closed,
                "stalls": counters.stalls,
                "refuted": counters.refuted,
                "audits": counters.audits,
                "overlooked": counters.overlooked,
                "resubscribed": counters.resubscribed,
                "holes_in_ids": counters.skipped,
                "gap_seconds": {} if session is None else session.gap_seconds(),
                "recycled": counters.recycled,
                "clock_offset_us": 0 if session is None else session.clock_offset_us,
                "latency_us": 0 if session is None else session.latency_us,
                "tier": "generic" if session is None or not session.is_tapped else session.fleet.tier,
                "frames": counters.frames,
                "fallbacks": counters.fallbacks,
                "is_tapped": session is not None and session.is_tapped,
                "shards": [] if session is None else session.fleet.record(),
                "rest": {} if session is None else session.rest(),
                "gives": {} if session is None else session.gives(),
                "subscriptions": {} if session is None else session.phases(),
            },
        )

    async def probe(self) -> Sequence[Probe]:
        """Try names, REST, clock and websocket of the exchange once, with an instance of its own; never raises."""
        module = await asyncio.to_thread(importlib.import_module, "guard_ccxt.probe")
        probes: Sequence[Probe] = await module.probe(self._context, self._options)
        return probes

    def _opened(self) -> Session:
        if self._session is None or self._is_closed:
            raise Disconnected(f"{self._context.name} is not open")
        return self._session


def _states(session: Session) -> dict[str, str]:
    # Without the query: some exchanges carry a token in it. Two shards may have the same address.
    states: dict[str, str] = {}
    for connection in session.connections():
        url = urlsplit(connection.url)._replace(query="").geturl()
        numbered = (url if number == 1 else f"{url} #{number}" for number in count(1))
        name = next(name for name in numbered if name not in states)
        states[name] = connection.state
    return states
