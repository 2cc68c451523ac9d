"""The markets an exchange offers, looked at again while streams run: listings, special treatment, turnover."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from guard.errors import Unavailable
from guard_ccxt.markets.facts import market_facts
from guard_ccxt.markets.listings import Listings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from guard.model import MarketFacts
    from guard.model.ports import ConnectorContext
    from guard_ccxt.counters import Counters
    from guard_ccxt.options import Options
    from guard_ccxt.rest.client import Rest

__all__ = ["Offer"]

_AGAIN_US: Final = 300_000_000
_CANDLES_AT_ONCE: Final = 2
_UNKNOWN_MAX: Final = 20_000


class Offer:
    """What is known of all markets of an exchange.

    Parameters
    ----------
    exchange, context, options, rest, counters
        As the session has them.
    streams
        Tells which streams its markets have.

    Attributes
    ----------
    tickers
        The last look at all tickers, by symbol; the session keeps it fresh.

    Notes
    -----
    The list of markets is asked for every `markets_s` seconds, and five minutes after the last look as soon as a ticker names a
    market that was never seen: so a new listing is found within minutes at the cost of one request. For two markets a look whose
    age nobody tells, the first daily candle is asked for, once.
    """

    def __init__(
        self,
        exchange: Any,
        context: ConnectorContext,
        options: Options,
        *,
        rest: Rest,
        counters: Counters,
        streams: Callable[[], frozenset[str]],
    ) -> None:
        self.tickers: Mapping[str, Any] = {}
        self._exchange = exchange
        self._context = context
        self._options = options
        self._rest = rest
        self._counters = counters
        self._streams = streams
        is_plain = context.name.replace("-", "").replace("_", "").isalnum()
        folder = Path(context.cache_folder) if context.cache_folder and is_plain else None
        self._listings = Listings(folder / f"listed-{context.name}.json" if folder else Path("/dev/null/none"))
        self._is_kept = folder is not None
        self._markets: Sequence[Mapping[str, Any]] = ()
        self._looked_us = 0
        self._strange: set[str] = set()

    async def take(self, markets: Sequence[Mapping[str, Any]]) -> list[MarketFacts]:
        """Take the markets that were loaded, and return their facts."""
        self._markets = markets
        self._looked_us = self._context.clock.monotonic_us()
        self._strange = self._unknown_tickers()
        symbols = [str(market.get("symbol")) for market in markets]
        if self._listings.see(symbols, now_us=self._context.clock.now_us()):
            await self._keep()
        return self._facts(self._context.clock.now_us())

    async def look(self, watched: Iterable[str]) -> tuple[list[MarketFacts], bool]:
        """Return the facts of all markets as they are now, and whether there are new ones; `watched` are asked for their age.

        Raises Unavailable where the list was due and could not be had.
        """
        has_new = False
        if self._is_due():
            # Where it fails, it is asked for again as soon as it may be.
            self._looked_us = self._context.clock.monotonic_us() + _AGAIN_US - int(self._options.markets_s * 1e6)
            name = self._context.name
            markets = await self._rest.call(f"looking at the markets of {name}", self._exchange.fetch_markets)
            if not isinstance(markets, list) or not markets:
                raise Unavailable(f"{name} lists no markets")
            has_new = any(market.get("symbol") not in self._exchange.markets for market in markets)
            if has_new:
                self._exchange.set_markets(markets)
            await self.take(markets)
        await self._ask_ages(watched)
        # Thousands of markets take 30 ms, in which the streams go on.
        return await asyncio.to_thread(self._facts, self._context.clock.now_us()), has_new

    def _is_due(self) -> bool:
        waited_us = self._context.clock.monotonic_us() - self._looked_us
        if waited_us >= self._options.markets_s * 1e6:
            return True
        return waited_us >= _AGAIN_US and bool(self._unknown_tickers() - self._strange)

    def _unknown_tickers(self) -> set[str]:
        known = self._exchange.markets or {}
        strange = [symbol for symbol in self.tickers if symbol not in known]
        return set(strange[:_UNKNOWN_MAX])

    async def _ask_ages(self, watched: Iterable[str]) -> None:
        told = {str(market.get("symbol")) for market in self._markets if market.get("created")}
        if not self._exchange.has.get("fetchOHLCV") or "1d" not in (self._exchange.timeframes or {}):
            return
        now_us, is_learnt = self._context.clock.now_us(), False
        for symbol in self._listings.unknown((one for one in watched if one not in told), most=_CANDLES_AT_ONCE):
            try:
                doing = f"asking for the age of {symbol}"
                candles = await self._rest.call(doing, self._exchange.fetch_ohlcv, symbol, "1d", 1_230_768_000_000, 2)
            except Unavailable:
                continue
            is_learnt |= self._listings.take_candles(symbol, candles, now_us=now_us)
        if is_learnt:
            await self._keep()

    async def _keep(self) -> None:
        if not self._is_kept:
            return
        try:
            await asyncio.to_thread(self._listings.write)
        except OSError as error:
            self._counters.note(f"when markets of {self._context.name} were listed cannot be kept on disk: {error}")

    def _facts(self, now_us: int) -> list[MarketFacts]:
        return market_facts(
            self._context.name,
            self._markets,
            self.tickers,
            streams=self._streams(),
            types=self._options.types,
            id=self._options.id,
            listed_us=self._listings.listed_us,
            now_us=now_us,
        )
