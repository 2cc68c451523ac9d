"""The loop against a simple model: every due time fires at its own time, before the event that passes it."""

from __future__ import annotations

from collections import deque
from itertools import accumulate, chain, cycle, islice, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from features.kernel.subset import jitted
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.features.kernel import Bound, Kernel, drive
from guard.features.kernel import slots as s
from guard.features.kernel.machine import ASK
from guard.features.tables import Leaf
from guard.model import BUY, Batch, Kind, Market, MarketFacts, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MARKETS = 5
START = 1_700_000_000 * s.SECOND_US
Answers = list[tuple[bool, int | None]]
FORMS = pytest.mark.parametrize("is_jitted", [False, True], ids=["plain", "jitted"])

dues = st.one_of(st.just(s.NEVER), st.integers(0, 12))


def set_due(*, is_jitted: bool) -> Callable[..., None]:
    if not is_jitted:
        return drive.set_due
    twin: Callable[..., None] = jitted("drive")[drive.set_due]
    return twin


def popped(change: Callable[..., None], rows: Any, control: Any, heap: Any) -> list[tuple[int, int]]:  # noqa: ANN401 - lists or arrays
    """Take all out of the heap, in its order."""
    found = []
    while control[drive.HEAP_COUNT]:
        row = int(heap[0])
        found.append((int(rows[row][s.DUE]), row))
        change(rows, control, heap, row, s.NEVER)
    return found


@FORMS
@settings(max_examples=200, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(0, MARKETS - 1), dues), max_size=40))
def test_the_heap_gives_each_market_once_at_its_last_due_time_in_order(*, is_jitted: bool, steps: list[tuple[int, int]]) -> None:
    change = set_due(is_jitted=is_jitted)
    rows: Any = [[0] * s.INTEGERS for _ in range(MARKETS)]
    control: Any = [0] * drive.CONTROL_SIZE
    heap: Any = [0] * MARKETS
    if is_jitted:
        import numpy as np

        rows, control, heap = np.array(rows), np.array(control), np.array(heap)
    for row in range(MARKETS):
        rows[row][s.DUE], rows[row][s.HEAP_AT] = s.NEVER, -1
    model: dict[int, int] = {}
    for row, due in steps:
        change(rows, control, heap, row, due)
        model[row] = due
        waiting = {each: at for each, at in model.items() if at != s.NEVER}
        assert control[drive.HEAP_COUNT] == len(waiting) <= MARKETS
        assert all(rows[each][s.DUE] == at and heap[rows[each][s.HEAP_AT]] == each for each, at in waiting.items())
        assert all(rows[each][s.HEAP_AT] == -1 for each in model.keys() - waiting.keys())
    wanted = sorted((due, row) for row, due in model.items() if due != s.NEVER)
    assert popped(change, rows, control, heap) == wanted


# A CONTROL row speaks of no market.
NOBODY = -1


