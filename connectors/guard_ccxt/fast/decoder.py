"""What a decoder of one exchange is, and the desk it reads from and writes to.

A decoder is one small file of typed structs (msgspec) and one method, `take`. The rules:

- Whatever is not the plain, expected frame is stock ccxt's: return False. Acks, pings, errors, unknown events, a field that is
  missing, null, of another type or out of range, an id of another form, a key that ccxt would read first, a book that is not
  synchronised, a gap in its sequence. Nothing may have been written by then: look at the whole frame first.
- Return True once everything the frame says is in the sink, or where stock ccxt would have dropped it without a word (an old diff).
- What is delivered equals what stock ccxt would have delivered, value by value: the taker's side, the id, the exchange's stamp in
  whole milliseconds, price and amount in the exchange's own units (`Subscription` makes base amounts of contracts). A differential
  test on recorded and on generated frames proves it.
- Put limits into the structs (`PRICE`, `AMOUNT`, `STAMP`): msgspec checks them in C. Lax numbers (``strict=False``) read ``"0.1"``
  as 0.1, but also ``"12.0"`` as the integer 12: read ids as `object` and look at their type.
- A frame that is read but left to stock for the moment (its book is not synchronised, nobody watches its symbol) is counted in
  ``connection.deferred``; all other fallbacks are taken for a change of the wire once they are many.
- Few Python calls for each trade. A symbol is looked up once for each connection and market id; the subscription each time, for it
  may go.

Examples
--------
One made for an exchange that sends ``{"s": "BTC-USDT", "p": "1.0", "q": "2.0", "T": 1700000000000, "i": 7, "side": "buy"}``::

    class SomeTrade(msgspec.Struct, gc=False):
        s: str
        p: PRICE
        q: AMOUNT
        T: STAMP
        i: object
        side: Literal["buy", "sell"]


    class SomeDecoder:
        def __init__(self, desk: Desk) -> None:
            self._desk = desk
            self._decode = msgspec.json.Decoder(SomeTrade, strict=False).decode
            self._symbols: dict[str, str] = {}

        def take(self, connection: Connection, text: str) -> bool:
            try:
                trade = self._decode(text)
            except msgspec.DecodeError:
                return False
            if type(trade.i) is not int:
                return False
            symbol = self._symbols.get(trade.s) or self._symbol(trade.s)
            subscription = self._desk.trades(symbol)
            if subscription is None:
                connection.deferred += 1
                return False
            side = SIDES[trade.side]
            subscription.take_trade(trade.T, trade.p, trade.q, side=side, key=trade.i, received_us=connection.received_us)
            return True

A book goes by ``desk.book(symbol)``, see there, and ``subscription.take_diff``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from guard.model import Channel
from guard_ccxt.stream import recording

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard_ccxt.connections.pump import Connection
    from guard_ccxt.stream.subscription import Subscription

__all__ = ["Decoder", "Desk"]

_TRADES, _BOOK = Channel.TRADES, Channel.BOOK


class Decoder(Protocol):
    """Reads the frames of one connection; made with its `Desk`."""

    def take(self, connection: Connection, text: str) -> bool:
        """Return True where the frame was handled wholly and its rows are in the sink; False leaves it to stock ccxt.

        ``connection.received_us`` is when it arrived. An exception is counted as a bad frame, and stock ccxt tries it too.
        """
        ...


class Desk:
    """What a decoder reads from and writes to.

    Parameters
    ----------
    exchange, client
        The ccxt instance and the ccxt client of this connection, for its symbol maps and its url.
    subscriptions
        Those of the tap, which come and go.
    levels_max
        Levels kept on each side of a book.
    """

    __slots__ = ("_subscriptions", "client", "exchange", "levels_max")

    def __init__(
        self, exchange: Any, client: Any, subscriptions: Mapping[tuple[Channel, str], Subscription], *, levels_max: int
    ) -> None:
        self.exchange = exchange
        self.client = client
        self.levels_max = levels_max
        self._subscriptions = subscriptions

    def trades(self, symbol: str) -> Subscription | None:
        """Return the subscription that the trades of `symbol` go to; None where nobody watches them."""
        return self._subscriptions.get((_TRADES, symbol))

    def book(self, symbol: str, *, is_numbered: bool = True) -> tuple[Subscription, Any] | None:
        """Return the subscription of a book and ccxt's own book, where a diff may be applied now; else None.

        That is so once ccxt has synchronised the book and the subscription has shown all of it. Hold ``book["nonce"]`` and
        ``book["timestamp"]`` against the frame by ccxt's own rule of the exchange; then give the diff to
        ``subscription.take_diff(book, ...)``, which writes both back. From then on the levels are kept by the subscription and
        ccxt's lists stand behind; they are made whole at the moment ccxt touches them, so nothing need be handed back: return
        False for a gap, and stock ccxt does what it does. `is_numbered` False is for an exchange whose books ccxt gives no nonce.
        """
        subscription = self._subscriptions.get((_BOOK, symbol))
        books = self.exchange.orderbooks
        book = books.get(symbol) if books else None
        if subscription is None or book is None or not subscription.is_showing(book):
            return None
        if is_numbered and book["nonce"] is None:
            return None
        return (subscription, book) if recording.lend(book, subscription.shown.mirror) else None
