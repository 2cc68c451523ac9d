"""What a connector can get from an exchange, told without asking it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ExchangeOffer"]


class ExchangeOffer(NamedTuple):
    """One exchange as a connector knows it.

    `tier` is ``fast``, ``generic`` or ``plain``. `streams` are those of `MarketFacts` that flow without a key, `keyed` those that
    want an account's key, which guard has none of. `rest` names what is answered over REST: ``candles``, ``trades``, ``tickers``,
    ``status``. `prints` tells what one trade is: ``single`` (one fill), ``taker`` (all fills of a taker order at one price),
    ``batch`` (all trades of some milliseconds) or ``unknown``. `stamp` is the resolution of its time: ``ms``, ``s`` or
    ``unknown``. `choice` says which option chooses that, where one does.
    """

    id: str
    name: str
    tier: str
    streams: frozenset[str]
    keyed: frozenset[str] = frozenset()
    rest: frozenset[str] = frozenset()
    prints: str = "unknown"
    stamp: str = "unknown"
    choice: str = ""
