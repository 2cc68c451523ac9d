"""Begins a book of which no message comes: ccxt asks for KuCoin's snapshots only after six changes. Imports nothing of ccxt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.errors import Unavailable
from guard_ccxt.markets.families import family_of
from guard_ccxt.stream.phase import Phase

if TYPE_CHECKING:
    from guard_ccxt.counters import Counters
    from guard_ccxt.rest.client import Rest
    from guard_ccxt.stream.subscription import Subscription

__all__ = ["begin_still", "begins_by_messages"]


def begins_by_messages(exchange_id: str) -> bool:
    """Return whether ccxt waits for some changes of a book before it asks for the whole of it."""
    return family_of(exchange_id) == "kucoin"


async def begin_still(exchange: Any, subscription: Subscription, *, rest: Rest, counters: Counters, limit: int | None) -> None:
    """Fetch the whole book and lay over it what came of it so far, as ccxt would; nothing happens where ccxt was sooner.

    A change that was missed before the answer shows in the numbers of the next one, which makes the book be begun anew.
    """
    symbol, connection = subscription.symbol, subscription.connection
    book = (exchange.orderbooks or {}).get(symbol)
    if book is None or not _waits(exchange, subscription, book):
        return
    try:
        found = await rest.call(f"fetching the book of {symbol}", exchange.fetch_order_book, symbol, limit)
    except Unavailable as error:
        counters.note(f"the book of {symbol}, of which no message comes, cannot be had: {error}")
        return
    if subscription.connection is not connection or not _waits(exchange, subscription, book) or found.get("nonce") is None:
        return
    try:
        came = list(book.cache)
        place = exchange.get_cache_index(found, came) if came else 0
        if place < 0:
            return  # it is older than the first change: the next one makes ccxt ask
        book.reset(found)
        exchange.handle_book_deltas(book, came[place:])
        book.cache.clear()
    except Exception as error:  # noqa: BLE001 - ccxt's parsers raise anything over a message that is not as they know it
        counters.note(f"the book of {symbol} cannot be begun by hand: {type(error).__name__}: {error}")
        exchange.orderbooks[symbol] = exchange.order_book()
        return
    for message_hash in list(subscription.hashes):
        connection.client.resolve(book, message_hash)


def _waits(exchange: Any, subscription: Subscription, book: Any) -> bool:
    is_same = (exchange.orderbooks or {}).get(subscription.symbol) is book
    return is_same and book["nonce"] is None and subscription.phase is Phase.WAITING and bool(subscription.hashes)
