"""Markets: what is watched, what is known of it, and how good its data is."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from guard.model.assets import asset_of

__all__ = ["DataState", "Market", "MarketClass", "MarketFacts"]


class Market(NamedTuple):
    """One symbol on one exchange.

    `exchange` is the name in guard.yaml (``sim``, ``binance``); `symbol` is ccxt's unified symbol, ``BTC/USDT`` or
    ``BTC/USDT:USDT``.

    Examples
    --------
    >>> str(Market.parse("okx:BTC/USDT:USDT"))
    'okx:BTC/USDT:USDT'
    """

    exchange: str
    symbol: str

    def __str__(self) -> str:
        """Return the written form, ``exchange:symbol``."""
        return f"{self.exchange}:{self.symbol}"

    @classmethod
    def parse(cls, text: str) -> Market:
        """Read ``exchange:symbol``; raises ValueError where there is no exchange or no symbol."""
        exchange, colon, symbol = text.partition(":")
        if not colon or not exchange or not symbol:
            raise ValueError(f"a market is written exchange:SYMBOL, for example binance:PEPE/USDT; found {text!r}")
        return cls(exchange, symbol)

    @property
    def base(self) -> str:
        """The asset that is bought, ``PEPE`` of ``PEPE/USDT``."""
        return self.symbol.partition("/")[0]

    @property
    def asset(self) -> str:
        """The asset behind the exchange's own spelling: ``PEPE`` of ``1000PEPE/USDT:USDT``; see `guard.model.assets`."""
        return asset_of(self.base)

    @property
    def quote(self) -> str:
        """The asset that is paid, ``USDT`` of ``PEPE/USDT``."""
        return self.symbol.partition("/")[2].partition(":")[0]


class MarketClass(StrEnum):
    """What kind of market it is; rules scope by it."""

    MAJOR = "major"
    STABLE = "stable"
    FIAT = "fiat"
    LEVERAGED = "leveraged"
    SPOT = "spot"
    PERP = "perp"
    DATED = "dated"


class MarketFacts(NamedTuple):
    """What is known of a market when it is opened; None means unknown.

    `tick` and `lot` are the smallest steps of price and amount, `contract_size` the base (or, for an inverse contract, quote)
    amount of one contract. `usd_rate` is the USD value of one unit of quote; `volume_24h_usd` the turnover of a day;
    `listed_us` the moment of listing; `listing_risk`, in [0, 1], tells how likely the exchange delists it or treats it specially,
    and `ends_us` when trading ends, where that is announced. Tags and these two may change while a market is open.
    `streams` names what will arrive: ``trades``, ``book``.
    """

    market: Market
    market_class: MarketClass = MarketClass.SPOT
    tick: float | None = None
    lot: float | None = None
    contract_size: float = 1.0
    is_inverse: bool = False
    usd_rate: float | None = None
    volume_24h_usd: float | None = None
    listed_us: int | None = None
    tags: frozenset[str] = frozenset()
    streams: frozenset[str] = frozenset({"trades", "book"})
    listing_risk: float | None = None
    ends_us: int | None = None


class DataState(StrEnum):
    """How good the data of a market is; it is not a quarantine and ends when data returns."""

    OK = "ok"
    WARMING = "warming"
    DEGRADED = "degraded"
    STALE = "stale"
    MAINTENANCE = "maintenance"
    NEW = "new"
