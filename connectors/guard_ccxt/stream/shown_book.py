"""The book of one market as it was shown: what a message changes in it becomes LEVEL rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from guard.errors import MalformedEvent
from guard.model import ASK, BID, Flag
from guard_ccxt.stream.levels import LevelWriter, sequence
from guard_ccxt.stream.mirror import BookMirror

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guard.model.ports import Sink
    from guard_ccxt.counters import Counters
    from guard_ccxt.stream.gate import Gate
    from guard_ccxt.stream.mirror import Change

__all__ = ["Message", "ShownBook"]


class Message(NamedTuple):
    """What a message made of a book: the levels it changed, its time, its number, and SNAPSHOT where it tells the whole book."""

    changes: list[Change]
    at_us: int
    key: int
    flags: int


class ShownBook:
    """The side of a `Subscription` that a book goes through.

    Parameters
    ----------
    row
        The number of the market.
    gate, sink, counters
        Shared parts of the connector.

    Attributes
    ----------
    mirror
        What was shown.
    needs_snapshot
        Whether the next message is shown as a whole.
    """

    def __init__(self, row: int, *, gate: Gate, sink: Sink, counters: Counters) -> None:
        self.mirror = BookMirror()
        self.needs_snapshot = True
        self._gate = gate
        self._counters = counters
        self._levels = LevelWriter(row, gate=gate, sink=sink, counters=counters)
        self._book: Any = None
        self._compared = 0

    @property
    def token(self) -> tuple[object, ...]:
        """What tells the last message from the one before."""
        book = self._book
        return (self._compared, None, None) if book is None else (self._compared, book.get("nonce"), book.get("timestamp"))

    @property
    def at_us(self) -> int | None:
        """The exchange's time of the last message; None where it tells none."""
        stamp = None if self._book is None else self._book.get("timestamp")
        return stamp * 1000 if isinstance(stamp, int) else None

    def compare(self, book: Any, received_us: int, *, drain: Callable[[Any], dict[float, float] | None], is_cut: bool) -> Message:
        """Take ccxt's `book` after a message; `drain` tells what changed in a side, `is_cut` that levels were forgotten."""
        self._compared += 1
        bids, asks = book["bids"], book["asks"]
        touched_bids, touched_asks = drain(bids), drain(asks)
        try:
            at_us = self._gate.at_us(book.get("timestamp"), received_us=received_us)
        except MalformedEvent as error:
            self._counters.reject(error.reason)
            at_us = received_us
        flags = 0
        if self.needs_snapshot or is_cut:
            changes = self.mirror.replace(bids, asks)
            flags = int(Flag.SNAPSHOT)
            self.needs_snapshot = not changes
        elif book is not self._book or touched_bids is None or touched_asks is None:
            changes = self.mirror.compare(BID, bids) + self.mirror.compare(ASK, asks)
        else:
            changes = self.mirror.apply(BID, touched_bids) + self.mirror.apply(ASK, touched_asks)
        self._book = book
        return Message(changes, at_us, sequence(book.get("nonce")), flags)

    def put(self, message: Message, received_us: int) -> None:
        """Write what `compare` returned, where it changed anything."""
        if message.changes:
            self._levels.put(message.changes, at_us=message.at_us, received_us=received_us, key=message.key, flags=message.flags)

    def put_whole(self, now_us: int) -> None:
        """Write all levels as of the last message."""
        changes = self.mirror.levels()
        if changes:
            self._levels.put(changes, at_us=now_us, received_us=now_us, key=0, flags=int(Flag.SNAPSHOT))

    def is_of(self, book: Any) -> bool:
        """Whether all of ccxt's `book` has been shown."""
        return self._book is book and not self.needs_snapshot

    def succeed(self, other: ShownBook) -> None:
        """Go on from what `other` shows."""
        self.mirror, self.needs_snapshot, self._book = other.mirror, other.needs_snapshot, other._book  # its own kind

    def take_diff(
        self,
        book: Any,
        bids: Iterable[tuple[float, float]],
        asks: Iterable[tuple[float, float]],
        *,
        at_ms: int,
        nonce: int | None,
        received_us: int,
        levels_max: int,
    ) -> None:
        """Take one book message of a decoder: (price, amount resting now) in the exchange's units, 0 for a level that is gone.

        `book` is what ``Desk.book`` gave; its nonce and timestamp are written. Levels are within `guard_ccxt.fast.limits.LEVEL`.
        """
        book["nonce"], book["timestamp"] = nonce, at_ms
        try:
            at_us = self._gate.whole_ms(at_ms, received_us)
        except MalformedEvent as error:
            self._counters.reject(error.reason)
            at_us = received_us
        self._levels.diff(self.mirror, bids, asks, levels_max=levels_max, at_us=at_us, received_us=received_us, key=sequence(nonce))
