"""What is known of each market, from ccxt's unified markets and tickers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from guard.model import Market, MarketClass, MarketFacts
from guard_ccxt.markets.treatment import treatment
from guard_ccxt.stream.gate import is_symbol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from guard_ccxt.markets.treatment import Treatment

__all__ = ["market_facts", "turnover_usd", "usd_rate"]

_USD_STABLES = frozenset(
    {"USDT", "USDC", "FDUSD", "TUSD", "BUSD", "DAI", "USDP", "USDD", "PYUSD", "GUSD", "USDE", "USD1", "RLUSD", "USDS"}
)
_USD_LIKE = _USD_STABLES | {"USD"}
_FIAT = frozenset(
    (
        *("USD", "EUR", "GBP", "JPY", "AUD", "CAD", "CHF", "TRY", "BRL", "RUB", "UAH", "KRW", "INR", "IDR", "ZAR", "NGN"),
        *("MXN", "ARS", "COP", "PLN", "RON", "CZK", "SEK", "NOK", "DKK", "HUF", "SGD", "HKD", "VND", "THB"),
    )
)
_STABLES = _USD_STABLES | {"EURT", "EURI", "EURC", "AEUR", "EURS", "XSGD", "BIDR", "IDRT", "BRZ", "TRYB"}
_MAJORS = frozenset({"BTC", "XBT", "ETH"})
_LEVERAGED = ("2L", "2S", "3L", "3S", "4L", "4S", "5L", "5S", "UP", "DOWN", "BULL", "BEAR")
_NEW_FOR_US = 72 * 3_600_000_000
_DERIVATIVES = {"swap": MarketClass.PERP, "future": MarketClass.DATED}


def market_facts(
    exchange: str,
    markets: Iterable[Mapping[str, Any]],
    tickers: Mapping[str, Any],
    *,
    streams: frozenset[str],
    types: Iterable[str] = (),
    id: str = "",  # noqa: A002 - ccxt's word
    listed_us: Callable[[str], int | None] = lambda _symbol: None,
    now_us: int = 0,
) -> list[MarketFacts]:
    """Return the facts of every market whose symbol passes the gate, of `types` where given; options are left out.

    `id` is ccxt's id of the exchange, `listed_us` tells when a symbol was listed where the exchange does not. A market that is not
    open has the tag ``halted`` or ``premarket``, one that was listed less than 72 h before `now_us` the tag ``new``.
    """
    chosen = [market for market in markets if _is_offered(market, frozenset(types))]
    bases = frozenset(str(market.get("base")) for market in chosen if market.get("active") is not False)
    found = [_facts(exchange, market, tickers, bases, streams) for market in chosen]
    return [_treated(facts, treatment(id, market), listed_us, now_us) for facts, market in zip(found, chosen, strict=True)]


def usd_rate(quote: str, tickers: Mapping[str, Any]) -> float | None:
    """Return USD for one unit of `quote`: 1 for dollars and their stablecoins, else from tickers; None where unknown.

    Examples
    --------
    >>> usd_rate("USDT", {}), usd_rate("BTC", {"BTC/USDT": {"last": 60000.0}}), usd_rate("TRY", {})
    (1.0, 60000.0, None)
    """
    if quote in _USD_LIKE:
        return 1.0
    for dollar in ("USDT", "USD", "USDC"):
        direct = _positive((tickers.get(f"{quote}/{dollar}") or {}).get("last"))
        if direct is not None:
            return direct
        inverse = _positive((tickers.get(f"{dollar}/{quote}") or {}).get("last"))
        if inverse is not None:
            return 1.0 / inverse
    return None


def _is_offered(market: Mapping[str, Any], types: frozenset[str]) -> bool:
    if market.get("type") not in ("spot", "margin", "swap", "future"):
        return False
    kinds = {market.get("type"), *(word for word in ("spot", "linear", "inverse") if market.get(word))}
    return is_symbol(market.get("symbol")) and (not types or bool(kinds & types))


def _facts(
    exchange: str, market: Mapping[str, Any], tickers: Mapping[str, Any], bases: frozenset[str], streams: frozenset[str]
) -> MarketFacts:
    precision = market.get("precision") or {}
    rate = usd_rate(str(market.get("quote")), tickers)
    created = _positive(market.get("created"))
    return MarketFacts(
        market=Market(exchange, market["symbol"]),
        market_class=_class(market, bases),
        tick=_positive(precision.get("price")),
        lot=_positive(precision.get("amount")),
        contract_size=_positive(market.get("contractSize")) or 1.0,
        is_inverse=bool(market.get("inverse")),
        usd_rate=rate,
        volume_24h_usd=turnover_usd(tickers.get(market["symbol"]) or {}, rate),
        listed_us=None if created is None else int(created * 1000),
        streams=streams,
    )


def _treated(facts: MarketFacts, treated: Treatment, listed_us: Callable[[str], int | None], now_us: int) -> MarketFacts:
    listed = facts.listed_us or treated.begins_us or listed_us(facts.market.symbol)
    is_new = listed is not None and now_us - listed < _NEW_FOR_US
    tags = treated.tags | {"new"} if is_new else treated.tags
    return facts._replace(listed_us=listed, tags=frozenset(tags), listing_risk=treated.risk, ends_us=treated.ends_us)


def _class(market: Mapping[str, Any], bases: frozenset[str]) -> MarketClass:
    derivative = _DERIVATIVES.get(str(market.get("type")))
    if derivative is not None:
        return derivative
    base, quote = str(market.get("base")), str(market.get("quote"))
    if base in _FIAT:
        return MarketClass.FIAT
    if base in _STABLES and quote in _STABLES | _FIAT:
        return MarketClass.STABLE
    # JUP and SYRUP end in UP but stand for no multiple of a coin called J or SYR.
    if any(base.endswith(suffix) and base.removesuffix(suffix) in bases for suffix in _LEVERAGED):
        return MarketClass.LEVERAGED
    return MarketClass.MAJOR if base in _MAJORS else MarketClass.SPOT


def turnover_usd(ticker: Mapping[str, Any], rate: float | None) -> float | None:
    """Return the turnover of a day in USD from a ticker and the USD `rate` of its quote; None where unknown."""
    volume = _positive(ticker.get("quoteVolume"))
    return None if volume is None or rate is None else volume * rate


def _positive(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) and value > 0 else None
