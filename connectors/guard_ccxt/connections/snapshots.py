"""Whose books begin with a REST request, learnt from what ccxt asks for. Imports nothing of ccxt."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard_ccxt.rest.client import Rest

__all__ = ["Snapshots", "nothing"]

_STARTS_MAX = 32  # KuCoin takes seconds for each: ccxt asks for its snapshot after a few changes


class Snapshots:
    """Which kinds of market of one exchange need REST to begin a book, and the turns of books to begin.

    Parameters
    ----------
    exchange
        A ccxt instance whose requests for books are watched from now on.
    rest
        Where they pass.

    Notes
    -----
    Gate, OKX and Bybit send the whole book on the socket where Binance and KuCoin have it asked for, and Gate only for spot: it is
    learnt for each type of market. A kind that was never seen to ask is taken for one that need not.
    """

    def __init__(self, exchange: Any, rest: Rest) -> None:
        self._exchange = exchange
        self._rest = rest
        self._starts = asyncio.Semaphore(_STARTS_MAX)
        stock = getattr(exchange, "fetch_order_book", None)
        if stock is None:
            return

        async def fetch_order_book(symbol: str, *arguments: Any, **named: Any) -> Any:
            rest.asking_types.add(self._type(symbol))
            return await stock(symbol, *arguments, **named)

        exchange.fetch_order_book = fetch_order_book

    async def turn(self, symbol: str) -> Callable[[], None]:
        """Wait until the book of `symbol` may begin; return what must be called once it has, or has failed: once or more.

        Those that wait for REST do not keep back those that need none of it, and what they will need is left to them.
        """
        asked = int(self._asks(symbol))
        self._rest.expect_books(asked)
        try:
            await self._starts.acquire()
            while self._asks(symbol) and self._rest.quiet_s() > 0:
                self._starts.release()
                await self._rest.quiet()
                await self._starts.acquire()
        except BaseException:
            self._rest.expect_books(-asked)
            raise
        is_held = True

        def let_next() -> None:
            nonlocal is_held
            if is_held:
                is_held = False
                self._starts.release()
                self._rest.expect_books(-asked)

        return let_next

    def are_held_up(self, symbol: str) -> bool:
        """Whether the book of `symbol` cannot begin at present: its snapshot would wait for REST."""
        return self._asks(symbol) and self._rest.left_s() > 0

    def _asks(self, symbol: str) -> bool:
        return self._type(symbol) in self._rest.asking_types

    def _type(self, symbol: str) -> str:
        return str(((self._exchange.markets or {}).get(symbol) or {}).get("type") or "")


def nothing() -> None:
    """Let nobody begin: what a stream that needs no turn calls."""
