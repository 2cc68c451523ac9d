"""Everything that needs ccxt loaded: one exchange, hooked. Imports ccxt, which takes seconds: load it in a thread."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import ccxt

from guard.errors import Disconnected, RateLimited, Unavailable
from guard.model import Channel
from guard_ccxt.alive.audit import Audit
from guard_ccxt.alive.books import Books
from guard_ccxt.alive.outage import Outage
from guard_ccxt.alive.poll import TickerPoll, grace_of
from guard_ccxt.alive.suspicion import Suspicion
from guard_ccxt.connections.fleet import Fleet
from guard_ccxt.connections.instance import made, share
from guard_ccxt.connections.tap import missing_names
from guard_ccxt.markets.cache import MarketCache
from guard_ccxt.markets.offer import Offer
from guard_ccxt.markets.prints import prints_of
from guard_ccxt.rest.budget import Priority
from guard_ccxt.rest.exchange_time import ExchangeTime
from guard_ccxt.rest.history import History
from guard_ccxt.rest.loading import in_turn
from guard_ccxt.rest.pace import Pace
from guard_ccxt.rest.shared import shared_rest
from guard_ccxt.stream.gate import ClockOffset, Gate
from guard_ccxt.stream.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

    from guard.model import Market, MarketFacts
    from guard.model.ports import ConnectorContext, Sink
    from guard_ccxt.connections.pump import Connection
    from guard_ccxt.connections.tap import Key
    from guard_ccxt.counters import Counters
    from guard_ccxt.options import Options

__all__ = ["Session"]

_QUIET_MAX_S = 5.0  # what is kept on disk is better than to wait longer
_TOP_LEVELS = 20  # KuCoin takes 20 or 100
_STREAMS = {"trades": ("watchTrades", Channel.TRADES), "book": ("watchOrderBook", Channel.BOOK)}


class Session:
    """One ccxt.pro exchange from its making to its end.

    Parameters
    ----------
    context, options, counters
        As the connector was given.

    Notes
    -----
    The ccxt class is not touched: urls, options and hooks are attributes of the instance. Raises ConfigurationError for an
    exchange that ccxt.pro does not know.
    """

    def __init__(self, context: ConnectorContext, options: Options, counters: Counters) -> None:
        self.exchange = made(context.name, options)
        self._context = context
        self._options = options
        self._counters = counters
        self._offset = ClockOffset()
        self._gates: dict[str, Gate] = {}
        self._glanced: dict[str, int] = {}
        self._pace = Pace(context.clock)
        self._sink: Sink | None = None
        self._poll: TickerPoll | None = None  # while a stream runs
        self._subscriptions: dict[Key, Subscription] = {}
        self._cache = MarketCache(context.cache_folder, context.name, [options.id, *options.types])
        self._rest = shared_rest(
            self.exchange,
            context.clock,
            concurrent=options.rest_concurrent,
            share=options.rest_share,
            stop_at=options.rest_stop_at,
            note=counters.note,
        )
        self._offer = Offer(self.exchange, context, options, rest=self._rest, counters=counters, streams=self._streams)
        self._reading = asyncio.Semaphore(options.rest_concurrent)
        missing = missing_names(self.exchange)
        self.is_tapped = not missing
        if missing:
            counters.note(
                f"ccxt {ccxt.__version__} has no {', '.join(missing)}: streams are read by plain calls, which lose data in bursts"
            )
        self.fleet = Fleet(self.exchange, context, options, counters=counters, rest=self._rest)

    async def load(self) -> Sequence[MarketFacts]:
        """Return the facts of every market on offer; raises Unavailable."""
        await self._load_markets()
        self.fleet.prepare()
        self.fleet.share()
        # The market tables live as long as the process: frozen, the collector does not walk them again (tail latency / 50).
        gc.collect()
        gc.freeze()
        markets = list(self.exchange.markets.values())
        self._gates = {market["symbol"]: self._gate(market) for market in markets}
        self._offer.tickers = await self._tickers()
        return await self._offer.take(markets)

    async def markets(self) -> Sequence[MarketFacts]:
        """Return the facts of every market on offer now; raises Unavailable."""
        watched = {subscription.symbol for subscription in self._subscriptions.values()}
        facts, has_new = await self._offer.look(watched)
        if has_new:
            # As at the load: tables that live for hours are not walked by the collector.
            gc.collect()
            gc.freeze()
            for shard in self.fleet.shards:
                share(self.exchange, shard.exchange)
            for market in self.exchange.markets.values():
                self._gates.setdefault(market["symbol"], self._gate(market))
        return facts

    async def history(self, symbol: str, row: int, sink: Sink, *, since_us: int) -> None:
        """Write the past of `symbol`; raises Unavailable."""
        async with self._reading:
            await self._history(symbol).read(symbol, row, sink, since_us=since_us)

    async def glance(self, symbol: str, row: int, sink: Sink) -> None:
        """Write the last minutes of `symbol`; raises Unavailable."""
        await self._history(symbol).glance(symbol, row, sink)

    def _history(self, symbol: str) -> History:
        return History(
            self.exchange,
            rest=self._rest,
            gate=self._gates[symbol],
            counters=self._counters,
            clock=self._context.clock,
            pace=self._pace,
            glanced=self._glanced,
        )

    async def stream(self, markets: Mapping[Market, int], sink: Sink) -> None:
        """Deliver `markets` into `sink` until cancelled."""
        self._sink = sink
        self._subscriptions = {one.key: one for one in self._made_for(markets)}
        self.fleet.add(self._subscriptions.values())
        streaming = asyncio.ensure_future(self.fleet.run())
        suspicion = Suspicion(
            fetch_of=self._fetch_of,
            restart=self._restart,
            silences=lambda: poll.silences,
            clock=self._context.clock,
            counters=self._counters,
        )
        audit = Audit(
            fetch_of=partial(self._fetch_of, priority=Priority.AUDIT),
            on_dead=suspicion.prove,
            clock=self._context.clock,
            counters=self._counters,
            grace_s=grace_of(self._options.ticker_poll_s),
            has_single_prints=prints_of(self.exchange.id).kind == "single" and self.gives()["prints"],
        )
        books = self._books()
        self._poll = poll = TickerPoll(
            self._all_tickers,
            subscriptions=list(self._subscriptions.values()),
            on_deaf=suspicion.take,
            markets=markets,
            sink=sink,
            clock=self._context.clock,
            counters=self._counters,
            every_s=self._options.ticker_poll_s,
            on_open=audit.take,
            books=books,
        )
        has_poll = self._options.ticker_poll_s > 0 and self.exchange.has.get("fetchTickers")
        outage = Outage(
            ask=self._status if self.exchange.has.get("fetchStatus") is True else None,
            subscriptions=self._subscriptions_now,
            clock=self._context.clock,
            counters=self._counters,
        )
        looks = (poll.run(), audit.run()) if has_poll else ()
        tasks = [streaming, asyncio.ensure_future(outage.run()), *map(asyncio.ensure_future, looks)]
        if self.exchange.has.get("fetchTime") is True:
            tasks.append(asyncio.ensure_future(ExchangeTime(self._time, self._offset, self._context.clock).run()))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._poll = None
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            await suspicion.close()
            await books.close()
            await self.fleet.stop()
        for end in ends:
            if isinstance(end, Exception):
                raise end

    def follow(self, markets: Mapping[Market, int]) -> None:
        """Stream `markets` from now on, where a stream runs."""
        if self._poll is None:
            return
        before, wanted = self._subscriptions, {(market.symbol, row) for market, row in markets.items()}
        gone = [one for one in before.values() if (one.symbol, one.row) not in wanted]
        self.fleet.let_go(gone)
        kept = {key: one for key, one in before.items() if one not in gone}
        new = {one.key: one for one in self._made_for(markets) if one.key not in kept}
        self.fleet.add(new.values())
        self._subscriptions = kept | new
        self._poll.follow(self._subscriptions.values(), markets)

    def resync(self, symbol: str) -> None:
        """Show the whole book of `symbol`, where it streams."""
        subscription = self._subscriptions.get((Channel.BOOK, symbol))
        if subscription is not None:
            subscription.show_book()

    async def close(self) -> None:
        """Close streams, sockets and the REST session."""
        await self.fleet.close()
        await self.exchange.close()
        self._rest.leave(self.exchange)

    @property
    def clock_offset_us(self) -> int:
        """What is added to the exchange's times, microseconds, <= 0."""
        return self._offset.offset_us

    @property
    def latency_us(self) -> int:
        """Median of received minus exchange time over recent events, microseconds."""
        return self._offset.latency_us

    def rest(self) -> dict[str, Any]:
        """Return how the REST budget stands, JSON-able."""
        return self._rest.record()

    def gives(self) -> dict[str, bool]:
        """Return what the exchange gives beside its streams: candles to warm with, and trades as single prints."""
        exchange = self.exchange
        is_summed = (exchange.options.get("watchTrades") or {}).get("name") == "aggTrade"
        has_minutes = bool(exchange.has.get("fetchOHLCV")) and "1m" in (exchange.timeframes or {"1m": 1})
        return {"candles": has_minutes, "prints": not is_summed}

    def gap_seconds(self) -> dict[str, float]:
        """Return for how long the streams of a symbol were known to miss something, where they were."""
        found: Counter[str] = Counter()
        for one in self._subscriptions.values():
            found[one.symbol] = max(found[one.symbol], one.voice.gap_us)
        return {symbol: us / 1e6 for symbol, us in found.items() if us}

    def phases(self) -> dict[str, int]:
        """Return how many subscriptions stand in each phase."""
        return self.fleet.phases()

    def connections(self) -> Iterable[Connection]:
        """Return every connection of every shard, but those that are to replace others and do not deliver yet."""
        handover = self.fleet.handover
        return [
            connection
            for shard in self.fleet.shards
            for connection in shard.tap.connections.values()
            if connection.state == "live" or handover is None or shard is not handover.fresh
        ]

    def _start_repair(self, subscription: Subscription) -> None:
        shard = self.fleet.shard_of(subscription)
        if shard is not None:
            shard.supervisor.start_repair(subscription)

    def _fetch_of(
        self, subscription: Subscription, priority: Priority = Priority.REPAIR
    ) -> Callable[[int | None], Awaitable[Any]] | None:
        shard = self.fleet.shard_of(subscription)
        can_fetch = shard is not None and self.exchange.has.get("fetchTrades")
        return shard.supervisor.fetch_of(subscription, priority) if shard is not None and can_fetch else None

    def _books(self) -> Books:
        return Books(
            fetch=self._own_book,
            restart=self._restart,
            grace_s=grace_of(self._options.ticker_poll_s),
            clock=self._context.clock,
            counters=self._counters,
        )

    async def _own_book(self, symbol: str) -> Any:
        request, doing = self.exchange.fetch_order_book, f"asking for the book of {symbol}"
        try:
            return await self._rest.call(doing, request, symbol, _TOP_LEVELS, priority=Priority.REPAIR)
        except RateLimited:
            raise
        except Unavailable:  # a depth that it does not take
            return await self._rest.call(doing, request, symbol, priority=Priority.REPAIR)

    def _restart(self, subscription: Subscription) -> None:
        shard = self.fleet.shard_of(subscription)
        if shard is not None:
            shard.supervisor.restart(subscription)

    def _made_for(self, markets: Mapping[Market, int]) -> Iterable[Subscription]:
        assert self._sink is not None
        can_repair = bool(self.exchange.has.get("fetchTrades"))
        for market, row in markets.items():
            for stream in sorted(self._streams()):
                channel = _STREAMS[stream][1]
                made = Subscription(
                    market.symbol,
                    row,
                    channel,
                    gate=self._gates.get(market.symbol) or Gate(offset=self._offset),
                    sink=self._sink,
                    counters=self._counters,
                    clock=self._context.clock,
                    on_hole=self._start_repair if can_repair else None,
                )
                market_type = (self.exchange.markets.get(market.symbol) or {}).get("type") or ""
                made.ids.is_sequenced = self._options.has_sequence(market_type)
                yield made

    def _streams(self) -> frozenset[str]:
        return frozenset(
            name for name, (ability, _) in _STREAMS.items() if name in self._context.streams and self.exchange.has.get(ability)
        )

    def _gate(self, market: Mapping[str, Any]) -> Gate:
        size = market.get("contractSize") if market.get("contract") else None
        is_size = isinstance(size, (int, float)) and 0 < size < float("inf")
        return Gate(
            contract_size=float(size) if is_size and size else 1.0, is_inverse=bool(market.get("inverse")), offset=self._offset
        )

    async def _load_markets(self) -> None:
        # The last good markets of the disk stand in where REST does not answer.
        now_us = self._context.clock.now_us()
        try:
            self._rest.refuse_long(f"loading the markets of {self._context.name}", most_s=_QUIET_MAX_S)
            async with in_turn(self._context.clock):
                await self._rest.call(f"loading the markets of {self._context.name}", self.exchange.load_markets)
        except Unavailable as error:
            kept = await asyncio.to_thread(self._cache.read, now_us=now_us)
            if kept is None:
                raise
            markets, saved_us = kept
            self.exchange.set_markets(markets)
            self._counters.note(f"markets as they were {(now_us - saved_us) / 3.6e9:.1f} h ago are used: {error}")
            return
        try:
            await asyncio.to_thread(self._cache.write, list(self.exchange.markets.values()), now_us=now_us)
        except (OSError, ValueError, TypeError) as error:
            self._counters.note(f"the markets of {self._context.name} cannot be kept on disk: {error}")

    def _subscriptions_now(self) -> Collection[Subscription]:
        return self._subscriptions.values()

    async def _time(self) -> Any:
        return await self._rest.call(f"asking {self._context.name} for its time", self.exchange.fetch_time)

    async def _status(self) -> Any:
        return await self._rest.call(f"asking {self._context.name} whether it is open", self.exchange.fetch_status)

    async def _all_tickers(self) -> Mapping[str, Any]:
        tickers = await self._tickers()
        if not tickers:
            raise Disconnected(f"{self._context.name} told no tickers")
        return tickers

    async def _tickers(self) -> Mapping[str, Any]:
        if not self.exchange.has.get("fetchTickers"):
            return {}
        markets = self.exchange.markets.values()
        types = sorted({str(market.get("type")) for market in markets if market.get("type") in ("spot", "swap", "future")})
        tickers: dict[str, Any] = {}
        for market_type in types:
            parameters = {"type": market_type} if len(types) > 1 else {}
            doing = f"fetching {market_type} tickers of {self._context.name}"
            try:
                self._rest.refuse_long(doing, most_s=_QUIET_MAX_S)
                answer = await self._rest.call(doing, self.exchange.fetch_tickers, None, parameters, priority=Priority.TICKERS)
            except Unavailable as error:
                self._counters.note(f"no turnover known: {error}")
                continue
            tickers |= answer if isinstance(answer, dict) else {}
        self._offer.tickers = tickers or self._offer.tickers
        return tickers
