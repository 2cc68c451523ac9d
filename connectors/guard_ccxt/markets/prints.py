"""What a trade of each exchange's stream stands for, read from ccxt's parsers and the exchanges' documentation."""

from __future__ import annotations

from typing import Final, NamedTuple

from guard_ccxt.markets.families import family_of

__all__ = ["KEYED", "UNKNOWN", "Prints", "prints_of"]


class Prints(NamedTuple):
    """`kind` and `stamp` as `ExchangeOffer` has them; `choice` is the option that chooses, where one does."""

    kind: str
    stamp: str
    choice: str = ""


UNKNOWN: Final = Prints("unknown", "unknown")
_SINGLE: Final = Prints("single", "ms")
_BINANCE: Final = Prints(
    "single", "ms", "options.watchTrades.name: trade (the default) for single fills, aggTrade for taker orders"
)
_OKX: Final = Prints(
    "taker", "ms", "options.watchTrades.channel: trades (the default); trades-all has single fills but wants a key"
)
_KUCOIN: Final = Prints("single", "ms", "the match channels, in nanoseconds; options.watchTrades.uta: true takes another feed")
_GATE: Final = Prints("single", "ms", "spot.trades and futures.trades; there is no other choice")
_BYBIT: Final = Prints("single", "ms", "publicTrade; there is no other choice")
_DERIBIT: Final = Prints("single", "ms", "options.watchTrades.interval: 100ms (the default); raw wants a key")
_KNOWN: Final = {
    "binance": _BINANCE,
    "okx": _OKX,
    "kucoin": _KUCOIN,
    "gate": _GATE,
    "bybit": _BYBIT,
    **dict.fromkeys(
        (
            "bitfinex",
            "bitget",
            "bitstamp",
            "coinbase",
            "coinbaseexchange",
            "cryptocom",
            "htx",
            "hyperliquid",
            "kraken",
            "krakenfutures",
        ),
        _SINGLE,
    ),
    "deribit": _DERIBIT,
    "aster": Prints("taker", "ms", "aggTrade; ccxt has no other choice"),
}
# Only how exactly the time is told: whether fills are put together is not documented, or was not looked up.
_IN_MILLISECONDS: Final = (
    *("apex", "backpack", "bithumb", "bitrue", "bittrade", "blockchaincom", "cex", "coinone", "dydx", "gemini", "hashkey"),
    *("hitbtc", "bequant", "hollaex", "independentreserve", "lbank", "lighter", "modetrade", "ndax", "p2b", "pacifica", "poloniex"),
    *("upbit", "weex", "whitebit", "woo", "woofipro", "bingx", "bitvavo", "bullish", "derive", "extended", "grvt", "mexc", "nado"),
    *("paradex", "phemex", "polymarket", "toobit", "xt"),
)
_IN_SECONDS: Final = ("bitopro", "coincheck", "deepcoin")

KEYED: Final = {
    "alpaca": frozenset({"trades", "book"}),
    "cex": frozenset({"book"}),
    "coinbaseexchange": frozenset({"book"}),
    "coinbaseinternational": frozenset({"trades", "book"}),
    "luno": frozenset({"trades", "book"}),
}
"""Streams for which ccxt signs in, by exchange."""


def prints_of(exchange_id: str) -> Prints:
    """Return what is known; `UNKNOWN` parts are said as such.

    Examples
    --------
    >>> prints_of("okx").kind, prints_of("coincheck"), prints_of("nobody")
    ('taker', Prints(kind='unknown', stamp='s', choice=''), Prints(kind='unknown', stamp='unknown', choice=''))
    """
    known = _KNOWN.get(family_of(exchange_id))
    if known is not None:
        return known
    stamp = "ms" if exchange_id in _IN_MILLISECONDS else "s" if exchange_id in _IN_SECONDS else "unknown"
    return UNKNOWN._replace(stamp=stamp)
