"""Events as columns: what connectors write and the pipeline reads."""

from __future__ import annotations

from array import array
from enum import IntEnum, IntFlag
from hashlib import blake2b
from struct import Struct, calcsize
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ASK", "BID", "BUY", "RECORD", "SELL", "Batch", "Channel", "Control", "Flag", "Kind", "Status", "event_key"]

_DIGITS_MAX = 18
# An `n` has the size of a `q` wherever addresses have 64 bits, and is packed in half the time.
_LONG: Final = "n" if calcsize("n") == calcsize("q") else "q"
# One row as a batch of its own keeps it: at_us, received_us, price, amount, key, market, kind, side, flags.
RECORD: Final = Struct(f"@{_LONG}{_LONG}dd{_LONG}ibbbx")
_BYTES: Final = RECORD.size
_FLAGS_AT: Final = 46
_write: Final = RECORD.pack_into
_NOTHING: Final = memoryview(b"")
BUY = BID = 1
SELL = ASK = -1


class Kind(IntEnum):
    """What one row of a batch says.

    ============ ======================= ================== =============================== ==========================
    kind         price                   amount             side                            key
    ============ ======================= ================== =============================== ==========================
    TRADE        price, quote per base   base, > 0          taker: BUY, SELL, 0 = unknown   trade id (`event_key`)
    LEVEL        price of the level      base now resting,  BID or ASK                      sequence number, 0 = none
                                         0 removes it
    GAP          0                       0                  `Channel` that lost continuity  last good `at_us`, 0 = none
    STATUS       value of the status     0                  `Channel` it speaks of          `Status`
    CONTROL      0                       0                  `Control`                       what it is done to (`event_key`)
    ============ ======================= ================== =============================== ==========================

    A CONTROL row speaks of no market: its `market` may be any that is open.
    """

    TRADE = 1
    LEVEL = 2
    GAP = 3
    STATUS = 4
    CONTROL = 5


class Channel(IntEnum):
    """The stream a GAP or STATUS row speaks of."""

    ALL = 0
    TRADES = 1
    BOOK = 2


class Status(IntEnum):
    """What changed about a market's streams, in `key` of a STATUS row.

    LIVE: the subscription delivers (again). LOST: its connection is gone. STALLED: connected but judged dead.
    MAINTENANCE: the exchange says it is closed; LIVE ends it. WARM: the backfill is complete. USD_RATE, VOLUME_24H:
    `price` holds the new value in USD.
    """

    LIVE = 1
    LOST = 2
    STALLED = 3
    MAINTENANCE = 4
    WARM = 5
    USD_RATE = 6
    VOLUME_24H = 7


class Control(IntEnum):
    """What guard does to itself, in `side` of a CONTROL row, so that a recording does it again.

    DEMOTE_DETECTOR: the plain detector whose name has the `event_key` that `key` holds is not asked any more. All others are for
    who feeds the pipeline, which takes them for nothing. RELOAD: the rules whose hash has the `event_key` that `key` holds take
    over. ORDER: a person's order, `key` is its number on the tape. OPEN: the market of this row is opened. PASS: time has passed up
    to this row. WARM: a market was given what an earlier run had learnt of it, `key` is the number of that on the tape.
    FACTS: a market is tagged anew, `key` is the number of that on the tape.
    """

    DEMOTE_DETECTOR = 1
    RELOAD = 2
    ORDER = 3
    OPEN = 4
    PASS = 5
    WARM = 6
    FACTS = 7


class Flag(IntFlag):
    """Bits of a row.

    SNAPSHOT: the row belongs to a full book; the first such row of a message empties the book. LAST: last row of a book
    message; evaluation waits for it. BACKFILL: history, feeds baselines only. INFERRED_SIDE: the source gave no side.
    """

    NONE = 0
    SNAPSHOT = 1
    LAST = 2
    BACKFILL = 4
    INFERRED_SIDE = 8


_LEVEL: Final = int(Kind.LEVEL)
_LAST: Final = int(Flag.LAST)


