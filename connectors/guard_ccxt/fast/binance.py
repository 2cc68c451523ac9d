"""Binance, spot and contracts alike: trades, aggregated trades and depth diffs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from msgspec import DecodeError, Meta, Struct
from msgspec.json import Decoder

from guard.model import BUY, SELL
from guard_ccxt.fast.limits import ABSENT, AMOUNT, COUNT, LEVEL, PRICE, STAMP, Absent

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard_ccxt.connections.pump import Connection
    from guard_ccxt.fast.decoder import Desk

__all__ = ["BinanceDecoder"]

_ID_MAX = 10**18  # `event_key` makes a hash of longer ones
_WRAPPED = '{"stream"'


class _Event(Struct, tag_field="e", gc=False):
    # Keys by which ccxt would take the frame for something else.
    event: Absent = ABSENT
    data: Absent = ABSENT
    status: Absent = ABSENT
    error: Absent = ABSENT
    id: Absent = ABSENT


class _Print(_Event, gc=False, kw_only=True):
    s: str
    p: PRICE
    q: AMOUNT
    T: STAMP
    m: object
    # Keys that ccxt reads in place of these, or that make another kind of trade of it.
    quantity: Absent = ABSENT
    symbol: Absent = ABSENT
    x: Absent = ABSENT
    isDustTrade: Absent = ABSENT  # noqa: N815  # the exchange's name
    optionSide: Absent = ABSENT  # noqa: N815  # likewise


class _Trade(_Print, tag="trade", gc=False, kw_only=True):
    t: object


class _Aggregate(_Print, tag="aggTrade", gc=False, kw_only=True):
    a: object
    t: Absent = ABSENT


class _Depth(_Event, tag="depthUpdate", gc=False, kw_only=True):
    s: str
    E: STAMP
    U: COUNT
    u: COUNT
    pu: COUNT | None = None
    b: list[LEVEL]
    a: list[LEVEL]


class _Wrapped(Struct, gc=False):
    stream: Annotated[str, Meta(min_length=1)]
    data: _Trade | _Aggregate | _Depth


class BinanceDecoder:
    """Reads one connection, combined (``{"stream": ..., "data": ...}``) or raw.

    Parameters
    ----------
    desk
        Where rows go.

    Notes
    -----
    Spot and contracts have the same ids; which is meant is told by the url, as in ccxt. A diff of a spot book follows where its
    ``U`` is the last ``u`` + 1 (the first one after a snapshot may overlap it), one of a contract where its ``pu`` is the last
    ``u`` or it overlaps it. Options are left to ccxt.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._is_spot = bool(desk.exchange.is_spot_url(desk.client))
        self._unwrap: Callable[[str], _Wrapped] = Decoder(_Wrapped, strict=False).decode
        self._decode: Callable[[str], _Trade | _Aggregate | _Depth] = Decoder(_Trade | _Aggregate | _Depth, strict=False).decode
        self._of_trades: dict[str, str] = {}
        self._of_books: dict[str, str] = {}

    def take(self, connection: Connection, text: str) -> bool:
        """Return whether the frame was handled; see `guard_ccxt.fast.decoder.Decoder`."""
        try:
            event = self._unwrap(text).data if text.startswith(_WRAPPED) else self._decode(text)
        except DecodeError:
            return False
        kind = type(event)
        if kind is _Depth:
            return self._diff(connection, event)  # type: ignore[arg-type]  # told by its type
        key = event.t if kind is _Trade else event.a  # type: ignore[union-attr]  # likewise
        is_sell = event.m  # type: ignore[union-attr]  # likewise
        if type(key) is not int or not 0 <= key < _ID_MAX or (is_sell is not True and is_sell is not False):
            return False
        symbol = self._of_trades.get(event.s) or self._symbol(event.s, self._of_trades, "contract")
        subscription = self._desk.trades(symbol)
        if subscription is None:
            connection.deferred += 1
            return False
        side = SELL if is_sell else BUY
        subscription.take_trade(event.T, event.p, event.q, side=side, key=key, received_us=connection.received_us)  # type: ignore[union-attr]  # likewise
        return True

    def _diff(self, connection: Connection, diff: _Depth) -> bool:
        symbol = self._of_books.get(diff.s) or self._symbol(diff.s, self._of_books, "swap")
        found = self._desk.book(symbol)
        if found is None:
            connection.deferred += 1
            return False
        subscription, book = found
        nonce = book["nonce"]
        if diff.pu is None:
            if diff.u <= nonce:
                return True
            is_next = nonce + 1 == diff.U or (book["timestamp"] is None and nonce + 1 >= diff.U)
        else:
            if diff.u < nonce:
                return True
            is_next = nonce >= diff.U or diff.pu == nonce
        if not is_next:
            return False
        subscription.take_diff(
            book,
            diff.b,
            diff.a,
            at_ms=diff.E,
            nonce=diff.u,
            received_us=connection.received_us,
            levels_max=self._desk.levels_max,
        )
        return True

    def _symbol(self, market_id: str, symbols: dict[str, str], contract: str) -> str:
        # ccxt makes a market up for an id that it does not know; nobody watches that.
        market: Any = self._desk.exchange.safe_market(market_id, None, None, "spot" if self._is_spot else contract)
        symbol = "" if market.get("option") else str(market["symbol"])
        if len(symbols) < len(self._desk.exchange.markets):
            symbols[market_id] = symbol
        return symbol
