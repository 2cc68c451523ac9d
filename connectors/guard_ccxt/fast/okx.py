"""OKX, all kinds of markets: trades of one taker at one price in one row, books as diffs after a snapshot on the socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import DecodeError, Meta, Struct
from msgspec.json import Decoder

from guard.model import event_key
from guard_ccxt.fast.limits import ABSENT, AMOUNT, COUNT, PRICE, RESTING, SIDES, STAMP, Absent
from guard_ccxt.fast.symbols import Symbols

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard_ccxt.connections.pump import Connection
    from guard_ccxt.fast.decoder import Desk

__all__ = ["OkxDecoder"]

_ID = Annotated[str, Meta(min_length=1, max_length=64)]
# Price, amount, a number that is always 0, orders.
_LEVEL = tuple[PRICE, RESTING, object, object]
# The channel stands in the first key of a frame.
_TRADES, _HEAD = '"trades', 40


class _TradesOf(Struct, gc=False):
    channel: Literal["trades", "trades-all"]
    instId: str  # noqa: N815  # the exchange's name


class _BookOf(Struct, gc=False):
    channel: Literal["books"]
    instId: str  # noqa: N815  # likewise


class _Trade(Struct, gc=False):
    instId: str  # noqa: N815  # likewise
    tradeId: _ID  # noqa: N815  # likewise
    px: PRICE
    sz: AMOUNT
    side: Literal["buy", "sell"]
    ts: STAMP
    # Keys that ccxt reads in place of these.
    fillPx: Absent = ABSENT  # noqa: N815  # likewise
    fillSz: Absent = ABSENT  # noqa: N815  # likewise


class _Diff(Struct, gc=False):
    bids: list[_LEVEL]
    asks: list[_LEVEL]
    ts: STAMP
    prevSeqId: COUNT  # noqa: N815  # likewise
    seqId: COUNT  # noqa: N815  # likewise


class _Message(Struct, gc=False, kw_only=True):
    event: Absent = ABSENT
    op: Absent = ABSENT
    code: Absent = ABSENT


class _Trades(_Message, gc=False, kw_only=True):
    arg: _TradesOf
    data: list[_Trade]


class _Book(_Message, gc=False, kw_only=True):
    arg: _BookOf
    action: Literal["update"]
    data: list[_Diff]


class OkxDecoder:
    """Reads ``trades``, ``trades-all`` and ``books``.

    Parameters
    ----------
    desk
        Where rows go.

    Notes
    -----
    A diff follows where its ``prevSeqId`` is the last ``seqId``; else ccxt drops the book and subscribes again. The checksum of
    the first 25 levels is not looked at, neither here nor by ccxt: it says what the sequence says already, and its text would
    have to be kept for every level. Frames without sequence ids (before 2023) are ccxt's.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._read_trades: Callable[[str], _Trades] = Decoder(_Trades, strict=False).decode
        self._read_book: Callable[[str], _Book] = Decoder(_Book, strict=False).decode
        find = desk.exchange.safe_market
        self._symbols = Symbols(desk.exchange, lambda market_id: find(market_id, None, "-"))

    def take(self, connection: Connection, text: str) -> bool:
        """Return whether the frame was handled; see `guard_ccxt.fast.decoder.Decoder`."""
        try:
            if text.find(_TRADES, 0, _HEAD) >= 0:
                return self._trades(connection, self._read_trades(text))
            return self._diff(connection, self._read_book(text))
        except DecodeError:
            return False

    def _trades(self, connection: Connection, message: _Trades) -> bool:
        market_id = message.arg.instId
        if not message.data or any(trade.instId != market_id for trade in message.data):
            return False
        subscription = self._desk.trades(self._symbols[market_id])
        if subscription is None:
            connection.deferred += 1
            return False
        received_us = connection.received_us
        for trade in message.data:
            side, key = SIDES[trade.side], event_key(trade.tradeId)
            subscription.take_trade(trade.ts, trade.px, trade.sz, side=side, key=key, received_us=received_us)
        return True

    def _diff(self, connection: Connection, message: _Book) -> bool:
        symbol = self._symbols[message.arg.instId]
        found: Any = self._desk.book(symbol)
        if found is None or f"books:{symbol}" not in self._desk.client.subscriptions:
            connection.deferred += 1
            return False
        (diff,) = message.data if len(message.data) == 1 else (None,)
        subscription, book = found
        if diff is None or diff.prevSeqId != book["nonce"]:
            return False
        subscription.take_diff(
            book,
            ((level[0], level[1]) for level in diff.bids),
            ((level[0], level[1]) for level in diff.asks),
            at_ms=diff.ts,
            nonce=diff.seqId,
            received_us=connection.received_us,
            levels_max=self._desk.levels_max,
        )
        return True
