"""Book changes that leave numbers out, which ccxt applies without a look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard_ccxt.markets.families import family_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PassedOver", "begin_anew", "leave_first", "watch_book_numbers"]

_ONE = ("sequence", "sequence")  # KuCoin's futures: each change is one number
_NUMBERS = (("sequenceStart", "sequenceEnd"), ("U", "u"), _ONE)
# Whose class of ccxt looks at the last number of a change only.
_UNCHECKED = frozenset({"kucoin", "gate"})
# A second subscription to the same book is refused there; ccxt's class does not unsubscribe before it subscribes again.
_REFUSES_TWICE = frozenset({"gate"})


class PassedOver(Exception):
    """A book change that does not follow the last one; it must not be applied."""


def watch_book_numbers(exchange: Any, on_hole: Callable[[str], None]) -> None:
    """Let `exchange` refuse book changes that leave numbers out, or have none; `on_hole` hears the symbol.

    ccxt's classes of KuCoin and Gate apply any change that is newer than the last, and after one without a number Gate's applies
    nothing more. Raises PassedOver inside ccxt's handler, or ValueError for a change without a number.
    """
    stock = getattr(exchange, "handle_book_delta", None)
    if stock is None or family_of(exchange.id) not in _UNCHECKED:
        return

    def checked(book: Any, delta: Any) -> Any:
        nonce = book.get("nonce")
        numbers = next((pair for pair in _NUMBERS if isinstance(delta, dict) and pair[1] in delta), None)
        if numbers is None:
            return stock(book, delta)
        first, last = (_number(delta.get(name)) for name in numbers)
        if first is None or last is None:
            raise ValueError(f"{book['symbol']}: a change of the book without its number")
        if numbers == _ONE and isinstance(nonce, int) and last <= nonce:
            return None  # ccxt holds it against a time, and would lay an old one over the book
        if isinstance(nonce, int) and first > nonce + 1:
            on_hole(str(book["symbol"]))
            raise PassedOver(f"{book['symbol']}: {first} does not follow {nonce}")
        try:
            return stock(book, delta)
        except Exception:  # a part of it may have been applied
            on_hole(str(book["symbol"]))
            raise

    exchange.handle_book_delta = checked


def _number(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


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
    if family_of(exchange.id) in _REFUSES_TWICE and exchange.has.get("unWatchOrderBook"):
        await exchange.un_watch_order_book(symbol)
