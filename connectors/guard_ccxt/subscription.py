"""One market's stream on one channel: its state, and the rows it becomes."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from guard.errors import MalformedEvent
from guard.model import ASK, BID, Channel, Flag, Kind, Status
from guard_ccxt.mirror import BookMirror
from guard_ccxt.sequence import Counting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from guard.model.ports import Clock, Sink
    from guard_ccxt.counters import Counters
    from guard_ccxt.gate import Gate, TradeRow
    from guard_ccxt.mirror import Change

__all__ = ["Phase", "Subscription"]

_RECENT_MAX = 512
_HELD_MAX = 5000
_OLD_US = 60_000_000
_FIRST_US = 5_000_000


class Phase(Enum):
    """Where a subscription stands."""

    IDLE = auto()
    WAITING = auto()
    REPAIRING = auto()
    LIVE = auto()
    LOST = auto()
    PARKED = auto()


class Subscription:
    """The stream of one symbol on one channel.

    Parameters
    ----------
    symbol, row, channel
        What is watched, and the number its rows carry.
    gate, sink, counters, clock
        Shared parts of the connector.
    on_hole
        Called when trades flow again after a loss; must end in `settle`. None: a hole is a GAP at once.

    Notes
    -----
    Rows it writes besides TRADE and LEVEL: STATUS LIVE when data flows (again), LOST, STALLED or MAINTENANCE when it ends, GAP
    before LIVE whenever continuity was lost. Trades of a hole that was closed completely (both ends of the answer overlap what
    was delivered) are ordinary rows and there is no GAP; otherwise they are BACKFILL rows before the GAP.

    Exchanges resend old trades when one subscribes: a known (id, price, amount) is dropped and counted as ``duplicate``; an
    unknown one older than a minute, within 5 s of the first delivery, is marked BACKFILL. Ids are remembered for 512 trades.
    """

    def __init__(
        self,
        symbol: str,
        row: int,
        channel: Channel,
        *,
        gate: Gate,
        sink: Sink,
        counters: Counters,
        clock: Clock,
        on_hole: Callable[[Subscription], None] | None = None,
    ) -> None:
        self.symbol = symbol
        self.row = row
        self.channel = channel
        self.phase = Phase.IDLE
        self.connection: Any = None
        self.presumed_us: int | None = None  # since when it is taken for live without a trade
        self.stale_on: Any = None  # the connection on which the exchange still thinks it subscribed
        self.hashes: set[str] = set()
        self.started_us = 0
        self.live_since_us: int | None = None
        self.delivered_s = 0.0
        self.misses = 0
        self.arrivals = 0
        self.restarted_arrivals = -1
        self.last_price: float | None = None
        self.last_good_us: int | None = None
        self.last_trade_us: int | None = None
        self.known: frozenset[int] = frozenset()
        self.held: list[tuple[TradeRow, int]] | None = None
        self.on_first: Callable[[], None] | None = None
        self.gate = gate
        self._sink = sink
        self._counters = counters
        self._clock = clock
        self._on_hole = on_hole
        self._mirror = BookMirror()
        self._book: Any = None
        self._needs_snapshot = True
        self._recent: dict[int, int] = {}
        self._counting = Counting()
        self._is_doubted = False
        self._is_held_whole = True
        self._first_until_us: int | None = None
        self._told: Status | None = None

    def begin(self) -> None:
        """Note that a subscribe request is about to be made."""
        self.phase = Phase.WAITING
        self.started_us = self._clock.monotonic_us()
        self.delivered_s = 0.0
        self.connection = None
        self.hashes.clear()
        self._needs_snapshot = True
        self._first_until_us = None

    @property
    def is_live(self) -> bool:
        """Whether data flows without a hole."""
        return self.phase is Phase.LIVE

    @property
    def is_delivering(self) -> bool:
        """Whether data flowed in the present life, or in the last one where it just ended."""
        return self.live_since_us is not None or self.delivered_s > 0.0

    def live_s(self) -> float:
        """Return seconds since it went live, 0 where it is not."""
        return 0.0 if self.live_since_us is None else (self._clock.monotonic_us() - self.live_since_us) / 1e6

    def lose(self, status: Status, *, last_good_us: int | None = None) -> None:
        """Note that continuity ended; `last_good_us` is when its connection was last heard."""
        if self.phase in (Phase.LIVE, Phase.REPAIRING):
            if self.held is not None:
                self.settle((), is_closed=False)
            # A stream that was only taken for live may have been deaf since its last trade.
            heard_us = (last_good_us or 0) if self.presumed_us is None else 0
            self.last_good_us = max(heard_us, self.last_trade_us or 0) or self.presumed_us or self._clock.now_us()
            self.presumed_us = None
            self.known = frozenset(self._recent)
            self._status(status)
        elif status is Status.MAINTENANCE:
            self._status(status)
        self.phase = Phase.LOST
        self.delivered_s = max(self.delivered_s, self.live_s())
        self.live_since_us = None

    def park(self) -> None:
        """Give the symbol up: it is not asked for again."""
        self.lose(Status.LOST)
        self._status(Status.LOST)
        self.phase = Phase.PARKED

    def confirm(self, *, at_us: int, received_us: int) -> None:
        """Note evidence that the subscription delivers; writes GAP and LIVE where they are due."""
        if self.phase not in (Phase.WAITING, Phase.LOST):
            return
        self.misses = 0
        self.live_since_us = self._clock.monotonic_us()
        if self.on_first is not None:
            self.on_first()
        if self.last_good_us is not None and self.channel is Channel.TRADES and self._on_hole is not None:
            self.phase = Phase.REPAIRING
            self.held = []
            self._on_hole(self)
            return
        self._resume(at_us=at_us, received_us=received_us)

    def settle(self, fetched: Iterable[TradeRow], *, is_closed: bool) -> None:
        """End a repair with the `fetched` trades of the hole, oldest first, and let go of those held back meanwhile."""
        held, self.held = self.held or [], None
        now_us = self._clock.now_us()
        fetched = list(fetched)
        if self._is_doubted and is_closed and not fetched:
            self._counting.distrust()
        for row in fetched:
            self._counting.leaves_out(row.key, row.at_us)
        is_whole, self._is_doubted, self._is_held_whole = self._is_held_whole, False, True
        if is_closed and is_whole:
            self._counters.repaired += 1
            self.last_good_us = None
            self._resume(at_us=now_us, received_us=now_us)
            for row in fetched:
                self._put(row, now_us)
        else:
            for row in fetched:
                self._put(row, now_us, extra=Flag.BACKFILL)
            while held and not is_whole:  # what was held has a hole of its own: all of it lies before the mark
                row, received_us = held.pop(0)
                self._put(row, received_us, extra=Flag.BACKFILL)
            self._resume(at_us=held[0][0].at_us if held else now_us, received_us=now_us)
        for row, received_us in held:
            self._put(row, received_us)

    def on_trades(self, trades: Iterable[Any], received_us: int) -> None:
        """Take ccxt trades as they arrive."""
        for trade in trades:
            try:
                row = self.gate.trade(trade, received_us=received_us)
            except MalformedEvent as error:
                self._counters.reject(error.reason)
                continue
            if self._is_repeated(row):
                self._counters.reject("duplicate")
                continue
            self.presumed_us = None
            if self._counting.leaves_out(row.key, row.at_us):
                if self.phase is Phase.LIVE:
                    self._is_doubted = True
                    self.lose(Status.STALLED)
                elif self.held is not None:
                    self._is_held_whole = False
            self.confirm(at_us=row.at_us, received_us=received_us)
            if self.held is None:
                self._put(row, received_us)
                continue
            self.held.append((row, received_us))
            if len(self.held) >= _HELD_MAX:
                self.settle((), is_closed=False)

    def on_book(
        self, book: Any, received_us: int, *, drain: Callable[[Any], dict[float, float] | None], is_cut: bool = False
    ) -> None:
        """Take a ccxt order book after a message; `drain` tells what changed in a side, `is_cut` that levels were forgotten."""
        bids, asks = book["bids"], book["asks"]
        touched_bids, touched_asks = drain(bids), drain(asks)
        try:
            at_us = self.gate.at_us(book.get("timestamp"), received_us=received_us)
        except MalformedEvent as error:
            self._counters.reject(error.reason)
            at_us = received_us
        flags = 0
        if self._needs_snapshot or is_cut:
            changes = self._mirror.replace(bids, asks)
            flags = int(Flag.SNAPSHOT)
            self._needs_snapshot = not changes
        elif book is not self._book or touched_bids is None or touched_asks is None:
            changes = self._mirror.compare(BID, bids) + self._mirror.compare(ASK, asks)
        else:
            changes = self._mirror.apply(BID, touched_bids) + self._mirror.apply(ASK, touched_asks)
        self._book = book
        if self.phase is not Phase.LIVE and not self._needs_snapshot:
            self.confirm(at_us=at_us, received_us=received_us)
        if changes:
            self._put_levels(changes, at_us, received_us, key=_sequence(book.get("nonce")), flags=flags)

    def show_book(self) -> None:
        """Show the whole book as of its last message; one that does not flow is shown when it does."""
        if self.phase is not Phase.LIVE or self._needs_snapshot:
            self._needs_snapshot = True
            return
        changes = self._mirror.levels()
        if changes:
            now_us = self._clock.now_us()
            self._put_levels(changes, now_us, now_us, key=0, flags=int(Flag.SNAPSHOT))

    def _put_levels(self, changes: Sequence[Change], at_us: int, received_us: int, *, key: int, flags: int) -> None:
        rows: list[Change] = []
        for side, price, amount in changes:
            try:
                rows.append((side, float(price), self.gate.level(price, amount)))
            except MalformedEvent as error:
                self._counters.reject(error.reason)
        append, last = self._sink.append, len(rows) - 1
        for at, (side, price, amount) in enumerate(rows):
            append(
                Kind.LEVEL,
                self.row,
                at_us=at_us,
                received_us=received_us,
                price=price,
                amount=amount,
                side=side,
                key=key,
                flags=flags | Flag.LAST if at == last else flags,
            )
        self._counters.received += len(rows)
        self._counters.last_event_us = received_us

    def _put(self, row: TradeRow, received_us: int, *, extra: int = 0) -> None:
        if self._first_until_us is None:
            self._first_until_us = received_us + _FIRST_US
        if received_us < self._first_until_us and row.at_us < received_us - _OLD_US:
            extra |= Flag.BACKFILL
        self._sink.append(
            Kind.TRADE,
            self.row,
            at_us=row.at_us,
            received_us=received_us,
            price=row.price,
            amount=row.amount,
            side=row.side,
            key=row.key,
            flags=row.flags | extra,
        )
        self._counters.received += 1
        self._counters.last_event_us = received_us
        if extra:
            return
        self.arrivals += 1
        if self.last_trade_us is None or row.at_us >= self.last_trade_us:
            self.last_trade_us, self.last_price = row.at_us, row.price

    def _is_repeated(self, row: TradeRow) -> bool:
        if not row.key:
            return False
        mark = hash((row.price, row.amount))
        if self._recent.get(row.key) == mark:
            return True
        self._recent[row.key] = mark
        if len(self._recent) > _RECENT_MAX:
            del self._recent[next(iter(self._recent))]
        return False

    def remember(self, row: TradeRow) -> bool:
        """Note a trade that came another way; return whether it was known."""
        return self._is_repeated(row)

    def _resume(self, *, at_us: int, received_us: int) -> None:
        self.phase = Phase.LIVE
        if self.last_good_us is not None:
            at_us = max(at_us, self.last_good_us)
            self._counters.gaps += 1
            self._counters.gap_us += at_us - self.last_good_us
            self._mark(Kind.GAP, at_us=min(at_us, received_us), received_us=received_us, key=self.last_good_us)
            self.last_good_us = None
        self._told = Status.LIVE
        self._mark(Kind.STATUS, at_us=received_us, received_us=received_us, key=Status.LIVE)

    def _status(self, status: Status) -> None:
        if self._told is status:
            return
        self._told = status
        now_us = self._clock.now_us()
        self._mark(Kind.STATUS, at_us=now_us, received_us=now_us, key=status)

    def _mark(self, kind: Kind, *, at_us: int, received_us: int, key: int) -> None:
        self._sink.append(kind, self.row, at_us=at_us, received_us=received_us, side=self.channel, key=key)
        self._counters.received += 1


def _sequence(nonce: object) -> int:
    return nonce if isinstance(nonce, int) and not isinstance(nonce, bool) and 0 <= nonce < 1 << 63 else 0
