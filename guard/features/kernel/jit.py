"""The kernel's functions jitted, and the rows as arrays: the same source, the same bits, some hundred times as fast.

numba is loaded here, in `pointers` and in `native`, and nowhere else. Each function of the kernel is given globals in which its
fellows are jitted; what was compiled is kept in a folder that is named by a hash of the package's source, so that no stale code is
ever found.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import FunctionType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import numba
import numpy as np

from guard.features.kernel import drive as loop
from guard.features.kernel import slots as s
from guard.features.kernel.blocks import copy, find, find_each, repeat, repeat_each, weigh, weigh_each
from guard.features.kernel.compiled import cache_folder
from guard.features.kernel.drive import run, schedule, set_due
from guard.features.kernel.fold import DUE, fold, take
from guard.features.kernel.leaves import read_all
from guard.features.kernel.machine import TURNED
from guard.features.kernel.pointers import (
    as_bytes,
    as_float_rows,
    as_floats,
    as_integer_rows,
    as_integers,
    as_shorts,
    call_screen,
    copy_memory,
)
from guard.features.kernel.rows import UNOPENED, columns_of
from guard.features.kernel.source import MODULES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.features.kernel.layout import Layout
    from guard.features.kernel.native import Native
    from guard.features.kernel.rows import Bound, Screens
    from guard.model.batch import Batch

__all__ = ["JittedRows", "functions"]

_PACKAGE: Final = "guard.features.kernel"
# What a rule reads and computes: a call passes each array as seven numbers, which costs more than most readers do.
_INLINED: Final = ("leaves", "readers", "reading", "trade_readers")
_INLINED_TOO: Final = ("number", "passes", "rarer_number")


# What `_enter` is asked for, and where it finds the addresses of all that it works on. Those of X, I and S are tables of the rows'.
RUN, READ, TAKE, SCHEDULE, SET_DUE, FOLD = range(6)
# A batch has columns of its own or records, which are spread into the columns of `SPREAD_AT`.
(
    X_AT, I_AT, S_AT, P_AT, Q_AT, M_AT, K_AT, R_AT, N_AT, C_AT, D_AT, H_AT, OUT_AT, RECORDS_AT, COLUMNS_AT,
) = range(15)  # fmt: skip
SPREAD_AT = COLUMNS_AT + 9
ADDRESSES = SPREAD_AT + 9
COLUMN_TYPES: Final = (np.int8, np.int32, np.int64, np.int64, np.float64, np.float64, np.int8, np.int64, np.int8)


def _enter(addresses: int, what: int, row: int, time: int) -> int:
    """Make pointers of addresses and call what is asked for: a few integers cost a tenth of what twenty arrays do."""
    a = as_integers(addresses)
    X, I, p, q = as_float_rows(a[X_AT]), as_integer_rows(a[I_AT]), as_integers(a[P_AT]), as_floats(a[Q_AT])
    c, h = as_integers(a[C_AT]), as_integers(a[H_AT])
    if what == READ:
        read_all(X, I, p, q, row, time, as_floats(a[OUT_AT]))
        return 0
    if what == SCHEDULE:
        schedule(I, c, h, row)
        return 0
    if what == SET_DUE:
        set_due(I, c, h, row, time)
        return 0
    if what == TAKE:
        take(X, I, X[row], I[row], p, q, time)
        return 0
    at = SPREAD_AT if a[RECORDS_AT] != 0 else COLUMNS_AT
    kinds, markets, ats, arrivals = as_bytes(a[at]), as_shorts(a[at + 1]), as_integers(a[at + 2]), as_integers(a[at + 3])
    prices, amounts, sides = as_floats(a[at + 4]), as_floats(a[at + 5]), as_bytes(a[at + 6])
    keys, flags = as_integers(a[at + 7]), as_bytes(a[at + 8])
    if at == SPREAD_AT and (what == FOLD or c[loop.POSITION] == 0):
        longs, doubles, shorts, bytes_ = (
            as_integers(a[RECORDS_AT]), as_floats(a[RECORDS_AT]), as_shorts(a[RECORDS_AT]), as_bytes(a[RECORDS_AT])
        )  # fmt: skip
        for number in range(row if what == FOLD else 0, row + 1 if what == FOLD else c[loop.STOP]):
            ats[number], arrivals[number], keys[number] = longs[6 * number], longs[6 * number + 1], longs[6 * number + 4]
            prices[number], amounts[number] = doubles[6 * number + 2], doubles[6 * number + 3]
            markets[number] = shorts[12 * number + 10]
            kinds[number], sides[number] = bytes_[48 * number + 44], bytes_[48 * number + 45]
            flags[number] = bytes_[48 * number + 46]
    if what == FOLD:
        return fold(
            X, I, p, q, markets[row] + 0, kinds[row] + 0, ats[row], arrivals[row], prices[row], amounts[row], sides[row] + 0,
            keys[row], flags[row] + 0,
        )  # fmt: skip
    S, m, k, r, d = as_integer_rows(a[S_AT]), as_integers(a[M_AT]), as_floats(a[K_AT]), as_floats(a[R_AT]), as_integers(a[D_AT])
    n = as_integers(a[N_AT])
    return run(X, I, S, p, q, m, k, r, n, c, d, h, kinds, markets, ats, arrivals, prices, amounts, sides, keys, flags)


@cache
def functions() -> SimpleNamespace:
    """Return the kernel's functions, jitted; they are compiled when first called."""
    scopes = {name: dict(import_module(f"{_PACKAGE}.{name}").__dict__) for name in MODULES}
    bound: dict[FunctionType, FunctionType] = {}
    for name, scope in scopes.items():
        for each in list(scope.values()):
            if isinstance(each, FunctionType) and each.__module__ == f"{_PACKAGE}.{name}":
                bound[each] = FunctionType(each.__code__, scope, each.__name__)
    for fast, each in ((copy, copy_memory), (find, find_each), (repeat, repeat_each), (weigh, weigh_each)):
        assert isinstance(fast, FunctionType)
        assert isinstance(each, FunctionType)
        bound[fast] = bound.get(each, each)
    jitted = {each: _jitted(each, copied) for each, copied in bound.items()}
    for scope in scopes.values():
        for name, each in scope.items():
            if isinstance(each, FunctionType) and each in jitted:
                scope[name] = jitted[each]
    scopes["machine"]["call"] = call_screen
    found = {each.__name__: dispatcher for each, dispatcher in jitted.items()}
    found["enter"] = _cached(FunctionType(_enter.__code__, {**globals(), **found}, "enter"))
    return SimpleNamespace(**found)


