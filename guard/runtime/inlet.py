"""Where connectors put their rows: handed over once per turn of the loop, and bounded."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from guard.model import RECORD, Batch, Channel, Flag, Kind, Status
from guard.runtime.shedding import Packer, Shedder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Inlet", "Limits"]

_TRADE, _LEVEL, _LAST = int(Kind.TRADE), int(Kind.LEVEL), int(Flag.LAST)
_PAUSE_FIRST_US, _PAUSE_MAX_US = 1_000_000, 60_000_000
_ASK_AGAIN_US = 5_000_000
# A book that guard itself has kept shut for that long is as good as lost: bots must not take it for one that warms up.
_STALE_US = 10_000_000
_LOOK_US = 250_000
_POOL_MAX = 16
_write, _BYTES = RECORD.pack_into, RECORD.size


class Limits(NamedTuple):
    """What the inlet may hold and how long it may work.

    `slice_rows` go to the pipeline at once, and slices follow each other for `turn_us` in one turn of the loop. `book_max` book
    rows may wait, and no longer than `book_wait_us` once the pipeline falls behind; `others_max` and `others_wait_us` bound all
    other rows.
    """

    slice_rows: int = 512
    turn_us: int = 5_000
    book_max: int = 32_768
    others_max: int = 262_144
    book_wait_us: int = 500_000
    others_wait_us: int = 5_000_000


class Inlet:
    """Collects rows and hands all that arrived in one turn of the loop to `take`.

    Parameters
    ----------
    take
        Processes a batch, which is used again afterwards.
    call_soon
        Runs a function in the next turn of the loop.
    now_us, monotonic_us
        Wall time, and the clock that never jumps.
    resync
        Asked for the book of a market as a whole; may put it here at once, or later. Asked again every 5 seconds until it came.
    limits
        Bounds.

    Notes
    -----
    Rows come faster than they are taken where a turn's time ends and some are left. They wait, in order, and the loop turns. Where
    `book_max` book rows wait, or at the end of a turn a row has waited for `book_wait_us`, the oldest book messages go until half
    of the book rows are left; see `Shedder` for what stands in their place. Once nothing waits any more, `resync` is asked for one
    shut book after the other; the pause before that grows from 1 to 60 seconds where books go again and again. A book
    shut for 10 seconds is told to be stalled (STATUS), until it is shown again.

    Trades stay until `others_max` rows wait, or one for `others_wait_us`; then the oldest go until half are left. What may not be
    dropped at all (history, what streams say about themselves) is handed over at once where there is no room, however long that
    takes: memory is bounded, and nothing goes in silence.
    """

    def __init__(
        self,
        take: Callable[[Batch], None],
        *,
        call_soon: Callable[[Callable[[], None]], object],
        now_us: Callable[[], int],
        monotonic_us: Callable[[], int],
        resync: Callable[[int], None] = lambda _row: None,
        limits: Limits | None = None,
    ) -> None:
        self.shedder = Shedder()
        self.wait_max_us = 0
        self._take = take
        self._call_soon = call_soon
        self._now_us = now_us
        self._monotonic_us = monotonic_us
        self._resync = resync
        self._limits = limits or Limits()
        self._batch = Batch(self._limits.slice_rows)
        self._slice_rows = self._limits.slice_rows
        # The batch that was handed over last: kept as it is, for its last row.
        self._taken = Batch(self._slice_rows)
        # The dictionary itself: looked at for each row.
        self._holes = self.shedder.holes
        # Rows that came and are not in `_batch`.
        self._received = 0
        self._since_us = 0
        # Rows of `_batch` that `put` writes without a further look: none before it has begun, or while books are shut.
        self._room = 0
        # Full batches, oldest first, each with the moment its first row came.
        self._waiting: deque[tuple[Batch, int]] = deque()
        self._pool: list[Batch] = []
        self._is_scheduled = False
        self._is_taking = False
        self._shut_since: dict[int, int] = {}
        self._stalled: set[int] = set()
        self._looked_us = 0
        self._asked: dict[int, int] = {}
        self._asked_us = 0
        self._has_asked = False
        self._ask_from_us = 0
        self._pause_us = _PAUSE_FIRST_US

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
        """Take one row; the columns are described at `guard.model.Kind`."""
        self.put(kind, market, at_us, received_us, price, amount, side, key, flags)

    def put(  # noqa: PLR0917 - nine names at the call cost a fifth of it
        self,
        kind: int,
        market: int,
        at_us: int,
        received_us: int,
        price: float,
        amount: float,
        side: int,
        key: int,
        flags: int,
    ) -> None:
        """Take one row as `append` does, its columns by their places: for trades and levels, which are nearly all there is."""
        batch = self._batch
        at = batch.length
        if at >= self._room:
            if (at or self._holes) and not self._admits(kind, market, flags, at_us, received_us):
                return
            self._begin()
            batch = self._batch
            at = batch.length
        _write(batch.records, at * _BYTES, at_us, received_us, price, amount, key, market, kind, side, flags)
        batch.length = at + 1

    def levels(
        self, market: int, changes: Sequence[tuple[int, float, float]], *, at_us: int, received_us: int, key: int, flags: int
    ) -> None:
        """Take one book message: LEVEL rows (side, price, amount), the last one with LAST besides `flags`; at least one.

        The same as so many calls of `put`, in fewer steps where there are several.
        """
        end = self._batch.length + len(changes)
        if end > self._room:
            if self._holes or end > self._slice_rows:
                last = len(changes) - 1
                for number, (side, price, amount) in enumerate(changes):
                    bits = flags if number < last else flags | _LAST
                    self.put(_LEVEL, market, at_us, received_us, price, amount, side, key, bits)
                return
            self._begin()
        self._batch.levels(market, changes, at_us=at_us, received_us=received_us, key=key, flags=flags)

    def _begin(self) -> None:
        """Note that there are rows, and how many more go into the batch."""
        if not self._batch.length:
            self._since_us = self._monotonic_us()
        if not self._is_scheduled:
            self._schedule()
        self._room = 0 if self._holes else self._slice_rows

    def _admits(self, kind: int, market: int, flags: int, at_us: int, received_us: int) -> bool:
        """Make room for a row; False where it goes at once."""
        shedder = self.shedder
        while True:
            if self._batch.is_full:
                self._next()
            if not shedder.holes or not shedder.reopens(kind, market, flags):
                break
            # That may fill the batch, and room may be made by shutting this very book again.
            self._reopen(market, at_us=at_us, received_us=received_us)
        if shedder.holes and not shedder.passes(kind, market, flags):
            self._received += 1
            return False
        return True

    @property
    def received(self) -> int:
        """How many rows came."""
        return self._received + self._batch.length

    def control(self, what: int, *, at_us: int, key: int) -> None:
        """Hand a CONTROL row over at once, ahead of rows that wait; never called while a batch is being taken.

        Time must not pass the rows that wait, so it counts as arrived at `at_us` or with the oldest of them.
        """
        assert not self._is_taking
        at_us = min(at_us, self.oldest_us or at_us)
        batch = Batch(1)
        batch.append(Kind.CONTROL, 0, at_us=at_us, received_us=at_us, side=what, key=key)
        self._received += 1
        self._is_taking = True
        try:
            self._take(batch)
        finally:
            self._is_taking = False

    def flush(self) -> None:
        """Hand over what is here, for as long as a turn may take; the rest goes with the next turn.

        Called while a batch is being taken, it does nothing: rows stay in order.
        """
        if self._is_taking:
            return
        self._is_scheduled = False
        began_us = now_us = self._monotonic_us()
        try:
            while self._hand_over(now_us) and (self._waiting or self._batch.length):
                now_us = self._monotonic_us()
                if now_us - began_us >= self._limits.turn_us:
                    self._catch_up(now_us - self._oldest_since_us())
                    break
        finally:
            if (self._waiting or self._batch.length) and not self._is_scheduled:
                self._schedule()
        if self._holes or self._shut_since:
            if self._holes and not self.waiting:
                self._ask()
            self._look_at_shut()

    def _reopen(self, market: int, *, at_us: int, received_us: int) -> None:
        """End the hole of a book that is shown as a whole again."""
        good_us = self.shedder.holes.pop(market)
        self._asked.pop(market, None)
        self.append(Kind.GAP, market, at_us=at_us, received_us=received_us, side=Channel.BOOK, key=good_us)
        if market in self._stalled:
            self._stalled.discard(market)
            self.append(Kind.STATUS, market, at_us=at_us, received_us=received_us, side=Channel.BOOK, key=Status.LIVE)

    def _look_at_shut(self) -> None:
        """Tell which books have been shut for so long that they are as good as lost."""
        moment_us, holes = self._monotonic_us(), self.shedder.holes
        if moment_us - self._looked_us < _LOOK_US:
            return
        self._looked_us = moment_us
        self._shut_since = {market: self._shut_since.get(market, moment_us) for market in holes}
        for market, since_us in self._shut_since.items():
            if moment_us - since_us >= _STALE_US and market not in self._stalled:
                self._stalled.add(market)
                now_us = self._now_us()
                self.append(Kind.STATUS, market, at_us=now_us, received_us=now_us, side=Channel.BOOK, key=Status.STALLED)

    def _catch_up(self, waited_us: int) -> None:
        """Drop what has waited too long."""
        if waited_us > self._limits.book_wait_us:
            self._drop_books()
        if waited_us > self._limits.others_wait_us:
            self._drop_trades()

    @property
    def waiting(self) -> int:
        """Rows that the pipeline has not taken yet."""
        return sum(batch.length for batch, _ in self._waiting) + self._batch.length

    @property
    def oldest_us(self) -> int | None:
        """Local time of arrival of the oldest row that waits, None where none does: time must not pass it in the pipeline."""
        oldest = self._waiting[0][0] if self._waiting else self._batch
        return oldest.received_us[0] if len(oldest) else None

    def _schedule(self) -> None:
        self._is_scheduled = True
        self._call_soon(self.flush)

    def _oldest_since_us(self) -> int:
        return self._waiting[0][1] if self._waiting else self._since_us

    def _hand_over(self, now_us: int) -> bool:
        """Give the pipeline the oldest batch; False where there was none."""
        batch, spare, since_us = self._batch, self._taken, self._since_us
        if self._waiting:
            batch, since_us = self._waiting.popleft()
            if len(self._pool) < _POOL_MAX:
                self._pool.append(spare)
        elif batch.length:
            self._received += batch.length
            self._batch = spare
        else:
            return False
        spare.length = self._room = 0
        self._taken = batch
        if now_us - since_us > self.wait_max_us:  # noqa: PLR1730 - `max` costs a call for each batch
            self.wait_max_us = now_us - since_us
        self._is_taking = True
        try:
            self._take(batch)
        finally:
            self._is_taking = False
        return True

    def _begun(self) -> int:
        """Return the market of a book message of which the pipeline has the first rows alone; -1 where there is none."""
        taken, last = self._taken, self._taken.length - 1
        is_begun = last >= 0 and taken.kind[last] == _LEVEL and not taken.flags[last] & _LAST
        return taken.market[last] if is_begun else -1

    def _next(self) -> None:
        """Begin another batch, and make room where too much waits."""
        self._shift()
        book = self._count_book()
        if book >= self._limits.book_max:
            self._drop_books()
        if self.waiting - book >= self._limits.others_max and not self._drop_trades():
            while not self._is_taking and self.waiting > self._limits.others_max // 2:
                self._hand_over(self._monotonic_us())

    def _shift(self) -> None:
        """Let the batch wait and begin another."""
        self._waiting.append((self._batch, self._since_us))
        self._received += self._batch.length
        self._batch = self._pool.pop() if self._pool else Batch(self._slice_rows)
        self._room = 0

    def _count_book(self) -> int:
        return sum(batch.count(_LEVEL) for batch, _ in self._all())

    def _all(self) -> list[tuple[Batch, int]]:
        return [*self._waiting, (self._batch, self._since_us)]

    def _drop_books(self) -> None:
        """Drop the older half of the book rows."""
        book = self._count_book()
        if not book:
            return
        now_us = self._monotonic_us()
        if now_us - self._asked_us > _PAUSE_MAX_US:
            self._pause_us = _PAUSE_FIRST_US
        elif self._has_asked:
            self._pause_us = min(2 * self._pause_us, _PAUSE_MAX_US)
        self._has_asked = False
        self._ask_from_us = now_us + self._pause_us
        packer = Packer(self._limits.slice_rows)
        self.shedder.thin_books(self._all(), packer, begun=self._begun(), needed=-(-book // 2))
        self._put_back(packer)

    def _drop_trades(self) -> int:
        """Drop the older half of the trades; returns how many went."""
        batches = self._all()
        packer = Packer(self._limits.slice_rows)
        trades = sum(batch.count(_TRADE) for batch, _ in batches)
        dropped = self.shedder.thin_trades(batches, packer, needed=-(-trades // 2))
        if dropped:
            self._put_back(packer)
        return dropped

    def _put_back(self, packer: Packer) -> None:
        received = self.received
        *full, (self._batch, self._since_us) = packer.batches
        self._room = 0
        self._received = received - self._batch.length
        self._waiting = deque(full)
        if self._batch.is_full:
            # Where nothing could be dropped; the next rows make room once more.
            self._shift()

    def _ask(self) -> None:
        """Ask for one shut book, the one that waited longest for that."""
        now_us = self._monotonic_us()
        if now_us < self._ask_from_us:
            return
        market = min(self.shedder.holes, key=lambda row: self._asked.get(row, 0))
        if now_us - self._asked.get(market, -_ASK_AGAIN_US) < _ASK_AGAIN_US:
            return
        self._asked[market] = self._asked_us = now_us
        self._has_asked = True
        self._resync(market)
        if not self._is_scheduled:
            self._schedule()
