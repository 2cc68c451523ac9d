"""Where the rows of all markets are kept, and how the kernel's functions are called: plain Python over lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from guard.features.kernel import drive as loop
from guard.features.kernel import slots as s
from guard.features.kernel.fold import DUE, fold, take
from guard.features.kernel.readers import READERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.features.kernel.layout import Layout
    from guard.model.batch import Batch

__all__ = ["Bound", "PlainRows", "Rows", "Screen", "Screens", "columns_of", "hand_over", "made_rows"]

if TYPE_CHECKING:
    # What the kernel's functions take: lists here, arrays of the same shape where they are jitted.
    Floats = list[float]
    Integers = list[int]
    FloatRows = list[list[float]]
    IntegerRows = list[list[int]]
    Read = Callable[[FloatRows, IntegerRows, Floats, Integers, Integers, Floats, int, int], float]
    Screen = Callable[[FloatRows, IntegerRows, Floats, Integers, Integers, Floats, Integers, int], int]
    MakeScreen = Callable[[Sequence[Read], Sequence[int]], Screen]
    # Of a market that is not open, and of one that is.
    Screens = tuple[MakeScreen, MakeScreen]

NO_EVENTS: Final = ([0],) * 9
UNOPENED: Final = "a row of the batch speaks of a market that was never opened; {} are open"


class Bound(NamedTuple):
    """What all markets are given at once, one of each for a market.

    Where their programs begin, their screens where the kernel runs plain, whether time alone may make a rule fire, whether it may
    change something now; `at_us` is when their rules are run, whatever they say, and `signatures` how many of them a market has at
    most.
    """

    programs: Sequence[int]
    screens: Sequence[Screens] | None
    looks: Sequence[bool]
    opens: Sequence[bool]
    at_us: int
    signatures: int


class Rows(Protocol):
    """The rows of all markets, and the loop over events; see `drive` and `slots`."""

    is_jitted: bool
    needs_screens: bool

    def plan(self, layout: Layout) -> None:
        """Take another plan into use; the rows must fit it."""

    def program(self, code: Sequence[int], constants: Sequence[float], registers: int, signatures: int) -> None:
        """Take the rules' code; `signatures` is the largest number of rules of a market."""

    def add(self, x: list[float], i: list[int]) -> None:
        """Append a market."""

    def replace(self, rows: Sequence[tuple[list[float], list[int]]]) -> None:
        """Put other rows in place of all."""

    def row(self, row: int) -> tuple[list[float], list[int]]:
        """Return a copy of a market's rows."""

    def set_row(self, row: int, x: list[float], i: list[int]) -> None:
        """Put other numbers in place of a market's."""

    def dirty(self) -> list[int]:
        """Return the markets to look at when the bin is over, in order."""

    def set_dirty(self, rows: Sequence[int], due: int) -> None:
        """Put other markets in place of those to look at when the bin is over."""

    def next_due(self) -> int:
        """Return the earliest due time of the heap, which is not empty."""

    def number(self, row: int, slot: int) -> int:
        """Return one integer of a market."""

    def put(self, row: int, slot: int, value: int) -> None:
        """Set one integer of a market."""

    def price(self, row: int, slot: int) -> float:
        """Return one float of a market."""

    def signatures(self, row: int) -> list[int]:
        """Return what was last known of each rule of a market."""

    def turned(self) -> list[int]:
        """Return the markets of which a rule turned unknown or known without a stop of the loop."""

    def sign(self, row: int, signatures: Sequence[int]) -> None:
        """Note what is known of each rule of a market."""

    def screen(self, row: int, screens: Screens | None) -> None:
        """Take the functions that tell whether a market's rules say anything new."""

    def rebind(self, bound: Bound) -> None:
        """Give all markets other rules, of which nothing is known."""

    def native_screens(self) -> Callable[[], Any] | None:
        """Return what makes machine code of the rules as they are bound now; None where there is nothing to make."""

    def take_native_screens(self, made: Any) -> None:  # noqa: ANN401 - known where it is made
        """Judge by what `native_screens` made."""

    def run(self, batch: Batch | None) -> int:
        """Run the loop over a batch, or over time alone; returns why it stopped."""

    def schedule(self, row: int) -> None:
        """Note that a market was evaluated."""

    def set_due(self, row: int, due: int) -> None:
        """Change when a market is due."""

    def fold(self, batch: Batch, number: int) -> bool:
        """Fold one row of a batch in, outside of the loop."""

    def take(self, row: int, at: int) -> None:
        """Move a market's time forward."""

    def read(self, row: int, received: int) -> list[float]:
        """Return the values of all leaves."""

    @property
    def control(self) -> list[int]:
        """The loop's own state, to read and to write; see `drive`."""


