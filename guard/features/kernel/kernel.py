"""The kernel's face: opens markets, folds events in, reads leaves, tells which markets rules must look at."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Final, cast

from guard.errors import StateError
from guard.features.kernel import drive as loop
from guard.features.kernel import slots as s
from guard.features.kernel.drive import LIMIT, NOW, POSITION, STOP, UNTIL
from guard.features.kernel.layout import STREAM_BITS, layout_of, stream_bits
from guard.features.kernel.pools import carry_pools
from guard.features.kernel.records import facts_in, facts_out, known
from guard.features.kernel.rows import hand_over, made_rows
from guard.features.kernel.sections import VERSION, packed, unpacked
from guard.features.kernel.windows import coverage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from guard.features.kernel.rows import Bound, Rows, Screens
    from guard.features.tables import Leaf
    from guard.model.batch import Batch
    from guard.model.market import MarketFacts

__all__ = ["Kernel"]

_SHORT_US: Final = 60_000_000


class Kernel:
    """State of all markets, and the values of `leaves` at any moment.

    Parameters
    ----------
    leaves
        What formulas read, in the order in which `read` gives it. At most 16 distinct windows, each of 1 s to 24 h; otherwise
        ValueError.
    jit
        Whether to run compiled, which needs numba; ImportError without it. The bits are the same.

    Notes
    -----
    The state depends on the sequence of calls only, never on how events were cut into batches. Event time alone moves it. `now_us`
    is the loop's time: arrival of the last event, or the last due time.

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

    def __init__(self, leaves: Sequence[Leaf], *, jit: bool = False) -> None:
        self._facts: list[MarketFacts] = []
        self._symbols: dict[str, int] = {}
        # The first market of each symbol, and of each exchange, which holds what all of it learn together.
        self._homes: dict[str, int] = {}
        self._references: list[int | None] = []
        self._layout = layout_of(tuple(leaves))
        self._use(made_rows(jit=jit))
        self._rows.plan(self._layout)
        self._batch: Batch | None = None
        self.now_us = 0
        self._program: tuple[Sequence[int], Sequence[float], int, int] = ((), (), 0, 0)

    @property
    def is_jitted(self) -> bool:
        """Whether the kernel runs compiled."""
        return self._rows.is_jitted

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
        x[s.TICK] = known(facts.tick)
        x[s.USD_RATE] = known(facts.usd_rate)
        x[s.VOLUME_24H] = known(facts.volume_24h_usd)
        i[s.LISTED] = int(facts.listed_us or 0)
        row = len(self._facts)
        self._add(facts, x, i)
        self._references.append(None)
        return row

    def _add(self, facts: MarketFacts, x: list[float], i: list[int]) -> None:
        row = len(self._facts)
        i[s.STREAMS] = stream_bits(facts)
        i[s.SIBLING] = row
        home = self._homes.setdefault(facts.market.exchange, row)
        if self._layout.home >= 0:
            i[self._layout.home] = home
        first = self._symbols.setdefault(facts.market.symbol, row)
        if first != row:
            i[s.SIBLING] = self._rows.number(first, s.SIBLING)
            self._rows.put(first, s.SIBLING, row)
        self._facts.append(facts)
        self._rows.add(x, i)

    def facts(self, row: int) -> MarketFacts:
        """Return what was known of the market when it was opened."""
        return self._facts[row]

    def set_reference(self, row: int, reference_row: int | None) -> None:
        """Name the market against which `row` is judged; None, or itself, means that there is none."""
        found = None if reference_row == row else reference_row
        self._references[row] = found
        self._rows.put(row, s.REFERENCE, -1 if found is None else found)

    # The loop.

    def _use(self, rows: Rows) -> None:
        """Take other rows into use, whose loop was told neither limit nor end yet."""
        self._rows, self._control, self.needs_screens = rows, rows.control, rows.needs_screens
        self._limit_us, self._until_us = 0, cast("int | None", -1)

    def start(self, batch: Batch | None, *, now_us: int = 0, limit_us: int = 0) -> None:
        """Begin with a batch of events, or, without one, let time pass up to `limit_us`; it is `now_us` at least."""
        if batch is not None and not self._rows.is_jitted:
            batch = batch.plain()
        self._batch = batch
        control = self._control
        control[POSITION], control[STOP] = 0, 0 if batch is None else batch.length
        if limit_us != self._limit_us:
            self._limit_us = control[LIMIT] = limit_us
        if now_us > self.now_us:
            self.now_us = control[NOW] = now_us

    def run(self, until_us: int | None) -> int:
        """Go on up to the next market that rules must look at, or up to `until_us`; returns why it stopped, as `drive` does."""
        control = self._control
        if until_us != self._until_us:
            self._until_us = until_us
            control[UNTIL] = s.NEVER if until_us is None else until_us
        reason = self._rows.run(self._batch)
        self.now_us = control[NOW]
        return reason

    @property
    def row(self) -> int:
        """The market at which `run` stopped."""
        return self._control[loop.ROW]

    @property
    def position(self) -> int:
        """How many rows of the batch are done."""
        return self._control[POSITION]

    @property
    def evaluations(self) -> int:
        """How often rules were looked at, here or outside."""
        return self._control[loop.EVALUATIONS]

    @property
    def next_due_us(self) -> int | None:
        """When a market is due next."""
        due = self._control[loop.DIRTY_DUE]
        if self._control[loop.HEAP_COUNT]:
            due = min(due, self._rows.next_due())
        return None if due == s.NEVER else due

    def schedule(self, row: int, *, is_open: bool, deadline_us: int | None) -> None:
        """Note that a market was evaluated: whether time alone may change something, and when a timer of a rule is due."""
        self._rows.put(row, s.OPEN, int(is_open))
        self._rows.put(row, s.DEADLINE, s.NEVER if deadline_us is None else deadline_us)
        self._rows.schedule(row)

    def wake(self, row: int, *, is_open: bool, deadline_us: int | None) -> None:
        """Change from outside of an evaluation whether time alone may change something; rules are run at `deadline_us`."""
        deadline = s.NEVER if deadline_us is None else deadline_us
        self._rows.put(row, s.OPEN, int(is_open))
        self._rows.put(row, s.DEADLINE, deadline)
        self._rows.set_due(row, deadline)

    def rebind(self, bound: Bound) -> None:
        """Do for all markets at once what `bind` and `wake` do, and forget what their rules said."""
        self._rows.rebind(bound)

    # Rules.

    def load(self, code: Sequence[int], constants: Sequence[float], registers: int, signatures: int) -> None:
        """Take the rules' code into use; `signatures` is the largest number of rules of a market."""
        self._program = (code, constants, registers, signatures)
        self._rows.program(*self._program)

    def bind(self, row: int, program: int, screens: Screens | None, *, looks: bool) -> None:
        """Tell where a market's rules begin in the code; `looks` says that time alone may make one fire."""
        self._rows.put(row, s.PROGRAM, program)
        self._rows.put(row, s.LOOKS, int(looks))
        self._rows.screen(row, screens)

    def native_screens(self) -> Callable[[], Any] | None:
        """Return what makes machine code of all markets' rules, in seconds, in any thread; None where there is nothing to make."""
        return self._rows.native_screens()

    def take_native_screens(self, made: Any) -> None:  # noqa: ANN401 - known to the compiled kernel
        """Judge by what `native_screens` made; nothing happens where other rules came meanwhile."""
        self._rows.take_native_screens(made)

    def sign(self, row: int, signatures: Sequence[int]) -> None:
        """Note what each rule of a market said: the loop stops only where one says something else."""
        self._rows.sign(row, signatures)

    def signatures(self, row: int) -> list[int]:
        """Return what each rule of a market said last."""
        return self._rows.signatures(row)

    def turned(self) -> list[int]:
        """Return the markets of which a rule turned unknown or known since it was signed, without a stop of the loop."""
        return self._rows.turned()

    # Events and values, one by one.

    def apply(self, batch: Batch, number: int) -> bool:
        """Fold one row of a batch into its market; True asks for an evaluation of that market now."""
        return self._rows.fold(batch, number)

    def advance(self, row: int, at_us: int) -> None:
        """Move a market's time forward without an event; an earlier time changes nothing."""
        self._rows.take(row, at_us)

    def values(self, row: int, received_us: int) -> list[float]:
        """Return the values of `leaves` as of the market's time, NaN where unknown or absent; nothing changes."""
        return self._rows.read(row, received_us)

    def read(self, row: int, at_us: int, received_us: int, out: list[float]) -> None:
        """Fill `out` with the values of `leaves` at `at_us`; moves time forward as `advance` does."""
        self.advance(row, at_us)
        out[:] = self.values(row, received_us)

    def last(self, row: int) -> tuple[int, int]:
        """Return event time and arrival time of the market's latest event, 0 where there was none."""
        return self._rows.number(row, s.EVENT_AT), self._rows.number(row, s.RECEIVED)

    def price(self, row: int) -> float:
        """Return the price of the market's latest trade, NaN where none came since its stream lives."""
        return self._rows.row(row)[0][s.PRICE]

    def late(self, row: int) -> int:
        """Return how many events came with a time before that of an earlier one."""
        return self._rows.number(row, s.LATE)

    def version(self, row: int) -> int:
        """Return a number that changes with every change of the market's rows."""
        return self._rows.number(row, s.VERSION)

    def coverage(self, row: int, window_us: int) -> float:
        """Return the covered share of a window that a leaf names, of the worst stream; KeyError for any other window."""
        group, window = self._layout.any_window(window_us)
        return coverage(*self._rows.row(row), self._layout.place(window), 0, group.down)

    def data_ready(self, row: int) -> bool:
        """Whether the market's streams are live and all windows of at most 60 s are covered."""
        number = self._rows.number
        streams = number(row, s.STREAMS)
        if streams & STREAM_BITS["trades"] and number(row, s.TRADES_SINCE) == s.NEVER:
            return False
        if streams & STREAM_BITS["book"] and number(row, s.BOOK_OK) == 0:
            return False
        at = number(row, s.AT)
        sinces = [number(row, slot) for bit, slot in ((1, s.TRADES_SINCE), (2, s.BOOK_SINCE)) if streams & bit]
        return all(
            at - since >= us
            for (us, _), window in self._layout.windows.items()
            if us <= _SHORT_US
            for since in (*sinces, number(row, window.since))
        )

    # State.

    def accelerate(self) -> None:
        """Run compiled from now on, in the same state; between two runs of the loop only.

        Raises ImportError without numba and StateError where compiled code reads other values; the plain form runs on then.
        """
        if self.is_jitted:
            return
        rows = made_rows(jit=True)
        rows.plan(self._layout)
        rows.program(*self._program)
        hand_over(self._rows, rows, len(self))
        for row, facts in enumerate(self._facts):
            pairs = zip(rows.read(row, self.now_us), self.values(row, self.now_us), strict=True)
            if any(ours != theirs and (ours == ours or theirs == theirs) for ours, theirs in pairs):
                raise StateError(f"compiled code reads other values of {facts.market} than plain code does")
        self._use(rows)

    def adopt(self, leaves: Sequence[Leaf]) -> None:
        """Take other leaves into use: what both name keeps its state, what is new starts cold. Raises as the constructor does."""
        new, old, moved = layout_of(tuple(leaves)), self._layout, None
        if not new.has_room_of(old):
            kept = [self._rows.row(row) for row in range(len(self))]
            moved = [unpacked(new, packed(old, x, i)) for x, i in kept]
            for facts, (_, before), (_, after) in zip(self._facts, kept, moved, strict=True):
                for slot in s.OF_THIS_PROCESS:
                    after[slot] = before[slot]
                if new.home >= 0:
                    after[new.home] = self._homes[facts.market.exchange]
        self._layout = new
        self._rows.plan(new)
        if moved is not None:
            self._rows.replace(moved)

    @property
    def layout_version(self) -> int:
        """Changes with the meaning of saved sections."""
        return VERSION

    @staticmethod
    def prepare(leaves: Sequence[Leaf]) -> None:
        """Work out beforehand what `adopt` of these leaves needs; any thread may do it. Raises as the constructor does."""
        layout_of(tuple(leaves))

    def sections(self, row: int) -> list[tuple[str, bytes]]:
        """Return a market's state as named parts; see `guard.features.kernel.sections`."""
        x, i = self._rows.row(row)
        # Two kernels in the same state may have come there on different ways.
        for slot in s.OF_THIS_PROCESS:
            i[slot] = 0
        return list(packed(self._layout, x, i).items())

    def take(self, row: int, sections: Mapping[str, bytes]) -> None:
        """Put saved sections in place of a market's state; those that are missing start cold, and all does without ``slots``.

        What `open` was told of the market stays. Raises StateError for a damaged section, and nothing has changed then.
        """
        before, now = self._rows.row(row)
        x, i = unpacked(self._layout, sections) if "slots" in sections else self._layout.blank()
        x[s.TICK] = before[s.TICK]
        if "slots" not in sections:
            x[s.USD_RATE], x[s.VOLUME_24H] = before[s.USD_RATE], before[s.VOLUME_24H]
        for slot in (*s.OF_THIS_PROCESS, s.LISTED):
            i[slot] = now[slot]
        i[s.VERSION] = now[s.VERSION] + 1
        if self._layout.home >= 0:
            i[self._layout.home] = now[self._layout.home]
            carry_pools(self._layout, self._rows, row, x)
        self._rows.set_row(row, x, i)

    def save(self) -> dict[str, Any]:
        """Return the whole state, fit for JSON."""
        return {
            "version": VERSION,
            "now_us": self.now_us,
            "dirty_due": self._control[loop.DIRTY_DUE],
            "dirty": self._rows.dirty(),
            "markets": [
                {
                    "facts": facts_out(facts),
                    "reference": self._references[row],
                    "due": self._rows.number(row, s.DUE),
                    "dirty": self._rows.number(row, s.DIRTY),
                    "parts": {name: b64encode(part).decode() for name, part in self.sections(row)},
                }
                for row, facts in enumerate(self._facts)
            ],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a saved state in place of all that is, as far as these leaves name it. Raises StateError for a damaged one."""
        try:
            if state["version"] != VERSION:
                raise StateError(f"the kernel's state has version {state['version']}; this guard reads version {VERSION}")
            markets = state["markets"]
            facts = [facts_in(market["facts"]) for market in markets]
            rows = [unpacked(self._layout, {name: b64decode(part) for name, part in each["parts"].items()}) for each in markets]
            references = [market["reference"] for market in markets]
            dues = [(int(market["due"]), int(market["dirty"])) for market in markets]
            dirty, dirty_due = [int(row) for row in state["dirty"]], int(state["dirty_due"])
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"the kernel's state is damaged: {error!r}") from error
        self._facts, self._references, self._symbols, self._homes = [], [], {}, {}
        self._use(made_rows(jit=self.is_jitted))
        self._rows.plan(self._layout)
        self.now_us = self._control[NOW] = int(state["now_us"])
        for each, (x, i) in zip(facts, rows, strict=True):
            self._add(each, x, i)
            self._references.append(None)
        for row, (reference, (due, is_dirty)) in enumerate(zip(references, dues, strict=True)):
            self.set_reference(row, reference)
            self._rows.put(row, s.DIRTY, is_dirty)
            self._rows.set_due(row, due)
        self._rows.set_dirty(dirty, dirty_due)
