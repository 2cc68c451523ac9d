"""KuCoin, spot and futures: trades one by one, books as diffs over a snapshot of REST."""

from __future__ import annotations

from math import isfinite
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
    from guard_ccxt.stream.subscription import Subscription

__all__ = ["KucoinDecoder"]

# ccxt reads nanoseconds through a float: so are they here, or a stamp may differ in its last millisecond.
_NANOS = Annotated[float, Meta(ge=1e17, le=1e19)]
_ID = Annotated[str, Meta(min_length=1, max_length=64)]
# Price, amount, sequence. A price of 0 only moves the sequence on.
_LEVEL = tuple[RESTING, RESTING, object]
_SPOT_BOOK, _FUTURES_BOOK = "/market/level2:", "/contractMarket/level2:"
_ALL_TICKERS = "/market/ticker:all"
_PRICE_MAX, _AMOUNT_MAX = 1e15, 1e18
_CHANGE_PARTS = 3


class _Trade(Struct, gc=False, kw_only=True):
    symbol: str
    side: Literal["buy", "sell"]
    price: PRICE
    size: AMOUNT
    tradeId: _ID  # noqa: N815  # the exchange's name
    liquidityRole: Absent = ABSENT  # noqa: N815  # likewise; ccxt would take it for a trade of an account


class _SpotTrade(_Trade, gc=False, kw_only=True):
    time: _NANOS


class _FuturesTrade(_Trade, gc=False, kw_only=True):
    ts: _NANOS


class _Changes(Struct, gc=False):
    bids: list[_LEVEL]
    asks: list[_LEVEL]


class _SpotDiff(Struct, gc=False):
    symbol: str
    sequenceStart: COUNT  # noqa: N815  # the exchange's name
    sequenceEnd: COUNT  # noqa: N815  # likewise
    time: STAMP
    changes: _Changes
    change: Absent = ABSENT
    M: Absent = ABSENT


class _FuturesDiff(Struct, gc=False):
    sequence: COUNT
    change: str
    timestamp: STAMP
    symbol: Absent = ABSENT
    sequenceEnd: Absent = ABSENT  # noqa: N815  # the exchange's name
    time: Absent = ABSENT
    M: Absent = ABSENT


class _Message(Struct, tag_field="subject", gc=False, kw_only=True):
    type: Literal["message"]
    topic: str


class _SpotMatch(_Message, tag="trade.l3match", gc=False, kw_only=True):
    data: _SpotTrade


class _FuturesMatch(_Message, tag="match", gc=False, kw_only=True):
    data: _FuturesTrade


class _SpotUpdate(_Message, tag="trade.l2update", gc=False, kw_only=True):
    data: _SpotDiff


class _FuturesUpdate(_Message, tag="level2", gc=False, kw_only=True):
    data: _FuturesDiff


_Any = _SpotMatch | _FuturesMatch | _SpotUpdate | _FuturesUpdate