class PlainRows:
    """Rows as lists: no library needed, and each row of a batch costs microseconds."""

    is_jitted = False
    needs_screens = True

    def __init__(self) -> None:
        self.X: FloatRows = []
        self.I: IntegerRows = []
        self.S: IntegerRows = []
        self.control = [0] * loop.CONTROL_SIZE
        self.control[loop.DIRTY_DUE] = s.NEVER
        self._dirty: list[int] = []
        self._heap: list[int] = []
        self._p: list[int] = []
        self._q: list[float] = []
        self._makers: list[Screens | None] = []
        self._screens: list[Screen | None] = []
        self._open_screens: list[Screen | None] = []
        self._places: list[int] = []
        self._readers: dict[int, list[Read]] = {}
        self._made: dict[tuple[MakeScreen, int], Screen] = {}

    def plan(self, layout: Layout) -> None:
        """Take another plan into use; the rows must fit it."""
        self._p, self._q = layout.plan, layout.numbers
        first = self._p[s.P_LEAVES]
        self._places = [first + number * s.LEAF_STRIDE for number in range(self._p[s.P_LEAF_COUNT])]
        self._readers.clear()
        self._made.clear()

    def program(self, code: Sequence[int], constants: Sequence[float], registers: int, signatures: int) -> None:
        """Nothing to take: what runs here are the markets' screens."""

    def add(self, x: list[float], i: list[int]) -> None:
        """Append a market."""
        self.X.append(x)
        self.I.append(i)
        self.S.append([])
        self.control[loop.MARKETS] = len(self.I)
        self._makers.append(None)
        self._screens.append(None)
        self._open_screens.append(None)
        self._dirty.append(0)
        self._heap.append(0)

    def replace(self, rows: Sequence[tuple[list[float], list[int]]]) -> None:
        """Put other rows in place of all."""
        self.X[:] = [x for x, _ in rows]
        self.I[:] = [i for _, i in rows]

    def row(self, row: int) -> tuple[list[float], list[int]]:
        """Return a copy of a market's rows."""
        return list(self.X[row]), list(self.I[row])

    def set_row(self, row: int, x: list[float], i: list[int]) -> None:
        """Put other numbers in place of a market's."""
        self.X[row][:], self.I[row][:] = x, i

    def dirty(self) -> list[int]:
        """Return the markets to look at when the bin is over, in order."""
        return self._dirty[self.control[loop.DIRTY_NEXT] : self.control[loop.DIRTY_COUNT]]

    def set_dirty(self, rows: Sequence[int], due: int) -> None:
        """Put other markets in place of those to look at when the bin is over."""
        self._dirty[: len(rows)] = rows
        self.control[loop.DIRTY_NEXT], self.control[loop.DIRTY_COUNT], self.control[loop.DIRTY_DUE] = 0, len(rows), due

    def next_due(self) -> int:
        """Return the earliest due time of the heap, which is not empty."""
        row = self._heap[0]
        while (due := self.I[row][s.DUE]) > self.I[row][s.HEAP_DUE]:
            self.set_due(row, due)
            row = self._heap[0]
        return due

    def number(self, row: int, slot: int) -> int:
        """Return one integer of a market."""
        return self.I[row][slot]

    def put(self, row: int, slot: int, value: int) -> None:
        """Set one integer of a market."""
        self.I[row][slot] = value

    def price(self, row: int, slot: int) -> float:
        """Return one float of a market."""
        return self.X[row][slot]

    def signatures(self, row: int) -> list[int]:
        """Return what was last known of each rule of a market."""
        return self.S[row]

    def turned(self) -> list[int]:
        """Return no market: what turns is told at once here."""
        return []

    def sign(self, row: int, signatures: Sequence[int]) -> None:
        """Note what is known of each rule of a market."""
        self.S[row] = list(signatures)

    def screen(self, row: int, screens: Screens | None) -> None:
        """Take the functions that tell whether a market's rules say anything new."""
        self._makers[row] = screens
        self._screens[row] = None if screens is None else self._screen(row, screens[0])
        self._open_screens[row] = None

    def _open_screen(self, row: int) -> Screen | None:
        """Return the screen of a market that is open, made when it is first wanted."""
        screens = self._makers[row]
        if self._open_screens[row] is None and screens is not None:
            self._open_screens[row] = self._screen(row, screens[1])
        return self._open_screens[row]

    def _screen(self, row: int, make: MakeScreen) -> Screen:
        streams = self.I[row][s.STREAMS]
        key = (make, streams)
        if key not in self._made:
            self._made[key] = make(self._present(streams), self._places)
        return self._made[key]

    def _present(self, streams: int) -> list[Read]:
        """Return the reader of each leaf for markets with these streams."""
        if streams not in self._readers:
            p = self._p
            self._readers[streams] = [
                READERS[p[at + s.L_OP]] if p[at + s.L_STREAM] == 0 or streams & p[at + s.L_STREAM] else read_absent
                for at in self._places
            ]
        return self._readers[streams]

    def rebind(self, bound: Bound) -> None:
        """Give all markets other rules, of which nothing is known."""
        self._made.clear()
        for row, i in enumerate(self.I):
            i[s.PROGRAM], i[s.LOOKS], i[s.OPEN] = bound.programs[row], int(bound.looks[row]), int(bound.opens[row])
            i[s.DEADLINE] = i[s.DUE] = i[s.HEAP_DUE] = bound.at_us
            # Markets that are due together make a heap as they stand.
            i[s.HEAP_AT] = self._heap[row] = row
            self.S[row] = [-1] * bound.signatures
            self.screen(row, None if bound.screens is None else bound.screens[row])
        self.control[loop.HEAP_COUNT] = len(self.I)

    def native_screens(self) -> None:
        """Nothing to make: that takes a compiler."""

    def take_native_screens(self, made: Any) -> None:  # noqa: ANN401 - nobody makes one
        """Nothing to take."""

    def run(self, batch: Batch | None) -> int:
        """Run the loop over a batch, or over time alone; returns why it stopped."""
        X, I, S, p, q, c, d, h = self.X, self.I, self.S, self._p, self._q, self.control, self._dirty, self._heap
        columns = NO_EVENTS if batch is None else columns_of(batch)
        drive = loop.drive
        if c[loop.POSITION] == 0 and loop.is_unopened(c, columns[0], columns[1]):
            raise IndexError(UNOPENED.format(len(I)))
        while True:
            reason = drive(X, I, p, q, c, d, h, *columns)
            if reason != loop.EVALUATE:
                return reason
            row = c[loop.ROW]
            i = I[row]
            screen = self._open_screen(row) if i[s.OPEN] else self._screens[row]
            # As in `run` of the compiled form: a timer that is due is nothing a screen knows of.
            is_due = i[s.DEADLINE] <= c[loop.NOW]
            if is_due or screen is None or screen(X, I, X[row], i, p, q, S[row], c[loop.NOW]):
                return reason
            loop.schedule(I, c, h, row)

    def schedule(self, row: int) -> None:
        """Note that a market was evaluated."""
        loop.schedule(self.I, self.control, self._heap, row)

    def set_due(self, row: int, due: int) -> None:
        """Change when a market is due."""
        loop.set_due(self.I, self.control, self._heap, row, due)

    def fold(self, batch: Batch, number: int) -> bool:
        """Fold one row of a batch in, outside of the loop."""
        kinds, markets, *others = columns_of(batch)
        if not 0 <= markets[number] < len(self.I):
            raise IndexError(UNOPENED.format(len(self.I)))
        return fold(self.X, self.I, self._p, self._q, markets[number], kinds[number], *(each[number] for each in others)) == DUE

    def take(self, row: int, at: int) -> None:
        """Move a market's time forward."""
        take(self.X, self.I, self.X[row], self.I[row], self._p, self._q, at)

    def read(self, row: int, received: int) -> list[float]:
        """Return the values of all leaves."""
        X, I, p, q, x, i = self.X, self.I, self._p, self._q, self.X[row], self.I[row]
        readers = self._present(i[s.STREAMS])
        return [read(X, I, x, i, p, q, at, received) for read, at in zip(readers, self._places, strict=True)]


