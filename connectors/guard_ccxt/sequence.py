"""Numbers that must not skip: of trades that count up by one, and of book changes that ccxt applies without a look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Counting", "PassedOver", "begin_anew", "leave_first", "watch_book_numbers"]

_PROVEN = 6
_LONG = 500
_DOUBTS_MAX = 3
_NUMBERS = (("sequenceStart", "sequenceEnd"), ("U", "u"))
# Whose class of ccxt looks at the last number of a change only.
_UNCHECKED = frozenset({"kucoin", "gate", "gateio"})
# A second subscription to the same book is refused there; ccxt's class does not unsubscribe before it subscribes again.
_REFUSES_TWICE = frozenset({"gate", "gateio"})


class PassedOver(Exception):
    """A book change that does not follow the last one; it must not be applied."""


class Counting:
    """Learns whether the ids of a stream count up by one, and then tells of those that were left out.

    Notes
    -----
    Trades of one order have one stamp, and consecutive ids on most exchanges: only steps between stamps count, six in a row.
    Where three holes follow each other closely it learns anew, and for longer (`distrust`) where a hole proved to be none.
    """

    __slots__ = ("_at_us", "_doubts", "_last", "_run", "_since_hole")

    def __init__(self) -> None:
        self._last = 0
        self._at_us = 0
        self._run = 0
        self._since_hole = 0
        self._doubts = 0

    def leaves_out(self, key: int, at_us: int) -> bool:
        """Whether ids were left out before `key`, which is new; 0 is no id.

        Examples
        --------
        >>> counting = Counting()
        >>> any(counting.leaves_out(number, number) for number in range(1, 20)), counting.leaves_out(21, 21)
        (False, True)
        """
        step = key - self._last
        if not key or step <= 0:
            return False
        is_hole = step > 1 and self._run >= _PROVEN
        if is_hole:
            self._doubts = self._doubts + 1 if self._since_hole < _PROVEN else 0
            self._since_hole = 0
            if self._doubts >= _DOUBTS_MAX:
                self._doubts = self._run = 0
        elif step > 1:
            self._run = min(self._run, 0)
        elif at_us != self._at_us:
            self._run += 1
            self._since_hole += 1
        self._last, self._at_us = key, at_us
        return is_hole

    def distrust(self) -> None:
        """Tell of no hole for long: nothing had been missed."""
        self._run = -_LONG


def watch_book_numbers(exchange: Any, on_hole: Callable[[str], None]) -> None:
    """Let `exchange` refuse book changes that leave numbers out, or have none; `on_hole` hears the symbol.

    ccxt's classes of KuCoin and Gate apply any change that is newer than the last, and after one without a number Gate's applies
    nothing more. Raises PassedOver inside ccxt's handler, or ValueError for a change without a number.
    """
    stock = getattr(exchange, "handle_book_delta", None)
    if stock is None or exchange.id not in _UNCHECKED:
        return

    def checked(book: Any, delta: Any) -> Any:
        nonce = book.get("nonce")
        numbers = next((pair for pair in _NUMBERS if isinstance(delta, dict) and pair[1] in delta), None)
        if numbers is None:
            return stock(book, delta)
        first, last = (_number(delta.get(name)) for name in numbers)
        if first is None or last is None:
            raise ValueError(f"{book['symbol']}: a change of the book without its number")
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
    if exchange.id in _REFUSES_TWICE and exchange.has.get("unWatchOrderBook"):
        await exchange.un_watch_order_book(symbol)
