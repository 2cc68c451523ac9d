"""Every exchange of ccxt.pro that streams trades and books, without connecting to one. Imports ccxt."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import ccxt.pro

from guard.model.exchange import ExchangeOffer
from guard_ccxt.connections.tap import missing_names
from guard_ccxt.fast.registry import DECODERS
from guard_ccxt.markets.prints import KEYED, prints_of

__all__ = ["catalogue"]

_STREAMS = {"trades": "watchTrades", "book": "watchOrderBook"}
_REST = {"candles": "fetchOHLCV", "trades": "fetchTrades", "tickers": "fetchTickers", "status": "fetchStatus"}


def catalogue() -> list[ExchangeOffer]:
    """Return the exchanges by id."""
    has_decoders = find_spec("msgspec") is not None
    offers = (_offer(exchange_id, has_decoders=has_decoders) for exchange_id in sorted(ccxt.pro.exchanges))
    return [offer for offer in offers if offer.streams | offer.keyed == set(_STREAMS)]


def _offer(exchange_id: str, *, has_decoders: bool) -> ExchangeOffer:
    kind = getattr(ccxt.pro, exchange_id)
    described = _described(kind)
    has: dict[str, Any] = described["has"]
    streams = frozenset(name for name, ability in _STREAMS.items() if has.get(ability))
    keyed = streams & KEYED.get(exchange_id, frozenset())
    is_tapped = not missing_names(kind)
    is_fast = has_decoders and exchange_id in DECODERS
    prints = prints_of(exchange_id)
    return ExchangeOffer(
        id=exchange_id,
        name=str(described.get("name") or exchange_id),
        tier="plain" if not is_tapped else "fast" if is_fast else "generic",
        streams=streams - keyed,
        keyed=keyed,
        rest=frozenset(name for name, ability in _REST.items() if has.get(ability) is True),
        prints=prints.kind,
        stamp=prints.stamp,
        choice=prints.choice,
    )


def _described(kind: Any) -> dict[str, Any]:
    # An instance costs 1.5 ms, its description a third; few classes need themselves whole to give it.
    try:
        described: dict[str, Any] = kind.__new__(kind).describe()
    except AttributeError:
        described = kind({}).describe()
    return described