class KucoinDecoder:
    """Reads ``/market/match``, ``/contractMarket/execution`` and the level2 channels of both.

    Parameters
    ----------
    desk
        Where rows go.

    Notes
    -----
    A book's diffs follow one another by sequence. ccxt does not look at that once a book is synchronised, and lays a diff behind
    a hole over the book without a word; here the book is lost then, and ccxt is made to fetch a snapshot.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._decode: Callable[[str], _Any] = Decoder(_Any, strict=False).decode
        find = desk.exchange.safe_market
        self._spot = Symbols(desk.exchange, lambda market_id: _of_kind(find(market_id), is_spot=True))
        self._futures = Symbols(desk.exchange, lambda market_id: _of_kind(find(market_id), is_spot=False))
        self._books = Symbols(desk.exchange, lambda market_id: find(market_id, None, "-"))

    def take(self, connection: Connection, text: str) -> bool:
        """Return whether the frame was handled; see `guard_ccxt.fast.decoder.Decoder`."""
        try:
            message = self._decode(text)
        except DecodeError:
            return False
        kind = type(message)
        if kind is _SpotMatch:
            return message.topic != _ALL_TICKERS and self._trade(connection, self._spot, message.data, message.data.time)  # type: ignore[arg-type, union-attr]  # told by its type
        if kind is _FuturesMatch:
            return message.topic != _ALL_TICKERS and self._trade(connection, self._futures, message.data, message.data.ts)  # type: ignore[arg-type, union-attr]  # likewise
        if kind is _SpotUpdate:
            return message.topic.startswith(_SPOT_BOOK) and self._spot_diff(connection, message.data)  # type: ignore[arg-type]  # likewise
        is_book = message.topic.startswith(_FUTURES_BOOK)
        return is_book and self._futures_diff(connection, message.topic[len(_FUTURES_BOOK) :], message.data)  # type: ignore[arg-type]  # likewise

    def _trade(self, connection: Connection, symbols: Symbols, trade: _Trade, nanos: float) -> bool:
        subscription = self._desk.trades(symbols[trade.symbol])
        if subscription is None:
            connection.deferred += 1
            return False
        subscription.take_trade(
            int(int(nanos) / 1_000_000),
            trade.price,
            trade.size,
            side=SIDES[trade.side],
            key=event_key(trade.tradeId),
            received_us=connection.received_us,
        )
        return True

    def _spot_diff(self, connection: Connection, diff: _SpotDiff) -> bool:
        found = self._desk.book(self._books[diff.symbol])
        if found is None:
            connection.deferred += 1
            return False
        subscription, book = found
        if book["nonce"] >= diff.sequenceEnd:
            return True
        bids = {level[0]: level[1] for level in diff.changes.bids}
        asks = {level[0]: level[1] for level in diff.changes.asks}
        if bids.pop(0.0, 0.0) or asks.pop(0.0, 0.0):
            return False
        if diff.sequenceStart > book["nonce"] + 1:
            return self._lose(connection, subscription, book)
        self._lay(connection, found, bids, asks, at_ms=diff.time, nonce=diff.sequenceEnd)
        return True

    def _futures_diff(self, connection: Connection, market_id: str, diff: _FuturesDiff) -> bool:
        found = self._desk.book(self._books[market_id])
        if found is None:
            connection.deferred += 1
            return False
        subscription, book = found
        nonce = book["nonce"]
        change = _change(diff.change)
        if change is None or nonce >= diff.timestamp:  # ccxt holds the sequence against the stamp
            return False
        if diff.sequence <= nonce:
            return True
        if diff.sequence > nonce + 1:
            return self._lose(connection, subscription, book)
        price, amount, is_bid = change
        level = {price: amount}
        self._lay(connection, found, level if is_bid else {}, {} if is_bid else level, at_ms=diff.timestamp, nonce=diff.sequence)
        return True

    def _lay(
        self,
        connection: Connection,
        found: tuple[Subscription, Any],
        bids: dict[float, float],
        asks: dict[float, float],
        *,
        at_ms: int,
        nonce: int,
    ) -> None:
        subscription, book = found
        received_us, levels_max = connection.received_us, self._desk.levels_max
        subscription.take_diff(
            book, bids.items(), asks.items(), at_ms=at_ms, nonce=nonce, received_us=received_us, levels_max=levels_max
        )

    def _lose(self, connection: Connection, subscription: Subscription, book: Any) -> bool:
        # A book without a nonce is fetched again by ccxt, a few diffs later.
        connection.deferred += 1
        subscription.mend()
        book["nonce"], book.cache = None, []
        return False


def _of_kind(market: Any, *, is_spot: bool) -> Any:
    # ccxt reads a trade by the kind of its market, whatever channel it came on.
    return market if (market["spot"] is True) is is_spot else None


def _change(text: str) -> tuple[float, float, bool] | None:
    # "price,side,amount" of one level.
    parts = text.split(",")
    if len(parts) != _CHANGE_PARTS or parts[1] not in ("buy", "sell"):
        return None
    try:
        price, amount = float(parts[0]), float(parts[2])
    except ValueError:
        return None
    is_good = isfinite(price) and 0.0 < price <= _PRICE_MAX and 0.0 <= amount <= _AMOUNT_MAX
    return (price, amount, parts[1] == "buy") if is_good else None
