"""Bybit, spot and contracts: trades one by one, books as diffs after a snapshot on the socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import DecodeError, Meta, Struct
from msgspec.json import Decoder

from guard.model import event_key
from guard_ccxt.fast.limits import ABSENT, AMOUNT, LEVEL, PRICE, SIDES, STAMP, Absent
from guard_ccxt.fast.symbols import Symbols

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard_ccxt.connections.pump import Connection
    from guard_ccxt.fast.decoder import Desk

__all__ = ["BybitDecoder"]

_ID = Annotated[str, Meta(min_length=1, max_length=64)]
_TRADES, _BOOK, _TOP = "publicTrade.", "orderbook.", "orderbook.1."


class _Trade(Struct, gc=False):
    i: _ID
    T: STAMP
    s: str
    S: Literal["Buy", "Sell"]
    p: PRICE
    v: AMOUNT
    # Keys that ccxt reads in place of these.
    t: Absent = ABSENT
    q: Absent = ABSENT


class _Diff(Struct, gc=False):
    s: str
    b: list[LEVEL]
    a: list[LEVEL]


class _Message(Struct, gc=False):
    topic: str
    type: Literal["snapshot", "delta"]
    ts: STAMP
    data: list[_Trade] | _Diff
    # Keys by which ccxt would take the frame for something else.
    code: Absent = ABSENT
    ret_code: Absent = ABSENT
    retCode: Absent = ABSENT  # noqa: N815  # the exchange's name
    ret_msg: Absent = ABSENT
    success: Absent = ABSENT
    pong: Absent = ABSENT
    event: Absent = ABSENT


class BybitDecoder:
    """Reads ``publicTrade`` and ``orderbook`` deeper than one level.

    Parameters
    ----------
    desk
        Where rows go.

    Notes
    -----
    Spot and contracts have the same ids; which is meant is told by the url, as in ccxt. ccxt gives these books no nonce and looks
    at no sequence, nor is one looked at here: a diff is lost only together with its connection, and a snapshot follows then.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._decode: Callable[[str], _Message] = Decoder(_Message, strict=False).decode
        self._kind = "spot" if "spot" in desk.client.url else "contract"
        self._of_trades = Symbols(desk.exchange, self._market_of_trade)
        self._of_books = Symbols(desk.exchange, lambda market_id: self._find(market_id, None, self._kind))

    def take(self, connection: Connection, text: str) -> bool:
        """Return whether the frame was handled; see `guard_ccxt.fast.decoder.Decoder`."""
        try:
            message = self._decode(text)
        except DecodeError:
            return False
        found, topic = message.data, message.topic
        if type(found) is list:
            return topic.startswith(_TRADES) and self._trades(connection, topic[len(_TRADES) :], found)
        assert isinstance(found, _Diff)
        is_book = topic.startswith(_BOOK) and not topic.startswith(_TOP)
        return is_book and self._diff(connection, message, found)

    def _trades(self, connection: Connection, market_id: str, trades: list[_Trade]) -> bool:
        if not trades or any(trade.s != market_id for trade in trades):
            return False
        subscription = self._desk.trades(self._of_trades[market_id])
        if subscription is None:
            connection.deferred += 1
            return False
        received_us = connection.received_us
        for trade in trades:
            side, key = SIDES[trade.S], event_key(trade.i)
            subscription.take_trade(trade.T, trade.p, trade.v, side=side, key=key, received_us=received_us)
        return True

    def _diff(self, connection: Connection, message: _Message, diff: _Diff) -> bool:
        is_whole = message.type == "snapshot"
        found = None if is_whole else self._desk.book(self._of_books[diff.s], is_numbered=False)
        if found is None:
            connection.deferred += 1
            return False
        subscription, book = found
        subscription.take_diff(
            book,
            diff.b,
            diff.a,
            at_ms=message.ts,
            nonce=None,
            received_us=connection.received_us,
            levels_max=self._desk.levels_max,
        )
        return True

    def _find(self, market_id: str, market: Any, kind: str) -> Any:
        return self._desk.exchange.safe_market(market_id, market, None, kind)

    def _market_of_trade(self, market_id: str) -> Any:
        # ccxt asks twice: for the topic by the url, for the trade by what it found.
        market = self._find(market_id, None, self._kind)
        return self._find(market_id, market, market["type"])
