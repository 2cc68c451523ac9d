"""Every function of the kernel's parts compiles, and changes rows as plain Python does, to the last bit."""

from __future__ import annotations

import math
import struct
from types import FunctionType, SimpleNamespace
from typing import Any

import pytest
from features.kernel.subset import copy_each, jitted

from guard.features.kernel import (
    baselines,
    blocks,
    digits,
    impact,
    prints,
    reference,
    removals,
    sizes,
    streams,
    trades,
    windows,
)
from guard.features.kernel import slots as s
from guard.features.kernel.groups import GROUPS

pytest.importorskip("numba", reason="numba is not installed: only the plain form runs here")
np = pytest.importorskip("numpy")

MODULES = (blocks, windows, baselines, trades, impact, digits, prints, removals, streams, reference)
KEPT = (s.P_PRINTS, s.P_DIGITS, s.P_TAIL)
SECOND = s.SECOND_US
START = 1_763_000_000 * SECOND


def _plain() -> dict[str, Any]:
    """Return the functions of the parts by name, with that of their module."""
    return {
        f"{module.__name__.rpartition('.')[2]}.{name}": value
        for module in MODULES
        for name, value in vars(module).items()
        if isinstance(value, FunctionType) and value.__module__ == module.__name__
    }


def _jitted() -> dict[str, Any]:
    """Return the same functions compiled, each calling the compiled ones."""
    twins = jitted(*(module.__name__.rpartition(".")[2] for module in MODULES[1:]))
    return {name: twins[function] for name, function in _plain().items()}


