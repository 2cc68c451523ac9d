"""Gate, spot and contracts: trades one by one, books as diffs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from ccxt import ChecksumError
from msgspec import DecodeError, Meta, Struct
from msgspec.json import Decoder

from guard.model import BUY, SELL, event_key
from guard_ccxt.fast.limits import ABSENT, AMOUNT, COUNT, LEVEL, PRICE, RESTING, SIDES, STAMP, Absent
from guard_ccxt.fast.symbols import Symbols

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard_ccxt.connections.pump import Connection
    from guard_ccxt.fast.decoder import Desk
    from guard_ccxt.stream.subscription import Subscription

__all__ = ["GateDecoder"]

_COUNT_OR_TEXT = COUNT | Annotated[str, Meta(min_length=1, max_length=64)]
_SIZE = Annotated[float, Meta(ge=-1e18, le=1e18)]
_STAMP_DIGITS = 13
_STAMP_LEAST, _STAMP_MOST = 10 ** (_STAMP_DIGITS - 1), 10**_STAMP_DIGITS - 1


class _SpotTrade(Struct, gc=False):
    id: _COUNT_OR_TEXT
    create_time_ms: int | str
    side: Literal["buy", "sell"]
    currency_pair: str
    amount: AMOUNT
    price: PRICE
    contract: Absent = ABSENT


class _FuturesTrade(Struct, gc=False):
    id: _COUNT_OR_TEXT
    create_time_ms: int | str
    contract: str
    size: _SIZE
    price: PRICE
    # Keys that ccxt reads in place of these.
    currency_pair: Absent = ABSENT
    amount: Absent = ABSENT
    side: Absent = ABSENT
    type: Absent = ABSENT


class _Row(Struct, gc=False):
    p: PRICE
    s: RESTING


class _Numbered(Struct, gc=False, kw_only=True):
    t: STAMP
    s: str
    u: COUNT


class _SpotDiff(_Numbered, gc=False, kw_only=True):
    # ``b`` or ``a`` is left out where nothing changed.
    b: list[LEVEL] = []
    a: list[LEVEL] = []
    U: COUNT | None = None
    full: bool = False


class _ListDiff(_Numbered, gc=False, kw_only=True):
    U: COUNT
    b: list[LEVEL]
    a: list[LEVEL]


class _RowDiff(_Numbered, gc=False, kw_only=True):
    U: COUNT
    b: list[_Row]
    a: list[_Row]


class _Message(Struct, tag_field="channel", gc=False, kw_only=True):
    event: Literal["update"]
    error: None = None
    data: Absent = ABSENT
    request_id: Absent = ABSENT


class _SpotTrades(_Message, tag="spot.trades", gc=False, kw_only=True):
    result: _SpotTrade | list[_SpotTrade]


class _FuturesTrades(_Message, tag="futures.trades", gc=False, kw_only=True):
    result: _FuturesTrade | list[_FuturesTrade]


class _SpotBook(_Message, tag="spot.obu", gc=False, kw_only=True):
    result: _SpotDiff


class _SpotUpdate(_Message, tag="spot.order_book_update", gc=False, kw_only=True):
    result: _ListDiff


class _FuturesUpdate(_Message, tag="futures.order_book_update", gc=False, kw_only=True):
    result: _RowDiff


_Any = _SpotTrades | _FuturesTrades | _SpotBook | _SpotUpdate | _FuturesUpdate
# A trade as it is written: stamp, id as ccxt's text, whose it is, price, amount, side.
_Taken = tuple[int, str, "Subscription", float, float, int]


class GateDecoder:
    """Reads trades of ``spot.trades`` and ``futures.trades``, diffs of ``spot.obu`` and of both ``order_book_update``.

    Parameters
    ----------
    desk
        Where rows go.

    Notes
    -----
    Several trades of one frame are ordered by time and id, as ccxt orders them. A diff of an ``order_book_update`` follows where
    its ``U`` is at most the last ``u`` + 1; else ccxt drops the book and subscribes again. For ``spot.obu`` ccxt holds nothing
    against the diff's ``U``: behind a hole the book is dropped here in the same way.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._decode: Callable[[str], _Any] = Decoder(_Any, strict=False).decode
        find = desk.exchange.safe_market
        self._spot = Symbols(desk.exchange, lambda market_id: find(market_id, None, "_", "spot"))
        self._contracts = Symbols(desk.exchange, lambda market_id: find(market_id, None, "_", "contract"))

    def take(self, connection: Connection, text: str) -> bool:
        """Return whether the frame was handled; see `guard_ccxt.fast.decoder.Decoder`."""
        try:
            message: Any = self._decode(text)
        except DecodeError:
            return False
        kind, found = type(message), message.result
        if kind is _SpotTrades or kind is _FuturesTrades:
            return self._trades(connection, found if type(found) is list else [found])
        if kind is _FuturesUpdate:
            bids, asks = {row.p: row.s for row in found.b}, {row.p: row.s for row in found.a}
            return self._update(connection, self._contracts[found.s], found, bids.items(), asks.items())
        if kind is _SpotUpdate:
            return self._update(connection, self._spot[found.s], found, found.b, found.a)
        return self._spot_diff(connection, found)

    def _trades(self, connection: Connection, trades: list[Any]) -> bool:
        taken: list[_Taken] = []
        for trade in trades:
            at_ms = _stamp(trade.create_time_ms)
            if type(trade) is _SpotTrade:
                subscription = self._desk.trades(self._spot[trade.currency_pair])
                amount, side = trade.amount, SIDES[trade.side]
            else:
                subscription = self._desk.trades(self._contracts[trade.contract])
                amount, side = abs(trade.size), BUY if trade.size > 0.0 else SELL
            if at_ms is None or not amount:
                return False
            if subscription is None:
                connection.deferred += 1
                return False
            taken.append((at_ms, str(trade.id), subscription, trade.price, amount, side))
        if len(taken) > 1:
            taken.sort(key=_time_and_id)
        received_us = connection.received_us
        for at_ms, identity, subscription, price, amount, side in taken:
            subscription.take_trade(at_ms, price, amount, side=side, key=event_key(identity), received_us=received_us)
        return bool(taken)

    def _update(self, connection: Connection, symbol: str, diff: Any, bids: Any, asks: Any) -> bool:
        found = self._desk.book(symbol)
        if found is None:
            connection.deferred += 1
            return False
        nonce = found[1]["nonce"]
        if nonce >= diff.u:
            return True
        if nonce < diff.U - 1:
            return False
        self._lay(connection, found, diff, bids, asks)
        return True

    def _spot_diff(self, connection: Connection, diff: _SpotDiff) -> bool:
        parts = diff.s.split(".")  # ob.BTC_USDT.50
        if len(parts) < 2:  # noqa: PLR2004  # a prefix and the id
            return False
        symbol = self._spot[parts[1]]
        found = None if diff.full else self._desk.book(symbol)
        if found is None:
            connection.deferred += 1
            return False
        subscription, book = found
        nonce = book["nonce"]
        if nonce >= diff.u:
            return True
        if diff.U is not None and nonce < diff.U - 1:
            return self._lose(connection, subscription, book, symbol)
        self._lay(connection, found, diff, diff.b, diff.a)
        return True

    def _lay(self, connection: Connection, found: tuple[Subscription, Any], diff: Any, bids: Any, asks: Any) -> None:
        subscription, book = found
        received_us, levels_max = connection.received_us, self._desk.levels_max
        subscription.take_diff(book, bids, asks, at_ms=diff.t, nonce=diff.u, received_us=received_us, levels_max=levels_max)

    def _lose(self, connection: Connection, subscription: Subscription, book: Any, symbol: str) -> bool:
        # As ccxt does for other channels: the call fails, and the next one subscribes again.
        connection.deferred += 1
        subscription.mend()
        subscription.stale_on = connection
        client, message_hash = self._desk.client, f"orderbook:{symbol}"
        client.subscriptions.pop(message_hash, None)
        book["nonce"], book.cache = None, []
        client.reject(ChecksumError(f"{self._desk.exchange.id} {symbol}: a hole in the book's sequence"), message_hash)
        return False


def _time_and_id(taken: _Taken) -> tuple[int, str]:
    return taken[:2]


def _stamp(stamp: int | str) -> int | None:
    # Whole milliseconds of 1648725035923 or "1648725035923.457": ccxt takes the first 13 digits.
    if type(stamp) is int:
        return stamp if _STAMP_LEAST <= stamp <= _STAMP_MOST else None
    assert isinstance(stamp, str)
    whole, _, rest = stamp.partition(".")
    if len(whole) != _STAMP_DIGITS or whole[0] == "0" or not whole.isascii() or not whole.isdigit():
        return None
    return int(whole) if not rest or (rest.isascii() and rest.isdigit()) else None
