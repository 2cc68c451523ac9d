"""Markets of files that name them as their exchange does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.model import Market, MarketClass, MarketFacts

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULT_EXCHANGE", "Names"]

DEFAULT_EXCHANGE: Final = "tape"
"""The exchange of files that name none, where nobody names one."""
# Quotes that a symbol without a separator may end in; of those that fit the longest.
_QUOTES: Final = (
    "AEUR", "ARS", "AUD", "BIDR", "BKRW", "BNB", "BRL", "BTC", "BUSD", "BVND", "COP", "CZK", "DAI", "DOGE", "DOT", "ETH", "EUR",
    "EURI", "FDUSD", "GBP", "IDRT", "JPY", "MXN", "NGN", "PLN", "RON", "RUB", "SOL", "TRX", "TRY", "TUSD", "UAH", "USD", "USD1",
    "USDC", "USDP", "USDS", "USDT", "VAI", "XRP", "ZAR",
)  # fmt: skip
# Tardis' names of exchanges whose amounts are in the base asset: ccxt's id, and whether all of it are linear perpetuals.
_EXCHANGES: Final = {
    "binance": ("binance", False),
    "binance-us": ("binanceus", False),
    "binance-futures": ("binanceusdm", True),
    "bybit": ("bybit", True),
    "bybit-spot": ("bybit", False),
    "okex": ("okx", False),
    "kucoin": ("kucoin", False),
    "gate-io": ("gate", False),
    "huobi": ("htx", False),
    "coinbase": ("coinbase", False),
    "kraken": ("kraken", False),
    "bitstamp": ("bitstamp", False),
    "gemini": ("gemini", False),
    "crypto-com": ("cryptocom", False),
}
_DIGITS_DATED: Final = 6


class Names:
    """Finds the unified symbol of what a file calls a market.

    Parameters
    ----------
    exchange
        Under which the markets appear; ``tape`` takes the one that the file names.
    given
        Unified symbols by what files say, ``XBTUSD`` to ``BTC/USD:BTC``.

    Examples
    --------
    >>> str(Names("tape", {}).facts("binance", "PEPEUSDT", linear=False, streams=frozenset()).market)
    'binance:PEPE/USDT'
    >>> str(Names("mine", {}).facts("binance-futures", "BTCUSDT_240329", linear=False, streams=frozenset()).market)
    'mine:BTC/USDT:USDT-240329'
    """

    def __init__(self, exchange: str, given: Mapping[str, str]) -> None:
        self._exchange = exchange
        self._given = given

    def facts(self, exchange: str, symbol: str, *, linear: bool, streams: frozenset[str]) -> MarketFacts:
        """Return the facts of a market; raises ValueError where nobody knows its unified symbol."""
        known = _EXCHANGES.get(exchange)
        name = exchange if known is None else known[0]
        unified = self._unified(symbol, linear=linear or (known is not None and known[1]), is_known=known is not None or linear)
        settled = unified.partition(":")[2]
        kind = MarketClass.SPOT if not settled else MarketClass.DATED if "-" in settled else MarketClass.PERP
        return MarketFacts(Market(name if self._exchange == DEFAULT_EXCHANGE else self._exchange, unified), kind, streams=streams)

    def _unified(self, symbol: str, *, linear: bool, is_known: bool) -> str:
        if symbol in self._given:
            return self._given[symbol]
        if "/" in symbol:
            return symbol
        plain, _, dated = symbol.upper().partition("_")
        is_dated = linear and len(dated) == _DIGITS_DATED and dated.isdecimal()
        parts = [plain] if is_dated else [part for part in symbol.upper().replace("_", "-").split("-") if part]
        if is_known and len(parts) == 1:
            ends = [quote for quote in _QUOTES if parts[0].endswith(quote) and parts[0] != quote]
            if ends:
                quote = max(ends, key=len)
                parts = [parts[0][: -len(quote)], quote]
        if not is_known or len(parts) != 2:  # noqa: PLR2004 - base and quote
            raise ValueError(symbol)
        base, quote = parts
        if linear and (quote == "USD" or quote not in _QUOTES):  # an inverse one, whose amounts are contracts, or a date
            raise ValueError(symbol)
        return f"{base}/{quote}{f':{quote}' if linear else ''}{f'-{dated}' if is_dated else ''}"