def read_absent(*_: object) -> float:
    """Return what a stream that a market does not have tells: nothing."""
    return s.NAN


def columns_of(batch: Batch) -> tuple[Any, ...]:
    """Return the columns of a batch in the order in which `drive` takes them."""
    return (
        batch.kind, batch.market, batch.at_us, batch.received_us, batch.price, batch.amount, batch.side, batch.key, batch.flags,
    )  # fmt: skip


def hand_over(source: Rows, target: Rows, count: int) -> None:
    """Put `count` markets, what their rules said and the loop's state into `target`, which has plan and program but no market."""
    for row in range(count):
        x, i = source.row(row)
        due = i[s.DUE]
        i[s.DUE], i[s.HEAP_AT] = s.NEVER, -1
        target.add(x, i)
        target.sign(row, source.signatures(row))
        target.set_due(row, due)
    target.set_dirty(source.dirty(), source.control[loop.DIRTY_DUE])
    for slot in (loop.NOW, loop.EVALUATIONS):
        target.control[slot] = source.control[slot]


def made_rows(*, jit: bool) -> Rows:
    """Return rows without a plan or a market: jitted, else built where that was done.

    Raises ImportError where they are to be jitted and numba is missing.
    """
    if not jit:
        from guard.features.kernel import built  # noqa: PLC0415 - it is made of what is here

        return built.BuiltRows() if built.functions() else PlainRows()
    from guard.features.kernel.jit import JittedRows  # noqa: PLC0415 - numba takes half a second to import

    return JittedRows()
