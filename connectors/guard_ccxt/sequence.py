"""Book changes that leave numbers out, which ccxt applies without a look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PassedOver", "begin_anew", "leave_first", "watch_book_numbers"]

_FIRST = ("sequenceStart", "U")
# A second subscription to the same book is refused there; ccxt's class does not unsubscribe before it subscribes again.
_REFUSES_TWICE = frozenset({"gate", "gateio"})


class PassedOver(Exception):
    """A book change that does not follow the last one; it must not be applied."""


def watch_book_numbers(exchange: Any, on_hole: Callable[[str], None]) -> None:
    """Let `exchange` refuse book changes that leave numbers out; `on_hole` hears the symbol.

    ccxt's classes of KuCoin and Gate apply any change that is newer than the last. Raises PassedOver inside ccxt's handler.
    """
    stock = getattr(exchange, "handle_book_delta", None)
    if stock is None:
        return

    def checked(book: Any, delta: Any) -> Any:
        nonce = book.get("nonce")
        first = next((delta[name] for name in _FIRST if name in delta), None) if isinstance(delta, dict) else None
        if isinstance(nonce, int) and isinstance(first, int) and first > nonce + 1:
            on_hole(str(book["symbol"]))
            raise PassedOver(f"{book['symbol']}: {first} does not follow {nonce}")
        return stock(book, delta)

    exchange.handle_book_delta = checked


def begin_anew(exchange: Any, client: Any, symbol: str, hashes: set[str], why: Exception) -> None:
    """Fail the calls that wait for a book, and let ccxt forget that it has subscribed to it."""
    market_id = str((exchange.markets.get(symbol) or {}).get("id") or symbol)
    topics = [key for key in client.subscriptions if "level2:" in key and key.endswith(f":{market_id}")]
    for key in (*topics, *hashes):
        client.subscriptions.pop(key, None)
    for message_hash in hashes:
        client.reject(why, message_hash)


async def leave_first(exchange: Any, symbol: str) -> None:
    """Unsubscribe from a book that is about to be subscribed again, where the exchange would refuse it; raises what ccxt does."""
    if exchange.id in _REFUSES_TWICE and exchange.has.get("unWatchOrderBook"):
        await exchange.un_watch_order_book(symbol)