class Batch:
    """Preallocated rows of events, in order of arrival, read by column.

    Parameters
    ----------
    capacity
        Rows it can hold, > 0. `append` to a full batch raises struct.error, as does a number that its column cannot hold: look at
        `is_full` first.

    Notes
    -----
    Its rows stand in `records`, one `RECORD` each, and the columns are views of them; `length` of them are in use.

    `at_us` is exchange time in microseconds since 1970, corrected for the clock's offset and never after `received_us`, the
    local time of arrival. Rows of one book message are contiguous. Prices and amounts are finite; a connector's gate saw to it.

    Examples
    --------
    >>> batch = Batch(capacity=2)
    >>> batch.append(Kind.TRADE, 0, at_us=5, received_us=7, price=1.5, amount=2.0, side=BUY, key=1)
    >>> len(batch), batch.price[0], batch.is_full
    (1, 1.5, False)
    """

    __slots__ = (
        "address",
        "amount",
        "at_us",
        "capacity",
        "flags",
        "key",
        "kind",
        "length",
        "market",
        "price",
        "received_us",
        "records",
        "side",
    )

    # Views of records, columns of others, or lists.
    kind: Sequence[int]
    market: Sequence[int]
    at_us: Sequence[int]
    received_us: Sequence[int]
    price: Sequence[float]
    amount: Sequence[float]
    side: Sequence[int]
    key: Sequence[int]
    flags: Sequence[int]

    def __init__(self, capacity: int = 8192) -> None:
        self.capacity = capacity
        self.length = 0
        numbers = array("q", bytes(_BYTES * capacity))
        # Where the records are, for compiled code; 0 where there are none.
        self.address = numbers.buffer_info()[0]
        self.records: memoryview = memoryview(numbers).cast("B")
        self.at_us, self.received_us, self.key = (self.records.cast("q")[place :: _BYTES // 8] for place in (0, 1, 4))
        self.price, self.amount = (self.records.cast("d")[place :: _BYTES // 8] for place in (2, 3))
        self.market = self.records.cast("i")[10 :: _BYTES // 4]
        self.kind, self.side, self.flags = (self.records.cast("b")[place::_BYTES] for place in (44, 45, _FLAGS_AT))

    def __len__(self) -> int:
        """Return the number of rows in use."""
        return self.length

    @classmethod
    def over(
        cls,
        *,
        kind: Sequence[int],
        market: Sequence[int],
        at_us: Sequence[int],
        received_us: Sequence[int],
        price: Sequence[float],
        amount: Sequence[float],
        side: Sequence[int],
        key: Sequence[int],
        flags: Sequence[int],
    ) -> Batch:
        """Return a full batch that stands over columns of equal length without copying them; it is for reading only.

        A column is a buffer of the item type that a batch of its own has (an `array.array`, a numpy array) or a list of numbers;
        see `plain` for what may be indexed row by row. Raises ValueError where the lengths differ.

        Examples
        --------
        >>> numbers, prices = array("q", [1, 2]), array("d", [0.5, 0.5])
        >>> zeros = array("b", [0, 0])
        >>> batch = Batch.over(
        ...     kind=array("b", [1, 1]),
        ...     market=array("i", [0, 0]),
        ...     at_us=numbers,
        ...     received_us=numbers,
        ...     price=prices,
        ...     amount=prices,
        ...     side=zeros,
        ...     key=numbers,
        ...     flags=zeros,
        ... )
        >>> len(batch), batch.is_full, batch.price is prices, batch.plain().price
        (2, True, True, [0.5, 0.5])
        """
        columns: tuple[Any, ...] = (kind, market, at_us, received_us, price, amount, side, key, flags)
        lengths = {len(column) for column in columns}
        if len(lengths) != 1:
            raise ValueError(f"the columns of a batch have one length; found {sorted(lengths)}")
        return cls._of(columns)

    @classmethod
    def _of(cls, columns: Sequence[Any]) -> Batch:
        batch = cls.__new__(cls)
        batch.kind, batch.market, batch.at_us, batch.received_us, batch.price, batch.amount, batch.side, batch.key, batch.flags = (
            columns
        )
        batch.records = _NOTHING
        batch.address = 0
        batch.capacity = batch.length = len(batch.kind)
        return batch

    def plain(self) -> Batch:
        """Return the rows in use as lists of Python's own numbers, which is the fastest form to index row by row."""
        if isinstance(self.kind, list):
            return self
        if not self.address:
            return self._of([column.tolist() for column in self._columns()])
        if not self.length:
            return self._of([[] for _ in range(9)])
        rows = RECORD.iter_unpack(self.records[: self.length * _BYTES])
        at_us, received_us, price, amount, key, market, kind, side, flags = map(list, zip(*rows, strict=True))
        return self._of((kind, market, at_us, received_us, price, amount, side, key, flags))

    def _columns(self) -> tuple[Any, ...]:
        return self.kind, self.market, self.at_us, self.received_us, self.price, self.amount, self.side, self.key, self.flags

    @property
    def is_full(self) -> bool:
        """Whether the next `append` would not fit."""
        return self.length >= self.capacity

    def count(self, kind: int) -> int:
        """Return how many rows are of this kind."""
        return list(self.kind[: self.length]).count(kind)

    def clear(self) -> None:
        """Forget all rows; the memory stays."""
        self.length = 0

    def append(
        self,
        kind: int,
        market: int,
        *,
        at_us: int,
        received_us: int,
        price: float = 0.0,
        amount: float = 0.0,
        side: int = 0,
        key: int = 0,
        flags: int = 0,
    ) -> None:
        """Write one row; the columns are described at `Kind`. `market` is the row number the pipeline gave the market."""
        at = self.length
        _write(self.records, at * _BYTES, at_us, received_us, price, amount, key, market, kind, side, flags)
        self.length = at + 1

    def levels(
        self, market: int, changes: Sequence[tuple[int, float, float]], *, at_us: int, received_us: int, key: int, flags: int
    ) -> None:
        """Write one book message, (side, price, amount) of each level, the last with LAST; at least one, and room for it."""
        records, at = self.records, self.length * _BYTES
        for side, price, amount in changes:
            _write(records, at, at_us, received_us, price, amount, key, market, _LEVEL, side, flags)
            at += _BYTES
        records[at - _BYTES + _FLAGS_AT] = flags | _LAST
        self.length += len(changes)

    def extend(self, source: Batch, start: int, stop: int) -> None:
        """Copy rows `start` up to `stop` of another batch with records behind those that are here; there must be room for them."""
        at = self.length
        end = at + stop - start
        assert end <= self.capacity
        assert source.address
        self.records[at * _BYTES : end * _BYTES] = source.records[start * _BYTES : stop * _BYTES]
        self.length = end


def event_key(identity: str | int | None) -> int:
    """Return a trade's id as a 63-bit integer: the number itself, a hash of a text, 0 where there is none.

    Examples
    --------
    >>> event_key("12345"), event_key(None)
    (12345, 0)
    """
    if identity is None or identity == "":
        return 0
    text = str(identity)
    if text.isdecimal() and len(text) <= _DIGITS_MAX:
        return int(text)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
