"""One market's stream on one channel: its state, and the rows it becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.errors import MalformedEvent
from guard.model import Channel, Flag, Kind, Status, event_key
from guard_ccxt.stream.gate import AMOUNT_MAX, NOTIONAL_MAX, PRICE_MAX, SIDES, TradeRow, positive
from guard_ccxt.stream.ids import IdRun
from guard_ccxt.stream.memory import RECENT_MAX, Memory
from guard_ccxt.stream.phase import Phase
from guard_ccxt.stream.shown_book import ShownBook
from guard_ccxt.stream.sinks import row_putter
from guard_ccxt.stream.voice import Voice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guard.model.ports import Clock, Sink
    from guard_ccxt.counters import Counters
    from guard_ccxt.stream.gate import Gate
    from guard_ccxt.stream.overlap import Overlap

__all__ = ["Phase", "Subscription"]

_HELD_MAX = 5000
_OLD_US = 60_000_000
_FIRST_US = 5_000_000
_NEVER_US = 1 << 62
_TRADE, _INFERRED = int(Kind.TRADE), int(Flag.INFERRED_SIDE)
_LIVE = Phase.LIVE


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

    An id that `ids` says was skipped is a hole: trades behind it wait for its repair, as after a loss.
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
        self.restarted_at: object = None
        self.last_price: float | None = None
        self.last_good_us: int | None = None
        self.amount = 0.0
        self.last_trade_us: int | None = None
        self.ids = IdRun()
        self.known: frozenset[int] = frozenset()
        self.held: list[tuple[TradeRow, int]] | None = None
        self.is_given_up = False  # the hole cannot be fetched: the next trade tells whether there is one
        self.on_first: Callable[[], None] | None = None
        self.overlap: Overlap | None = None
        self.gate = gate
        self._put_row = row_putter(sink)
        self._counters = counters
        self._clock = clock
        self._on_hole = on_hole
        self.shown = ShownBook(row, gate=gate, sink=sink, counters=counters)
        self.take_diff = self.shown.take_diff  # bound once: it is called for every message of a book
        self._doubted_key = 0
        self._is_held_whole = True
        self.memory = Memory(gate)
        self._recent = self.memory.marks
        self._first_until_us = _NEVER_US
        self.voice = Voice(row, channel, sink=sink, counters=counters, clock=clock)

    def begin(self) -> None:
        """Note that a subscribe request is about to be made."""
        self.phase = Phase.WAITING
        self.started_us = self._clock.monotonic_us()
        self.delivered_s = 0.0
        self.connection = None
        self.hashes.clear()
        self.shown.needs_snapshot = True
        self._first_until_us = _NEVER_US
        self.memory.begin()

    @property
    def key(self) -> tuple[Channel, str]:
        """What it is known by among the streams of an exchange."""
        return self.channel, self.symbol

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
            # What was heard last had been on its way: later trades of that time may have been lost.
            heard_us = (last_good_us or 0) - self.gate.offset.delay_us if self.presumed_us is None else 0
            self.last_good_us = max(heard_us, self.last_trade_us or 0) or self.presumed_us or self._clock.now_us()
            self.presumed_us = None
            self.known = frozenset(self._recent)
            self.voice.tell(status)
        elif status is Status.MAINTENANCE:
            self.voice.tell(status)
        self.phase = Phase.LOST
        self.ids.is_torn = True
        self.delivered_s = max(self.delivered_s, self.live_s())
        self.live_since_us = None

    def park(self) -> None:
        """Give the symbol up: it is not asked for again."""
        self.lose(Status.LOST)
        self.voice.tell(Status.LOST)
        self.phase = Phase.PARKED

    def broke(self) -> None:
        """Note that what comes from now on does not follow what came."""
        self.last_good_us = self.last_trade_us or self._clock.now_us()
        self.known = frozenset(self._recent)

    def confirm(self, *, at_us: int, received_us: int) -> None:
        """Note evidence that the subscription delivers; writes GAP and LIVE where they are due."""
        if self.phase not in (Phase.WAITING, Phase.LOST, Phase.SUSPECT):
            return
        self.misses = 0
        self.live_since_us = self._clock.monotonic_us()
        if self.on_first is not None:
            self.on_first()
        if self.last_good_us is not None and self.channel is Channel.TRADES and self._on_hole is not None:
            self.phase = Phase.REPAIRING
            self.held, self.is_given_up = [], False
            self._on_hole(self)
            return
        self.resume(at_us=at_us, received_us=received_us)

    def settle(self, fetched: Iterable[TradeRow], *, is_closed: bool) -> None:
        """End a repair with the `fetched` trades of the hole, oldest first, and let go of those held back meanwhile."""
        held, self.held = self.held or [], None
        now_us = self._clock.now_us()
        fetched = list(fetched)
        if is_closed:
            self.ids.reach(row.key for row in fetched)
            # What came late by itself was a hole while it was not there.
            if self._doubted_key and not any(row.key < self._doubted_key for row, _ in held):
                (self.ids.trust if fetched else self.ids.distrust)()
        elif not held:
            for row in fetched:
                self.ids.fill(row.key)
        is_whole, self._doubted_key, self._is_held_whole = self._is_held_whole, 0, True
        if is_closed and is_whole:
            self._counters.repaired += 1
            self.last_good_us = None
            self.resume(at_us=now_us, received_us=now_us)
            for row in fetched:
                self._put(row, now_us)
        else:
            for row in fetched:
                self._put(row, now_us, extra=Flag.BACKFILL)
            while held and not is_whole:  # what was held has a hole of its own: all of it lies before the mark
                row, received_us = held.pop(0)
                self._put(row, received_us, extra=Flag.BACKFILL)
            self.resume(at_us=held[0][0].at_us if held else now_us, received_us=now_us)
        for row, received_us in held:
            self._put(row, received_us)

    def on_trades(self, trades: Iterable[Any], received_us: int) -> None:
        """Take ccxt trades as they arrive."""
        for trade in trades:
            stamp, price, amount = trade.get("timestamp"), trade.get("price"), trade.get("amount")
            if type(stamp) is int and type(price) is float and type(amount) is float:
                side = SIDES.get(trade.get("side") or "", 0)
                self.take_trade(stamp, price, amount, side=side, key=event_key(trade.get("id")), received_us=received_us)
                continue
            try:
                row = self.gate.trade(trade, received_us=received_us)
            except MalformedEvent as error:
                self._counters.reject(error.reason)
                continue
            self._take(row, received_us)

    def take_trade(self, at_ms: int, price: float, amount: float, *, side: int, key: int, received_us: int) -> None:
        """Take one trade of a decoder: the exchange's stamp, price and amount in its own units, the taker's side, `event_key`."""
        gate = self.gate
        try:
            if gate.is_plain and 0.0 < price <= PRICE_MAX and 0.0 < amount <= AMOUNT_MAX and price * amount <= NOTIONAL_MAX:
                base = amount
            else:
                base = gate.base_amount(positive(price, "price", most=PRICE_MAX), positive(amount, "amount", most=AMOUNT_MAX))
            at_us = gate.whole_ms(at_ms, received_us)
        except MalformedEvent as error:
            self._counters.reject(error.reason)
            return
        flags = 0 if side else _INFERRED
        is_settled = self.phase is _LIVE and self.held is None and self.overlap is None and self.presumed_us is None
        if not is_settled or not key or received_us < self._first_until_us:
            self._take(TradeRow(at_us, price, base, side, key, flags), received_us)
            return
        # What `_take` comes to for a stream that has run for a while, in one piece: this is done for every trade there is.
        recent, mark = self._recent, hash((price, base))
        if recent.get(key) == mark:
            self._counters.reject("duplicate")
            return
        recent[key] = mark
        if len(recent) > RECENT_MAX:
            del recent[next(iter(recent))]
        ids = self.ids
        if key == ids.last + 1:
            ids.last, ids.run = key, ids.run + 1
        elif ids.skips(key):
            self._deliver(TradeRow(at_us, price, base, side, key, flags), received_us, is_hole=True)
            return
        self._put_row(_TRADE, self.row, at_us, received_us, price, base, side, key, flags)
        counters = self._counters
        counters.received += 1
        counters.last_event_us = received_us
        self.arrivals += 1
        self.amount += base
        if self.last_trade_us is None or at_us >= self.last_trade_us:
            self.last_trade_us, self.last_price = at_us, price

    def _take(self, row: TradeRow, received_us: int) -> None:
        if self.phase is Phase.IDLE:  # of a former subscription, which is being ended: what follows would be a hole
            return
        if self.memory.repeats(row) or (self.overlap is not None and self.overlap.is_late(row)):
            self._counters.reject("duplicate")
            return
        self._deliver(row, received_us, is_hole=self.ids.skips(row.key))

    def _deliver(self, row: TradeRow, received_us: int, *, is_hole: bool) -> None:
        if is_hole and self.held is not None:
            # Across a loss that is known, and before the first one held, what is fetched tells.
            self._is_held_whole = self._is_held_whole and (self.ids.was_torn or not self.held)
        elif is_hole and self.phase is _LIVE:
            self._doubted_key = 0 if self.ids.was_torn else row.key
            self._counters.skipped += 1
            self.broke()
            if self.ids.was_torn:  # a mark stands for what was before it was taken for live
                self.last_good_us = self.presumed_us or self.last_good_us
            self.known -= {row.key}
            self.phase = Phase.SUSPECT
        self.presumed_us = None
        self.confirm(at_us=row.at_us, received_us=received_us)
        if self.held is None:
            self._put(row, received_us)
            return
        self.held.append((row, received_us))
        if len(self.held) == 1 and (self.ids.follows or self.is_given_up):
            self.settle((), is_closed=self.ids.follows)
        elif len(self.held) >= _HELD_MAX:
            self.settle((), is_closed=False)

    def on_book(
        self, book: Any, received_us: int, *, drain: Callable[[Any], dict[float, float] | None], is_cut: bool = False
    ) -> None:
        """Take a ccxt order book after a message; `drain` tells what changed in a side, `is_cut` that levels were forgotten."""
        message = self.shown.compare(book, received_us, drain=drain, is_cut=is_cut)
        if self.phase is not Phase.LIVE and not self.shown.needs_snapshot:
            self.confirm(at_us=message.at_us, received_us=received_us)
        self.shown.put(message, received_us)

    def is_showing(self, book: Any) -> bool:
        """Whether all of ccxt's `book` has been shown, and is what a diff would be laid over."""
        return self.phase is Phase.LIVE and self.shown.is_of(book)

    def mend(self) -> None:
        """Note that the book missed a diff that ccxt will not notice: it is lost until ccxt has it whole again."""
        self.lose(Status.LOST)
        self.phase = Phase.WAITING
        self.started_us = self._clock.monotonic_us()
        self.shown.needs_snapshot = True

    def show_book(self) -> None:
        """Show the whole book as of its last message; one that does not flow is shown when it does."""
        if self.phase is not Phase.LIVE or self.shown.needs_snapshot:
            self.shown.needs_snapshot = True
            return
        self.shown.put_whole(self._clock.now_us())

    def _put(self, row: TradeRow, received_us: int, *, extra: int = 0) -> None:
        if self.overlap is not None:
            self.overlap.delivered(row)
        if self._first_until_us == _NEVER_US:
            self._first_until_us = received_us + _FIRST_US
        at_us, price, amount, side, key, flags = row
        if received_us < self._first_until_us and at_us < received_us - _OLD_US:
            extra |= Flag.BACKFILL
        self._put_row(_TRADE, self.row, at_us, received_us, price, amount, side, key, flags | extra)
        self._counters.received += 1
        self._counters.last_event_us = received_us
        if extra:
            return
        self.arrivals += 1
        self.amount += amount
        if not key:
            self.memory.seam.put(row, self.gate.offset.offset_us)
        if self.last_trade_us is None or at_us >= self.last_trade_us:
            self.last_trade_us, self.last_price = at_us, price

    def put_late(self, row: TradeRow, now_us: int) -> None:
        """Deliver a trade that came another way, and too late to be scored."""
        self._put(row, now_us, extra=Flag.BACKFILL)

    def succeed(self, other: Subscription, rows: Iterable[tuple[TradeRow, int]]) -> None:
        """Go on where `other` stands, the same stream on a fresh connection; `rows` are the trades that it alone has had.

        A book is shown as a whole. What was lost before is a GAP, as after any loss.
        """
        now_us = self._clock.now_us()
        self.connection, self.hashes, self.misses = other.connection, other.hashes, 0
        self.on_first = other.on_first
        if self.channel is Channel.BOOK:
            self.shown.succeed(other.shown)
        if self.phase not in (Phase.LIVE, Phase.REPAIRING):
            self.phase = Phase.WAITING
            self.confirm(at_us=now_us, received_us=now_us)
        if self.channel is Channel.BOOK:
            self.show_book()
        for row, received_us in rows:
            self._take(row, received_us)

    def recent(self) -> frozenset[int]:
        """Return the ids that are remembered."""
        return frozenset(self._recent)

    def remember(self, row: TradeRow) -> bool:
        """Note a trade that came another way; return whether it was known."""
        return self.memory.repeats(row)

    def resume(self, *, at_us: int, received_us: int) -> None:
        """Note that it delivers, and say so, after a GAP where something is missing."""
        self.phase = Phase.LIVE
        if not self.voice.is_closed:
            self.voice.live(at_us=at_us, received_us=received_us, last_good_us=self.last_good_us)
            self.last_good_us = None