def _plan() -> SimpleNamespace:  # noqa: PLR0915 - a plan has many parts
    """Write a plan by hand: three rings, three windows, four baselines, removals and prints."""
    floats, integers = s.FLOATS, s.INTEGERS
    groups = ((GROUPS["range"], GROUPS["trades"]), (GROUPS["range"], GROUPS["book"]), (GROUPS["range"],))
    clocks: list[list[int]] = []
    rings: list[int] = []
    found = []
    for (width, size), kept in zip(((50_000, 101), (SECOND, 91), (15 * SECOND, 61)), groups, strict=True):
        top = floats if clocks else s.OPEN_HIGH
        floats += 2 if clocks else 0
        begin = s.PLAN_HEAD + 3 * s.RING_STRIDE + len(rings)
        clocks.append([width, size, integers, top, begin, begin + len(kept) * s.GROUP_STRIDE, 1])
        slot = integers
        integers += s.CLOCK_HEAD + size
        found.append((width, size, floats - kept[0].first, slot, integers, kept[0].columns))
        for group in kept:
            rings += [floats, group.first, group.columns, group.sums, integers]
            floats += size * group.columns
            integers += 1
    numbers = [*prints.ENTROPIES]
    numbers += [2.0 ** ((step - s.BUCKET_BASE) / 8) for step in range(s.BUCKET_COUNT)]
    items: list[int] = []
    for source, bin_us, since, asks in (
        (s.TURNOVER, 60 * SECOND, s.TRADES_SINCE, s.MOMENTS), (s.BUY_TURNOVER, 5 * SECOND, s.TRADES_SINCE, 0),
        (s.RUSH_BUY_LEVELS, 5 * SECOND, s.TRADES_SINCE, s.LOWS), (s.SPREAD, SECOND, s.BOOK_SINCE, s.MOMENTS),
    ):  # fmt: skip
        items += [source, bin_us, 3600 * SECOND, 4, floats, integers, since, len(prints.ENTROPIES), asks]
        floats += sizes.BASELINE_SIZE
        integers += 1
    parts = []
    for length in (
        sizes.PENDING_CAP * sizes.PENDING_PARTS, sizes.FILLS_CAP * sizes.FILLS_PARTS,
        sizes.PRINTS_CAP * sizes.PRINTS_PARTS + sizes.SIZE_BUCKETS + sizes.PRINTS_TOTALS, sizes.BARS_SIZE, sizes.DIGITS_SIZE,
        sizes.TAIL_SIZE,
    ):  # fmt: skip
        parts.append(floats)
        floats += length
    p = [0] * s.PLAN_HEAD
    p[s.P_RINGS], p[s.P_RING_COUNT] = len(p), 3
    p += [number for clock in clocks for number in clock] + rings
    p[s.P_BASELINES], p[s.P_BASELINE_COUNT] = len(p), 4
    p += items
    p[s.P_PENDING], p[s.P_FILLS], p[s.P_PRINTS], p[s.P_BARS], p[s.P_DIGITS], p[s.P_TAIL] = parts
    p[s.P_AVERAGES], p[s.P_AVERAGE_COUNT] = len(p), 2
    p += [60 * SECOND, floats, integers, 3600 * SECOND, floats + 1, integers + 1]
    floats += 2
    integers += 2
    marks = []
    for us, window in ((5 * SECOND, found[0]), (90 * SECOND, found[1]), (600 * SECOND, found[2])):
        marks.append(len(p))
        width, size, ring, slot, since, count = window
        p += [us, width, size, ring, slot, since, us // width + 1, count]
    x, i = [0.0] * floats, [0] * integers
    x[s.COLUMNS : s.FLOATS] = [s.NAN] * (s.FLOATS - s.COLUMNS)
    x[s.PRICE] = x[s.MID] = x[s.HIGH] = x[s.LOW] = s.NAN
    x[s.BETA_XY] = x[s.BETA_XX] = x[s.BETA_YY] = x[s.BETA_WEIGHT] = 0.0
    i[s.STREAMS] = 3
    for slot in (s.TRADES_SINCE, s.BOOK_SINCE, s.TRADES_BEGAN, s.BOOK_BEGAN, s.NEXT_CLOSE, s.EWMA_BEGAN):
        i[slot] = s.NEVER
    i[s.TRADES_LOST] = i[s.BOOK_LOST] = -1
    for clock in clocks:
        x[clock[s.R_TOP]] = x[clock[s.R_TOP] + 1] = s.NAN
        i[clock[s.R_SLOT]] = -1
    for at in range(s.G_SINCE, len(rings), s.GROUP_STRIDE):
        i[rings[at]] = s.NEVER
    for at in range(0, len(items), s.BASELINE_STRIDE):
        i[items[at + s.B_SLOT]] = -1
        x[items[at + s.B_OFFSET]] = 1.0
    i[-2:] = s.NEVER, s.NEVER
    first = p[s.P_BASELINES]
    return SimpleNamespace(x=x, i=i, p=p, q=numbers, windows=marks, baselines=range(first, first + len(items), s.BASELINE_STRIDE))


class Twins:
    """One market twice, as lists and as arrays; each call goes to both."""

    def __init__(self) -> None:
        plan = _plan()
        self.windows, self.baselines = plan.windows, plan.baselines
        self.p = plan.p
        self._plain, self._jitted = _plain(), _jitted()
        self.x, self.i = plan.x, plan.i
        self.lists = {"x": self.x, "i": self.i, "p": plan.p, "q": plan.q}
        self.arrays = {
            "x": np.array(plan.x), "i": np.array(plan.i, dtype=np.int64), "p": np.array(plan.p, dtype=np.int64),
            "q": np.array(plan.q),
        }  # fmt: skip

    def call(self, name: str, rows: str, *numbers: float) -> Any:  # noqa: ANN401 - what the function returns
        """Call a function on both; the answers must be the same bits."""
        one = self._plain[name](*(self.lists[row] for row in rows), *numbers)
        two = self._jitted[name](*(self.arrays[row] for row in rows), *numbers)
        assert (one is None) == (two is None), name
        if isinstance(one, float):
            assert struct.pack("d", one) == struct.pack("d", two) or (math.isnan(one) and math.isnan(two)), (name, one, two)
        elif one is not None:
            assert int(one) == int(two), (name, one, two)
        return one

    def put(self, rows: str, slot: int, value: float) -> None:
        """Set a number of both."""
        self.lists[rows][slot] = value
        self.arrays[rows][slot] = value

    def compare(self) -> None:
        """Compare all numbers of both."""
        assert self.i == self.arrays["i"].tolist()
        theirs = self.arrays["x"].tobytes()
        if struct.pack(f"{len(self.x)}d", *self.x) != theirs:
            other = self.arrays["x"].tolist()
            wrong = [at for at, (a, b) in enumerate(zip(self.x, other, strict=True)) if a != b and not math.isnan(a)]
            assert not wrong, [(at, self.x[at], other[at]) for at in wrong[:5]]


def _forward(twins: Twins, at: int) -> None:
    """Move both markets' time forward, as the fold does."""
    i = twins.i
    twins.put("i", s.AT, at)
    if i[s.NEXT_CLOSE] == s.NEVER:
        twins.call("baselines.mark_bins", "xip", at)
    elif at >= i[s.NEXT_CLOSE]:
        twins.call("baselines.close_bins", "xipq", at)
    if at >= i[s.NEXT_EDGE]:
        if at // s.HOUR_US != i[s.HOUR]:
            twins.put("i", s.HOUR, at // s.HOUR_US)
            twins.call("baselines.rebase_marks", "xp")
            twins.call("windows.rebase", "xp")
        twins.call("windows.roll", "xip", at)
    twins.call("removals.classify", "xi", twins.p[s.P_PENDING])
    twins.call("prints.expire", "xiq", *(twins.p[part] for part in KEPT))


def _trade(twins: Twins, rng: Any, price: float) -> None:  # noqa: ANN401 - numpy's generator
    """Let both markets trade."""
    p, i = twins.p, twins.i
    stamp = i[s.AT] - int(rng.choice([0, 0, 0, 100_000, 2_000_000]))
    amount = float(rng.choice([0.5, 1.0, 0.001, float(rng.lognormal(0, 3)), 1e12], p=[0.3, 0.3, 0.1, 0.29, 0.01]))
    side = int(rng.choice([1, -1, 0]))
    twins.call("trades.average_each", "xip", i[s.AT], price)
    taken = int(twins.call("trades.trade", "xi", stamp, price, amount, side, int(rng.choice([0, 8]))))
    twins.put("i", s.TRADE_AT, max(i[s.TRADE_AT], stamp))
    twins.call("reference.compare", "xi", float(rng.lognormal(4, 0.01)))
    if taken:
        twins.call("removals.fill", "xi", p[s.P_PENDING], p[s.P_FILLS], price, amount, taken)
    is_torn = int(rng.random() < 0.02)
    kept, sizes_at, tail = (p[part] for part in KEPT)
    twins.call("prints.add", "xiq", kept, -price if is_torn else price, amount, taken, sizes_at, tail)
    twins.call("impact.deal", "xi", p[s.P_BARS], stamp, price, amount, taken, is_torn)


def _book(twins: Twins, rng: Any, price: float) -> None:  # noqa: ANN401
    """Move both markets' best prices and take volume away."""
    p, i = twins.p, twins.i
    for slot, value in ((s.BID, price - 0.5), (s.ASK, price + 0.5), (s.MID, price)):
        twins.put("x", slot, value)
    twins.put("i", s.BOOK_OK, 1)
    twins.put("i", s.BOOK_AT, i[s.AT])
    amount = float(rng.choice([0.5, 1.0, 40.0]))
    twins.call("removals.remove", "xi", p[s.P_PENDING], p[s.P_FILLS], price, amount, int(rng.choice([1, -1])))
    age = float(rng.choice([1.0, 60.0])) / 3600.0
    twins.call("baselines.observe", "xpq", twins.baselines[3], float(rng.lognormal(-6, 4)), age * 3600.0, age)


def _news(twins: Twins, rng: Any) -> None:  # noqa: ANN401
    """Let streams of both markets break and begin."""
    channel = int(rng.integers(0, 3))
    twins.call("streams.tear", "xi", int(rng.integers(0, 3)), twins.i[s.AT] + int(rng.integers(-2, 2)) * SECOND)
    twins.call("streams.gap", "xi", channel, int(rng.choice([0, twins.i[s.AT] - 3 * SECOND])))
    twins.call("streams.status", "xi", int(rng.integers(0, 3)), int(rng.integers(1, 8)), float(rng.choice([-1.0, 0.0, 2.5])))
    twins.call("streams.begin", "xi", int(rng.integers(0, 3)))


def _read(twins: Twins) -> None:
    """Ask both markets everything."""
    streams_of = ((s.TRADES_SINCE, s.TRADES_BEGAN, s.RANGE_DOWN), (s.BOOK_SINCE, s.BOOK_BEGAN, s.RANGE_DOWN + 1))
    for w in twins.windows:
        for name in ("window_high", "window_low"):
            twins.call(f"windows.{name}", "xip", w)
        twins.call("windows.edge", "ip", w)
        for slots in streams_of:
            twins.call("windows.covered", "xip", w, *slots)
            twins.call("windows.share", "xip", w, *slots)
        twins.call("windows.coverage", "xip", w, s.RANGE_DOWN)
    for name in ("same_size_pairs", "alternation", "path", "turnover", "top_size", "size_entropy"):
        twins.call(f"prints.{name}", "xi", twins.p[s.P_PRINTS])
    twins.call("digits.regularity", "x", twins.p[s.P_DIGITS])
    for name in ("benford", "round_share"):
        twins.call(f"digits.{name}", "xi", twins.p[s.P_DIGITS])
    twins.call("digits.hill", "xi", twins.p[s.P_TAIL])
    twins.call("trades.average_price", "xi", twins.i[s.AT] + 5)
    twins.call("trades.faded", "xi", 60 * SECOND, twins.p[twins.p[s.P_AVERAGES] + s.A_FLOAT], twins.i[s.AT] + 5)


@pytest.mark.parametrize("seed", range(4))
def test_jitted_functions_give_the_bits_of_the_plain_ones(seed: int) -> None:
    rng = np.random.default_rng(seed)
    twins = Twins()
    at = START - 7200 * SECOND
    for _ in range(300):
        at += int(rng.exponential(5 * SECOND))
        source = int(rng.choice([s.TURNOVER, s.BUY_TURNOVER, s.RUSH_BUY_LEVELS]))
        swept = twins.call("trades.past_sweep", "xi", at, float(rng.choice([99.0, 100.0])), int(rng.choice([1, -1])))
        twins.call("baselines.past", "xpq", at, source, float(rng.lognormal(0, 2)) * int(swept))
        price = float(rng.lognormal(4, 0.1))
        twins.call("trades.average_each", "xip", at, price)
        twins.call("trades.average", "xi", at, price)
    twins.call("baselines.end_past", "xpq")
    at = START
    price = 100.0
    for number in range(2500):
        at += int(
            rng.choice([0, 1_000, 60_000, 3 * SECOND, 700 * SECOND, 90_000 * SECOND], p=[0.3, 0.3, 0.29, 0.1, 0.0095, 0.0005])
        )
        if at > twins.i[s.AT]:
            _forward(twins, at)
        price = max(1.0, price + float(rng.choice([0.0, 0.25, -0.25, 3.0, -3.0], p=[0.5, 0.2, 0.2, 0.05, 0.05])))
        kind = float(rng.random())
        if kind < 0.7:
            _trade(twins, rng, price)
        elif kind < 0.98:
            _book(twins, rng, price)
        else:
            _news(twins, rng)
        if number % 25 == 0:
            _read(twins)
            twins.compare()
    _read(twins)
    twins.compare()
    # All that was counted one by one is what is kept.
    counted = list(twins.x)
    twins.call("digits.recount", "xi", *(twins.p[part] for part in KEPT))
    twins.compare()
    assert twins.x == pytest.approx(counted, abs=0, rel=0, nan_ok=True)


@pytest.mark.parametrize(("to", "start"), [(0, 3), (3, 0), (2, 2)])
def test_blocks_that_overlap_move_whole(to: int, start: int) -> None:
    plain, each = list(map(float, range(10))), list(map(float, range(10)))
    blocks.copy(plain, to, start, 6)
    copy_each(each, to, start, 6)
    assert plain == each


def test_numbers_at_the_ends_of_floats_are_observed_alike() -> None:
    twins = Twins()
    for value in (5e-324, 1e-300, 1e300, math.inf, math.nan, -1.0, 0.0, *(3.0 for _ in range(200))):
        twins.call("baselines.observe", "xpq", twins.baselines[0], value, 1.0, 0.0)
    for _ in range(60):
        twins.call("baselines.observe", "xpq", twins.baselines[0], 2.0, 3.0, 25.0)
    twins.call("baselines.observe", "xpq", twins.baselines[0], 2.0, 3.0, 0.0)
    twins.compare()


def test_every_function_of_the_parts_compiles() -> None:
    test_jitted_functions_give_the_bits_of_the_plain_ones(99)
    test_numbers_at_the_ends_of_floats_are_observed_alike()
    missed = [name for name, function in _jitted().items() if not function.signatures and not name.startswith("blocks.")]
    assert missed == []
