"""A sink that takes rows by place and messages as a whole is given what one is given that takes rows by name alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ccxt_support import START_US, Row, Rows, StillClock

from guard.model import BUY, SELL, Batch, Channel, Kind
from guard.runtime.inlet import Inlet
from guard_ccxt.counters import Counters
from guard_ccxt.stream.gate import Gate
from guard_ccxt.stream.levels import LevelWriter
from guard_ccxt.stream.mirror import BookMirror
from guard_ccxt.stream.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable


def test_trades_and_books_are_the_same_rows_in_either_sink() -> None:
    by_name, quick, counted = Rows(), Quick(), [Counters(_say_nothing) for _ in range(2)]
    for sink, counters in zip((by_name, quick.inlet), counted, strict=True):
        deliver(sink, counters)
    quick.inlet.flush()
    assert by_name.rows == quick.rows
    assert [row.kind for row in quick.rows].count(Kind.LEVEL) == 1 + 3 + 2
    assert counted[0].received == counted[1].received == len(quick.rows)


def deliver(sink: Any, counters: Counters) -> None:
    gate = Gate()
    trades = Subscription("A/USDT", 3, Channel.TRADES, gate=gate, sink=sink, counters=counters, clock=StillClock())
    trades.begin()
    for number in range(12):
        # Ten seconds on, a stream has settled and its trades take the short way.
        received_us = START_US + number * 1_000_000
        side = (BUY, SELL, 0)[number % 3]
        trades.take_trade(received_us // 1000, 1.5 + number, 2.0, side=side, key=100 + number, received_us=received_us)
    mirror, writer = BookMirror(), LevelWriter(5, gate=gate, sink=sink, counters=counters)
    for key, (bids, asks) in enumerate([([(1.0, 2.0)], []), ([(1.0, 3.0), (0.9, 4.0)], [(1.1, 5.0)])], 1):
        writer.diff(mirror, bids, asks, levels_max=10, at_us=START_US, received_us=START_US + 5, key=key)
    writer.put([(BUY, 0.8, 0.0), (SELL, 1.2, 6.0)], at_us=START_US, received_us=START_US + 7, key=9, flags=1)


class Quick:
    """guard's own sink, and the rows that it handed over."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.inlet = Inlet(self._take, call_soon=_later, now_us=int, monotonic_us=int)

    def _take(self, batch: Batch) -> None:
        columns = (batch.kind, batch.market, batch.at_us, batch.received_us, batch.price, batch.amount)
        columns = (*columns, batch.side, batch.key, batch.flags)
        self.rows += map(Row._make, zip(*(column[: len(batch)] for column in columns), strict=True))


def _later(_flush: Callable[[], None]) -> None:
    pass


def _say_nothing(_text: str) -> None:
    pass
