"""From an exchange's market id to ccxt's symbol, found once for each connection. Imports ccxt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ccxt

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Symbols"]

_SYMBOLS_MAX = 20_000


class Symbols(dict[str, str]):
    """Market id -> symbol; ``symbols[id]`` asks ccxt where the id is new, and gives "" where ccxt knows no such market.

    Parameters
    ----------
    exchange
        The ccxt instance, whose markets are loaded.
    find
        ccxt's own way for this exchange's frames: market id -> its market.

    Notes
    -----
    What ccxt does not know is not kept: it may be loaded later.
    """

    def __init__(self, exchange: Any, find: Callable[[str], Any]) -> None:
        super().__init__()
        self._exchange = exchange
        self._find = find

    def __missing__(self, market_id: str) -> str:
        """Ask ccxt."""
        if market_id not in (self._exchange.markets_by_id or ()):
            return ""
        try:
            market = self._find(market_id)
        except ccxt.BaseError:  # an id of several markets
            return ""
        symbol = "" if market is None else str(market["symbol"])
        if symbol:
            if len(self) >= _SYMBOLS_MAX:
                self.clear()
            self[market_id] = symbol
        return symbol