def _jitted(each: FunctionType, copied: FunctionType) -> Any:  # noqa: ANN401 - a dispatcher
    """Jit a function. No array is made in the kernel, so references are not counted: that took most of the time."""
    is_inlined = each.__module__.rpartition(".")[2] in _INLINED or each.__name__ in _INLINED_TOO
    return numba.njit(error_model="numpy", forceinline=is_inlined, _nrt=False)(copied)


def _cached(function: FunctionType) -> Callable[[int, int, int, int], int]:
    """Jit the one function that Python calls, keep what was compiled, and return it without numba's choice between signatures."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    earlier = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder)
    try:
        dispatcher = numba.njit("int64(int64, int64, int64, int64)", error_model="numpy", cache=True)(function)
    finally:
        numba.config.CACHE_DIR = earlier
    entry: Callable[[int, int, int, int], int] = next(iter(dispatcher.overloads.values())).entry_point
    return entry


class JittedRows:
    """Rows as arrays, for the jitted functions; the same in all else as `PlainRows`."""

    is_jitted = True
    needs_screens = False

    def __init__(self) -> None:
        self._enter = functions().enter
        self._native: Native | None = None
        self._a = np.zeros(ADDRESSES, np.int64)
        self._addresses: int = self._a.ctypes.data
        # A view to write from Python, which takes a third of the time; `control` likewise.
        self._places = self._a.data
        self._kept: dict[int, Any] = {}
        self.control: Any = self._hold(C_AT, np.zeros(loop.CONTROL_SIZE, np.int64)).data
        self.control[loop.DIRTY_DUE] = s.NEVER
        self._count = 0
        self._width = 1
        self.S: Any = np.zeros((0, 1), np.int64)
        self._rooms(np.zeros((8, 1)), np.zeros((8, s.INTEGERS), np.int64))
        self.program((), (), 0, 1)
        self._batch: Batch | None = None
        self._columns: list[Any] = []
        self._spread: list[Any] = []
        self._spread_rows = 0

    def _hold(self, at: int, array: Any) -> Any:  # noqa: ANN401 - an array
        """Keep an array and tell its address."""
        self._kept[at] = array
        self._a[at] = array.ctypes.data
        return array

    def _hold_rows(self, at: int, array: Any) -> Any:  # noqa: ANN401 - an array
        """Keep an array of rows and tell where the table of their addresses is."""
        self._hold(at, array.ctypes.data + array.strides[0] * np.arange(len(array)))
        return array

    def _rooms(self, floats: Any, integers: Any) -> None:  # noqa: ANN401 - arrays
        """Take larger arrays into use."""
        self.X, self.I = self._hold_rows(X_AT, floats), self._hold_rows(I_AT, integers)
        for at in (D_AT, H_AT, N_AT):
            grown = np.zeros(len(integers), np.int64)
            if at in self._kept:
                grown[: len(self._kept[at])] = self._kept[at][: len(grown)]
            self._hold(at, grown)
        self._rooms_for_signatures()

    def _rooms_for_signatures(self) -> None:
        grown = np.zeros((len(self.I), self._width), np.int64)
        grown[: len(self.S), : self.S.shape[1]] = self.S[:, : self._width]
        self.S = self._hold_rows(S_AT, grown)

    def plan(self, layout: Layout) -> None:
        """Take another plan into use; the rows must fit it."""
        self._forget_screens()
        self._hold(P_AT, np.array(layout.packed_plan))
        self._hold(Q_AT, np.array(layout.packed_numbers))
        self._out = self._hold(OUT_AT, np.empty(max(1, len(layout.leaves))))
        self._leaves = len(layout.leaves)
        if not self._count:
            self._rooms(np.zeros((8, layout.floats)), np.zeros((8, layout.integers), np.int64))

    def program(self, code: Sequence[int], constants: Sequence[float], registers: int, signatures: int) -> None:
        """Take the rules' code; `signatures` is the largest number of rules of a market."""
        self._hold(M_AT, np.zeros(len(code) + 1, np.int64))[:-1] = code
        self._hold(K_AT, np.zeros(len(constants) + 1))[:-1] = constants
        self._hold(R_AT, np.zeros(registers + 1))
        self._width = max(1, signatures)
        self._rooms_for_signatures()

    def add(self, x: list[float], i: list[int]) -> None:
        """Append a market."""
        if self._count == len(self.I):
            floats, integers = np.zeros((2 * self._count, len(x))), np.zeros((2 * self._count, len(i)), np.int64)
            floats[: self._count], integers[: self._count] = self.X, self.I
            self._rooms(floats, integers)
        self.X[self._count], self.I[self._count] = x, i
        self._count += 1
        self.control[loop.MARKETS] = self._count

    def replace(self, rows: Sequence[tuple[list[float], list[int]]]) -> None:
        """Put other rows in place of all."""
        self._count = self.control[loop.MARKETS] = len(rows)
        if not rows:
            return
        size = max(8, len(self.I), self._count)
        floats, integers = np.zeros((size, len(rows[0][0]))), np.zeros((size, len(rows[0][1])), np.int64)
        for row, (x, i) in enumerate(rows):
            floats[row], integers[row] = x, i
        self._rooms(floats, integers)

    def row(self, row: int) -> tuple[list[float], list[int]]:
        """Return a copy of a market's rows."""
        return self.X[row].tolist(), self.I[row].tolist()

    def set_row(self, row: int, x: list[float], i: list[int]) -> None:
        """Put other numbers in place of a market's."""
        self.X[row], self.I[row] = x, i

    def dirty(self) -> list[int]:
        """Return the markets to look at when the bin is over, in order."""
        found: list[int] = self._kept[D_AT][self.control[loop.DIRTY_NEXT] : self.control[loop.DIRTY_COUNT]].tolist()
        return found

    def set_dirty(self, rows: Sequence[int], due: int) -> None:
        """Put other markets in place of those to look at when the bin is over."""
        self._kept[D_AT][: len(rows)] = rows
        self.control[loop.DIRTY_NEXT], self.control[loop.DIRTY_COUNT], self.control[loop.DIRTY_DUE] = 0, len(rows), due

    def next_due(self) -> int:
        """Return the earliest due time of the heap, which is not empty."""
        heap = self._kept[H_AT]
        while (due := self.number(heap[0], s.DUE)) > self.number(heap[0], s.HEAP_DUE):
            self.set_due(heap[0], due)
        return due

    def number(self, row: int, slot: int) -> int:
        """Return one integer of a market."""
        return int(self.I[row, slot])

    def put(self, row: int, slot: int, value: int) -> None:
        """Set one integer of a market."""
        self.I[row, slot] = value

    def price(self, row: int, slot: int) -> float:
        """Return one float of a market."""
        return float(self.X[row, slot])

    def signatures(self, row: int) -> list[int]:
        """Return what was last known of each rule of a market."""
        found: list[int] = self.S[row].tolist()
        return found

    def turned(self) -> list[int]:
        """Return the markets of which a signature was turned."""
        found: list[int] = np.flatnonzero(((self.S >= 0) & (self.S & TURNED > 0)).any(axis=1)).tolist()
        return found

    def sign(self, row: int, signatures: Sequence[int]) -> None:
        """Note what is known of each rule of a market."""
        self.S[row, : len(signatures)] = signatures

    def screen(self, row: int, screens: Screens | None) -> None:  # noqa: ARG002 - what the plain form runs
        """Nothing to take: the machine does it, or machine code where there is some."""
        self._kept[N_AT][row] = self._native.addresses.get(self.number(row, s.PROGRAM), 0) if self._native else 0

    def rebind(self, bound: Bound) -> None:
        """Give all markets other rules, of which nothing is known; the machine judges them until machine code is made."""
        count = self._count
        rows, order = self.I[:count], np.arange(count)
        rows[:, s.PROGRAM], rows[:, s.LOOKS], rows[:, s.OPEN] = bound.programs, bound.looks, bound.opens
        rows[:, s.DEADLINE] = rows[:, s.DUE] = rows[:, s.HEAP_DUE] = bound.at_us
        # Markets that are due together make a heap as they stand.
        rows[:, s.HEAP_AT] = self._kept[H_AT][:count] = order
        self.control[loop.HEAP_COUNT] = count
        self.S[:count] = -1
        self._forget_screens()

    def _forget_screens(self) -> None:
        self._native = None
        # Tells apart what is made for rules that were replaced meanwhile.
        self._made_for = object()
        if N_AT in self._kept:
            self._kept[N_AT][:] = 0

    def native_screens(self) -> Callable[[], Native] | None:
        """Return what makes machine code of the rules as they are bound now; any thread may call it. None where all have it."""
        begins = sorted({int(begin) for begin in self.I[: self._count, s.PROGRAM]} - {0})
        if not begins or (self._native and begins == list(self._native.addresses)):
            return None
        # None of them is changed, others take their place; lists are made where there is time.
        arrays = [self._kept[at] for at in (M_AT, K_AT, P_AT, Q_AT)]
        made_for = self._made_for

        def make() -> Native:
            from guard.features.kernel.native import native  # noqa: PLC0415 - it is made of what is here

            code, constants, plan, numbers = (each.tolist() for each in arrays)
            return native(code, constants, begins, plan, numbers, made_for=made_for)

        return make

    def take_native_screens(self, made: Native) -> None:
        """Judge by machine code from now on, and by the machine again once other rules come; nothing happens where they have."""
        if made.made_for is not self._made_for:
            return
        self._native = made
        for row in range(self._count):
            self.screen(row, None)

    def run(self, batch: Batch | None) -> int:
        """Run the loop over a batch, or over time alone; returns why it stopped."""
        if batch is not self._batch and batch is not None:
            if batch.address and batch.capacity <= self._spread_rows:
                # Two batches take turns live: only where the records are changes with each turn.
                self._batch, self._places[RECORDS_AT] = batch, batch.address
            else:
                self._look_at(batch)
        reason: int = self._enter(self._addresses, RUN, 0, 0)
        if reason == loop.UNOPENED:
            raise IndexError(UNOPENED.format(self._count))
        return reason

    def _look_at(self, batch: Batch) -> None:
        """Tell where the rows of a batch are: what has records keeps its place, so that is done once where one is used again."""
        self._batch = batch
        self._places[RECORDS_AT] = batch.address
        if batch.address:
            if batch.capacity > self._spread_rows:
                self._spread_rows = batch.capacity
                self._spread = self._tell(SPREAD_AT, [np.empty(batch.capacity, kind) for kind in COLUMN_TYPES])
        else:
            pairs = zip(columns_of(batch), COLUMN_TYPES, strict=True)
            self._columns = self._tell(COLUMNS_AT, [np.ascontiguousarray(each, kind) for each, kind in pairs])

    def _tell(self, at: int, columns: list[Any]) -> list[Any]:
        self._a[at : at + 9] = [each.ctypes.data for each in columns]
        return columns

    def _ask(self, what: int, row: int, time: int) -> int:
        return int(self._enter(self._addresses, what, row, time))

    def schedule(self, row: int) -> None:
        """Note that a market was evaluated."""
        self._ask(SCHEDULE, row, 0)

    def set_due(self, row: int, due: int) -> None:
        """Change when a market is due."""
        self._ask(SET_DUE, row, due)

    def fold(self, batch: Batch, number: int) -> bool:
        """Fold one row of a batch in, outside of the loop."""
        if not 0 <= batch.market[number] < self._count:
            raise IndexError(UNOPENED.format(self._count))
        if batch is not self._batch:
            self._look_at(batch)
        return self._ask(FOLD, number, 0) == DUE

    def take(self, row: int, at: int) -> None:
        """Move a market's time forward."""
        self._ask(TAKE, row, at)

    def read(self, row: int, received: int) -> list[float]:
        """Return the values of all leaves."""
        self._ask(READ, row, received)
        found: list[float] = self._out[: self._leaves].tolist()
        return found