class Model:
    """What the loop should do, by plain dicts: due times by market, and the markets that wait for the end of a bin."""

    def __init__(self) -> None:
        self.now = 0
        self.due: dict[int, int] = {}
        self.bin_due = s.NEVER
        self.bin: list[int] = []
        self.unseen: dict[int, bool] = {}
        self.last_bin: dict[int, int] = {}
        self.arrived: dict[int, int] = {}
        self.deadline: dict[int, int] = {}

    def next(self) -> tuple[int, int, int]:
        """Return what fires next: its time, 0 for the list and 1 for a market of its own, and the market."""
        return min([(self.bin_due, 0, -1), *((due, 1, row) for row, due in self.due.items())])

    def fire(self) -> tuple[int, int] | None:
        """Fire what is next; returns why it stops and the market, None where there was nothing to look at."""
        at, kind, row = self.next()
        if kind == 0:
            row = self.bin.pop(0)
            is_unseen = self.unseen.pop(row)
            if not self.bin:
                self.bin_due = s.NEVER
            if not is_unseen:
                return None
            self.now = max(self.now, at)
            return drive.EVALUATE, row
        del self.due[row]
        self.now = max(self.now, at)
        return (drive.DEADLINE if self.deadline.get(row, s.NEVER) <= at else drive.EVALUATE), row

    def event(self, row: int, kind: int, at: int) -> tuple[int, int] | None:
        """Take an event."""
        self.now = at
        if kind == Kind.CONTROL:
            return drive.TOLD, NOBODY
        self.arrived[row] = self.now
        if kind == Kind.STATUS:
            return drive.TOLD, row
        if self.last_bin.get(row) != at // s.BIN_US:
            self.last_bin[row] = at // s.BIN_US
            return drive.EVALUATE, row
        if row not in self.unseen:
            if not self.bin:
                self.bin_due = (self.now // s.BIN_US + 1) * s.BIN_US
            self.bin.append(row)
        self.unseen[row] = True
        return None

    def run(self, events: deque[Event], until: int, limit: int) -> tuple[int, int]:
        """Go on to the next stop."""
        while True:
            arrival = events[0].at_us if events else limit
            due = self.next()[0]
            if due <= arrival and due <= until:
                told = self.fire()
            elif events and arrival < until:
                event = events.popleft()
                told = self.event(event.row, event.kind, event.at_us)
            else:
                return drive.DONE, -1
            if told is not None:
                return told

    def evaluated(self, row: int, *, is_open: bool, deadline: int | None) -> None:
        """Note what follows from an evaluation."""
        if row in self.unseen:
            self.unseen[row] = False
        self.due.pop(row, None)
        self.deadline[row] = s.NEVER if deadline is None else deadline
        if is_open:
            silence = self.now - self.arrived.get(row, 0)
            self.due[row] = self.now + min(max(silence // 16, s.SECOND_US), 15 * s.SECOND_US)
            if self.now < self.deadline[row] < self.due[row]:
                self.due[row] = self.deadline[row]


class Event(NamedTuple):
    at_us: int
    row: int
    kind: Kind


gaps = st.sampled_from([0, 0, 7_000, 20_000, 49_999, 50_000, 600_000, 1_000_000, 20 * s.SECOND_US, 300 * s.SECOND_US])
steps = st.lists(
    st.tuples(gaps, st.integers(0, MARKETS - 1), st.sampled_from([Kind.TRADE] * 6 + [Kind.STATUS, Kind.CONTROL])), max_size=30
)
answers = st.lists(
    st.tuples(st.booleans(), st.sampled_from([None, 1, 30_000, 1_000_000, 40 * s.SECOND_US])), min_size=1, max_size=9
)


def opened(*, jit: bool) -> Kernel:
    kernel = Kernel([Leaf("price")], jit=jit)
    for number in range(MARKETS):
        kernel.open(MarketFacts(Market("sim", f"{number}/USDT"), streams=frozenset({"trades"})))
    # Somebody else must look, each time.
    kernel.load([ASK, 0, 0, 0, 0], [], 0, 1)
    for row in range(MARKETS):
        kernel.bind(row, 0, None, looks=False)
    return kernel


def batch_of(events: deque[Event]) -> Batch:
    batch = Batch(max(1, len(events)))
    for at, row, kind in events:
        key = Status.LIVE if kind == Kind.STATUS else 0
        side = BUY if kind == Kind.TRADE else 0
        batch.append(kind, row, at_us=at, received_us=at, price=1.0, amount=1.0, side=side, key=key)
    return batch


def run_both(
    kernel: Kernel, model: Model, events: deque[Event], answers: Iterator[tuple[bool, int | None]], *, until: int, limit: int = 0
) -> None:
    """Go on to the end, with the same answers to both."""
    while True:
        told, expected = kernel.run(until), model.run(events, until, limit)
        assert told == expected[0]
        if told == drive.DONE:
            return
        if expected[1] == NOBODY:
            assert kernel.now_us == model.now
            continue
        assert (kernel.row, kernel.now_us) == (expected[1], model.now)
        is_open, wait = next(answers)
        deadline = None if wait is None else model.now + wait
        kernel.schedule(kernel.row, is_open=is_open, deadline_us=deadline)
        model.evaluated(expected[1], is_open=is_open, deadline=deadline)
        due = model.next()[0]
        assert kernel.next_due_us == (None if due == s.NEVER else due)


@FORMS
@settings(max_examples=150, deadline=None)
@given(steps=steps, answers=answers, stops=st.lists(gaps, max_size=4), rest=gaps)
def test_every_due_time_fires_at_its_own_time_before_the_event_that_passes_it(
    *, is_jitted: bool, steps: list[tuple[int, int, Kind]], answers: Answers, stops: list[int], rest: int
) -> None:
    if is_jitted:
        pytest.importorskip("numba", reason="numba is not installed: only the plain form runs here")
    kernel, model, given_answers = opened(jit=is_jitted), Model(), chain(islice(cycle(answers), 200), repeat((False, None)))
    times = accumulate((gap for gap, _, _ in steps), initial=START)
    events = deque(Event(at, row, kind) for at, (_, row, kind) in zip(times, steps, strict=False))
    end = events[-1].at_us if events else START
    kernel.start(batch_of(events))
    for until in (*accumulate(stops, initial=START), s.NEVER):
        run_both(kernel, model, events, given_answers, until=until)
    assert not events
    assert kernel.position == len(steps)
    kernel.start(None, limit_us=end + rest)
    run_both(kernel, model, events, given_answers, until=s.NEVER, limit=end + rest)


@FORMS
def test_what_waits_is_bounded_by_the_number_of_markets(*, is_jitted: bool) -> None:
    if is_jitted:
        pytest.importorskip("numba", reason="numba is not installed: only the plain form runs here")
    kernel = opened(jit=is_jitted)
    events = deque(Event(START + number, number % MARKETS, Kind.TRADE) for number in range(1_000))
    kernel.start(batch_of(events))
    while kernel.run(None) != drive.DONE:
        kernel.schedule(kernel.row, is_open=True, deadline_us=None)
    saved = kernel.save()
    assert sorted(saved["dirty"]) == list(range(MARKETS))
    assert all(market["due"] < s.NEVER for market in saved["markets"])


@FORMS
def test_all_markets_are_given_rules_at_once_as_one_by_one(*, is_jitted: bool) -> None:
    def given_rules(*, at_once: bool) -> tuple[dict[str, object], list[tuple[int, ...]]]:
        kernel = opened(jit=is_jitted)
        for row, wait in enumerate((7, 3, None, 5, 3)):
            kernel.wake(row, is_open=False, deadline_us=None if wait is None else START + wait)
        looks, opens = [row % 2 == 0 for row in range(MARKETS)], [row < 2 for row in range(MARKETS)]
        if at_once:
            kernel.rebind(Bound([0] * MARKETS, None, looks, opens, START + 9, 1))
        else:
            for row in range(MARKETS):
                kernel.bind(row, 0, None, looks=looks[row])
                kernel.wake(row, is_open=opens[row], deadline_us=START + 9)
                kernel.sign(row, [-1])
        kernel.start(None, limit_us=START + 5 * s.SECOND_US)
        stops = []
        while kernel.run(None) != drive.DONE:
            stops.append((kernel.row, kernel.now_us))
            kernel.schedule(kernel.row, is_open=opens[kernel.row], deadline_us=None)
        rows = [tuple(kernel._rows.number(row, slot) for slot in (s.PROGRAM, s.LOOKS, s.OPEN, s.DUE)) for row in range(MARKETS)]
        return kernel.save(), [*stops, *rows, *map(tuple, map(kernel._rows.signatures, range(MARKETS)))]

    assert given_rules(at_once=True) == given_rules(at_once=False)
