"""Writes the rows of one market's book messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.errors import MalformedEvent
from guard.model import ASK, BID, Flag, Kind
from guard_ccxt.stream.gate import NOTIONAL_MAX
from guard_ccxt.stream.sinks import message_putter, row_putter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from guard.model.ports import Sink
    from guard_ccxt.counters import Counters
    from guard_ccxt.stream.gate import Gate
    from guard_ccxt.stream.mirror import BookMirror, Change

__all__ = ["LevelWriter", "sequence"]

_LEVEL, _LAST, _SNAPSHOT = int(Kind.LEVEL), int(Flag.LAST), int(Flag.SNAPSHOT)


class LevelWriter:
    """Turns changes of a book into rows, each message ending with LAST.

    Parameters
    ----------
    row
        The number of the market.
    gate, sink, counters
        Shared parts of the connector. A level that the gate refuses is counted and left out.
    """

    __slots__ = ("_counters", "_gate", "_put_message", "_put_row", "_row")

    def __init__(self, row: int, *, gate: Gate, sink: Sink, counters: Counters) -> None:
        self._row = row
        self._gate = gate
        self._put_row = row_putter(sink)
        self._put_message = message_putter(sink)
        self._counters = counters

    def put(self, changes: Sequence[Change], *, at_us: int, received_us: int, key: int, flags: int) -> None:
        """Write one message."""
        self._counters.last_event_us = received_us
        if rows := list(self._passed(changes)):
            self._write(rows, at_us=at_us, received_us=received_us, key=key, flags=flags)

    def _write(self, rows: list[Change], *, at_us: int, received_us: int, key: int, flags: int) -> None:
        counters = self._counters
        counters.received += len(rows)
        counters.last_event_us = received_us
        if len(rows) > 1:
            self._put_message(self._row, rows, at_us=at_us, received_us=received_us, key=key, flags=flags)
            return
        ((side, price, amount),) = rows
        self._put_row(_LEVEL, self._row, at_us, received_us, price, amount, side, key, flags | _LAST)

    def diff(
        self,
        mirror: BookMirror,
        bids: Iterable[tuple[float, float]],
        asks: Iterable[tuple[float, float]],
        *,
        levels_max: int,
        at_us: int,
        received_us: int,
        key: int,
    ) -> None:
        """Lay levels within `guard_ccxt.fast.limits.LEVEL` over `mirror` and write what changed, or all where it had to be cut."""
        touched_bids, touched_asks = dict(bids), dict(asks)
        most = levels_max + levels_max // 2
        if not self._gate.is_plain or len(mirror.bids) + len(touched_bids) > most or len(mirror.asks) + len(touched_asks) > most:
            changes = mirror.apply(BID, touched_bids) + mirror.apply(ASK, touched_asks)
            is_cut = mirror.cut(levels_max)
            if changes:
                self.put(
                    mirror.levels() if is_cut else changes,
                    at_us=at_us,
                    received_us=received_us,
                    key=key,
                    flags=_SNAPSHOT if is_cut else 0,
                )
            return
        # The same in one piece: this is done for every level there is.
        changes = []
        for side, touched, shown in ((BID, touched_bids, mirror.bids), (ASK, touched_asks, mirror.asks)):
            resting = shown.get
            for price, amount in touched.items():
                if resting(price, 0.0) == amount:
                    continue
                if amount:
                    shown[price] = amount
                    if price * amount > NOTIONAL_MAX:
                        self._counters.reject("notional_out_of_range")
                        continue
                else:
                    del shown[price]
                changes.append((side, price, amount))
        if changes:
            self._write(changes, at_us=at_us, received_us=received_us, key=key, flags=0)

    def _passed(self, changes: Sequence[Change]) -> Iterator[Change]:
        for side, price, amount in changes:
            try:
                yield side, float(price), self._gate.level(price, amount)
            except MalformedEvent as error:
                self._counters.reject(error.reason)


def sequence(nonce: object) -> int:
    """Return the sequence number of a book as the key of its rows, 0 where there is none."""
    return nonce if isinstance(nonce, int) and not isinstance(nonce, bool) and 0 <= nonce < 1 << 63 else 0
