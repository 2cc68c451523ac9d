"""The kernel's face: opens markets, folds events in, reads leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guard.features.fields import FIELDS_BY_NAME
from guard.features.kernel import baselines, book, prints, removals, streams, trades, windows
from guard.features.kernel import slots as s
from guard.features.kernel.book_readers import spread
from guard.features.kernel.image import dump, load
from guard.features.kernel.layout import Layout
from guard.features.kernel.move import moved
from guard.features.kernel.readers import reader
from guard.features.kernel.reading import View
from guard.features.kernel.reference import compare
from guard.model.batch import Channel, Flag, Kind, Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.features.kernel.layout import Window
    from guard.features.kernel.reading import Read
    from guard.features.tables import Leaf
    from guard.model.batch import Batch
    from guard.model.market import MarketFacts

__all__ = ["Kernel"]

_TRADE: Final = int(Kind.TRADE)
_LEVEL: Final = int(Kind.LEVEL)
_GAP: Final = int(Kind.GAP)
_STATUS: Final = int(Kind.STATUS)
_STREAM_NEWS: Final = (_GAP, _STATUS)
_SNAPSHOT: Final = int(Flag.SNAPSHOT)
_LAST: Final = int(Flag.LAST)
_BACKFILL: Final = int(Flag.BACKFILL)
_INFERRED: Final = int(Flag.INFERRED_SIDE)
_WARM: Final = int(Status.WARM)
_TRADES: Final = int(Channel.TRADES)
_BOOK: Final = int(Channel.BOOK)
_SHORT_US = 60_000_000
_SAMPLE_MAX_S = 60


class Kernel:
    """State of all markets, and the values of `leaves` at any moment.

    Parameters
    ----------
    leaves
        What formulas read, in the order in which `read` gives it. At most 16 distinct windows, each of 1 s to 24 h; otherwise
        ValueError.

    Notes
    -----
    The state depends on the sequence of calls only, never on how events were cut into batches. Event time alone moves it.

    Examples
    --------
    >>> from guard.features.tables import Leaf
    >>> from guard.model import BUY, Batch, Kind, Market, MarketFacts
    >>> kernel = Kernel([Leaf("price"), Leaf("volume", (1_000_000,))])
    >>> row = kernel.open(MarketFacts(Market("sim", "X/USDT")))
    >>> batch = Batch(capacity=1)
    >>> batch.append(Kind.TRADE, row, at_us=5, received_us=7, price=1.5, amount=2.0, side=BUY)
    >>> kernel.apply(batch, 0)
    True
    >>> out = [0.0, 0.0]
    >>> kernel.read(row, 5, 7, out)
    >>> out
    [1.5, nan]
    """

    def __init__(self, leaves: Sequence[Leaf]) -> None:
        self._facts: list[MarketFacts] = []
        self._floats: list[list[float]] = []
        self._integers: list[list[int]] = []
        self._references: list[int | None] = []
        self._siblings: dict[str, list[int]] = {}
        self._install(Layout(leaves))

    def _install(self, layout: Layout) -> None:
        """Take a layout into use."""
        # First what may fail, so that a field that is not known leaves everything as it was.
        readers = [reader(layout, leaf) for leaf in layout.leaves]
        self._layout = layout
        self._readers = readers
        self._streams = [_stream(leaf) for leaf in layout.leaves]
        self._here: dict[frozenset[str], list[tuple[int, Read]]] = {}
        self._absent: dict[frozenset[str], list[int]] = {}
        self._has_spread = any(item.source < 0 for item in layout.baselines)

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """What `read` gives, in order."""
        return self._layout.leaves

    def __len__(self) -> int:
        """Return the number of open markets."""
        return len(self._facts)

    def open(self, facts: MarketFacts) -> int:
        """Give a market its row number. Which streams it has is fixed now."""
        x, i = self._layout.blank()
        x[s.TICK] = _known(facts.tick)
        x[s.USD_RATE] = _known(facts.usd_rate)
        x[s.VOLUME_24H] = _known(facts.volume_24h_usd)
        row = len(self._facts)
        self._facts.append(facts)
        self._floats.append(x)
        self._integers.append(i)
        self._references.append(None)
        self._siblings.setdefault(facts.market.symbol, []).append(row)
        return row

    def facts(self, row: int) -> MarketFacts:
        """Return what was known of the market when it was opened."""
        return self._facts[row]

    def set_reference(self, row: int, reference_row: int | None) -> None:
        """Name the market against which `row` is judged; None, or itself, means that there is none."""
        self._references[row] = None if reference_row == row else reference_row

    def reference(self, row: int) -> int | None:
        """Return the row of the reference market."""
        return self._references[row]

    def apply(self, batch: Batch, number: int) -> bool:
        """Fold one row of a batch into its market; True asks for an evaluation of that market now."""
        row = batch.market[number]
        x = self._floats[row]
        i = self._integers[row]
        kind = batch.kind[number]
        flags = batch.flags[number]
        at = batch.at_us[number]
        if kind == _TRADE:
            if flags & _BACKFILL:
                self._history(x, i, at, batch.price[number], batch.amount[number], batch.side[number])
                return False
            self._clock(x, i, at, batch.received_us[number])
            return self._trade(x, i, at, batch, number)
        if kind == _LEVEL:
            if flags & _BACKFILL:
                return False
            self._clock(x, i, at, batch.received_us[number])
            return self._level(x, i, batch, number)
        if kind in _STREAM_NEWS:
            self._clock(x, i, at, batch.received_us[number])
            if kind == _GAP:
                streams.gap(x, i, batch.side[number], batch.key[number])
            else:
                code = batch.key[number]
                streams.status(x, i, batch.side[number], code, batch.price[number])
                if code == _WARM:
                    baselines.end_past(x, self._layout.baselines)
            return True
        return False

    def _clock(self, x: list[float], i: list[int], at: int, received: int) -> None:
        """Take an event's times in and move its market's time forward."""
        i[s.RECEIVED] = max(i[s.RECEIVED], received)
        i[s.LATE] += at < i[s.EVENT_AT]
        i[s.EVENT_AT] = max(i[s.EVENT_AT], at)
        if at > i[s.AT]:
            self._forward(x, i, at)

    def _forward(self, x: list[float], i: list[int], at: int) -> None:
        """Move a market's time forward."""
        i[s.AT] = at
        if i[s.NEXT_CLOSE] == s.NEVER:
            baselines.mark_bins(x, i, self._layout.baselines, at)
        elif at >= i[s.NEXT_CLOSE]:
            baselines.close_bins(x, i, self._layout.baselines, at)
        if at >= i[s.NEXT_EDGE]:
            if at // s.HOUR_US != i[s.HOUR]:
                i[s.HOUR] = at // s.HOUR_US
                baselines.rebase(x, self._layout.baselines)
                windows.rebase(x, self._layout.rings)
            windows.roll(x, i, self._layout.rings, at)
        if i[s.PENDING_COUNT]:
            removals.classify(x, i, self._layout.pending)

    def _history(self, x: list[float], i: list[int], at: int, price: float, amount: float, side: int) -> None:
        """Feed baselines with the past; what live trades already told is dropped and counted."""
        if at >= i[s.TRADES_BEGAN]:
            i[s.HISTORY_LATE] += 1
            return
        turnover = price * amount
        # History made of candles has no side: half of it is taken as bought.
        bought = turnover if side > 0 else 0.0 if side < 0 else 0.5 * turnover
        grown = {s.TURNOVER: turnover, s.BUY_TURNOVER: bought, s.RUSH_BUY_LEVELS: 0.0, s.RUSH_SELL_LEVELS: 0.0}
        if side and trades.past_sweep(x, i, at, price, side):
            grown[s.RUSH_BUY_LEVELS if side > 0 else s.RUSH_SELL_LEVELS] = 1.0
        baselines.past(x, self._layout.baselines, at, grown)
        trades.average(x, i, at, price)

    def _trade(self, x: list[float], i: list[int], stamp: int, batch: Batch, number: int) -> bool:
        """Fold a live trade in."""
        if i[s.TRADES_SINCE] == s.NEVER:
            streams.begin(x, i, _TRADES)
        price = batch.price[number]
        amount = batch.amount[number]
        inferred = batch.flags[number] & _INFERRED != 0
        side = trades.trade(x, i, stamp, price, amount, batch.side[number], is_inferred=inferred)
        i[s.TRADE_AT] = max(i[s.TRADE_AT], stamp)
        i[s.TRADE_RECEIVED] = max(i[s.TRADE_RECEIVED], batch.received_us[number])
        reference = self._references[batch.market[number]]
        if reference is not None:
            compare(x, i, self._floats[reference][s.PRICE])
        layout = self._layout
        if layout.needs_removals and side:
            removals.fill(x, i, layout.pending, layout.fills, price, amount, side)
        if layout.needs_prints:
            prints.add(x, i, layout.prints, price, amount, side)
        return self._is_due(x, i)

    def _level(self, x: list[float], i: list[int], batch: Batch, number: int) -> bool:
        """Fold one book level in; evaluation waits for the last one of the message."""
        start = self._layout.book
        flags = batch.flags[number]
        is_full = flags & _SNAPSHOT != 0
        if i[s.BOOK_SINCE] == s.NEVER:
            streams.begin(x, i, _BOOK)
        if not i[s.IN_MESSAGE]:
            i[s.IN_MESSAGE] = 1
            if is_full:
                book.clear(i)
                i[s.BEST_MOVED] = 1
                i[s.BOOK_OK] = 1
        if i[s.BOOK_OK]:
            price = batch.price[number]
            side = batch.side[number]
            removed = book.level(x, i, start, i[s.AT], price, batch.amount[number], side, is_full=is_full)
            if not is_full:
                x[s.CHURN] += 1.0
            if removed > 0.0 and self._layout.needs_removals:
                removals.remove(x, i, self._layout.pending, self._layout.fills, price, removed, side)
        if not flags & _LAST:
            return False
        return self._settle(x, i, batch.at_us[number], batch.received_us[number])

    def _settle(self, x: list[float], i: list[int], at: int, received: int) -> bool:
        """End a book message."""
        i[s.IN_MESSAGE] = 0
        if not i[s.BOOK_OK]:
            return self._is_due(x, i)
        i[s.BOOK_AT] = max(i[s.BOOK_AT], at)
        i[s.BOOK_RECEIVED] = max(i[s.BOOK_RECEIVED], received)
        if self._has_spread:
            self._sample(x, i)
        book.settle(x, i, self._layout.book)
        if i[s.BEST_MOVED]:
            i[s.BEST_MOVED] = 0
            i[s.URGENT] = 1
        return self._is_due(x, i)

    def _sample(self, x: list[float], i: list[int]) -> None:
        """Observe the spread that held since the last sample, once a second."""
        second = i[s.AT] // s.SECOND_US
        lasted = second - i[s.SAMPLED]
        if lasted <= 0:
            return
        i[s.SAMPLED] = second
        width = spread(x)
        if width != width:
            return
        count = float(min(lasted, _SAMPLE_MAX_S))
        for item in self._layout.baselines:
            if item.source < 0:
                age = count * s.SECOND_US / item.decay_us
                baselines.observe(x, item.offset, item.per_octave, max(width, 1e-9), count, age)

    def _is_due(self, x: list[float], i: list[int]) -> bool:
        """Whether the market should be evaluated now: a new bin of 50 ms, or something urgent."""
        bin_now = i[s.AT] // s.BIN_US
        if bin_now == i[s.EVALUATED_BIN] and not i[s.URGENT]:
            return False
        i[s.EVALUATED_BIN] = bin_now
        i[s.URGENT] = 0
        x[s.EVALUATED_PRICE] = x[s.PRICE]
        return True

    def advance(self, row: int, at_us: int) -> None:
        """Move a market's time forward without an event; an earlier time changes nothing."""
        i = self._integers[row]
        if at_us > i[s.AT]:
            self._forward(self._floats[row], i, at_us)

    def read(self, row: int, at_us: int, received_us: int, out: list[float]) -> None:
        """Fill `out` with the values of `leaves` at `at_us`, NaN where unknown or absent; moves time forward as `advance` does."""
        self.advance(row, at_us)
        x = self._floats[row]
        i = self._integers[row]
        reference = self._references[row]
        rows = None if reference is None else (self._floats[reference], self._integers[reference])
        view = View(received_us, rows, lambda fresh: self._mids(row, received_us, fresh))
        for number, read in self._present(self._facts[row].streams):
            out[number] = read(x, i, view)
        for number in self._absent[self._facts[row].streams]:
            out[number] = s.NAN

    def _present(self, here: frozenset[str]) -> list[tuple[int, Read]]:
        """Return the readers of the leaves whose stream a market has, with their places."""
        if here not in self._here:
            told = [stream is None or stream in here for stream in self._streams]
            self._here[here] = [(number, read) for number, read in enumerate(self._readers) if told[number]]
            self._absent[here] = [number for number, is_told in enumerate(told) if not is_told]
        return self._here[here]

    def _mids(self, row: int, received_us: int, fresh: int) -> list[float]:
        """Return the known mids of the same symbol on all exchanges."""
        found = []
        for sibling in self._siblings[self._facts[row].market.symbol]:
            i = self._integers[sibling]
            mid = self._floats[sibling][s.MID]
            if i[s.BOOK_OK] and mid == mid and received_us - i[s.BOOK_RECEIVED] <= fresh:
                found.append(mid)
        return found

    def last(self, row: int) -> tuple[int, int]:
        """Return event time and arrival time of the market's latest event, 0 where there was none."""
        i = self._integers[row]
        return i[s.EVENT_AT], i[s.RECEIVED]

    def late(self, row: int) -> int:
        """Return how many events came with a time before that of an earlier one."""
        return self._integers[row][s.LATE]

    def coverage(self, row: int, window_us: int) -> float:
        """Return the covered share of a window that a leaf names, of the worst stream; KeyError for any other window."""
        window = self._layout.windows[window_us]
        x = self._floats[row]
        i = self._integers[row]
        if i[window.slot] < 0:
            return 0.0
        here = self._facts[row].streams
        shares = [1.0]
        if "trades" in here:
            shares.append(_share(x, i, window, s.TRADES_SINCE, s.TRADES_BEGAN, s.DOWN_TRADES))
        if "book" in here:
            shares.append(_share(x, i, window, s.BOOK_SINCE, s.BOOK_BEGAN, s.DOWN_BOOK))
        return min(shares)

    def data_ready(self, row: int) -> bool:
        """Whether the market's streams are live and all windows of at most 60 s are covered."""
        i = self._integers[row]
        here = self._facts[row].streams
        if "trades" in here and i[s.TRADES_SINCE] == s.NEVER:
            return False
        if "book" in here and not i[s.BOOK_OK]:
            return False
        return all(self.coverage(row, us) >= 1.0 for us in self._layout.windows if us <= _SHORT_US)

    def adopt(self, leaves: Sequence[Leaf]) -> None:
        """Take other leaves into use: what both name keeps its state, what is new starts cold. Raises as the constructor does."""
        layout = Layout(leaves)
        if layout.leaves == self._layout.leaves:
            self._install(self._layout)
            return
        old = self._layout
        self._install(layout)
        for row in range(len(self._facts)):
            self._floats[row], self._integers[row] = moved(old, layout, self._floats[row], self._integers[row])

    def save(self) -> dict[str, Any]:
        """Return the whole state, fit for JSON."""
        return dump(self._layout, self._facts, self._references, self._floats, self._integers)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a saved state in place of all that is, and adopt leaves that differ. Raises StateError where it does not fit."""
        wanted = self._layout.leaves
        layout, self._facts, self._references, self._floats, self._integers = load(state)
        self._siblings = {}
        for row, facts in enumerate(self._facts):
            self._siblings.setdefault(facts.market.symbol, []).append(row)
        self._layout = layout
        self.adopt(wanted)


def _share(x: list[float], i: list[int], window: Window, since: int, began: int, down: int) -> float:
    """Return a stream's covered share: all or nothing below its unbroken time for short windows."""
    full = windows.share(x, i, window, since, began, down)
    if window.us <= windows.FULL_US:
        return min(full, max(0.0, (i[s.AT] - i[since]) / window.us))
    return full


def _known(value: float | None) -> float:
    return s.NAN if value is None else value


def _stream(leaf: Leaf) -> str | None:
    """Return the stream without which a leaf is absent."""
    stream = FIELDS_BY_NAME[leaf.field].stream
    return None if stream == "market" else stream
