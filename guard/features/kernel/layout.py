"""The layout of a market's rows, made from the leaves that rules name."""

from __future__ import annotations

from array import array
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.features.fields import FIELDS_BY_NAME
from guard.features.kernel import slots as s
from guard.features.kernel.baseline_kinds import DEPTHS, USUAL_SPREAD, Baseline, baseline_at, baseline_key, bucket_edges, depth_kind
from guard.features.kernel.baselines import LOW, MIDDLE
from guard.features.kernel.encoding import encoded
from guard.features.kernel.groups import GROUP_OF, GROUPS, Group
from guard.features.kernel.prints import ENTROPIES
from guard.features.kernel.sizes import (
    BARS_SIZE,
    BASELINE_ANSWERS,
    BASELINE_SIZE,
    BOOK_CAP,
    BOOK_PARTS,
    DIGITS_SIZE,
    FILLS_CAP,
    FILLS_PARTS,
    FLOW_SIZE,
    HOURS_SIZE,
    PENDING_CAP,
    PENDING_PARTS,
    PRINTS_CAP,
    PRINTS_PARTS,
    PRINTS_TOTALS,
    SIZE_BUCKETS,
    TAIL_SIZE,
)
from guard.features.kernel.trades import EWMA_US
from guard.features.tables import WINDOW_BOUNDS_US, WINDOWS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guard.features.tables import Leaf
    from guard.model.market import MarketFacts

__all__ = [
    "Average",
    "Baseline",
    "Clock",
    "Curve",
    "Layout",
    "Ring",
    "Window",
    "layout_of",
    "stream_bits",
    "width_of",
    "windows_of",
]

# Each width divides the next, so that a finer clock that did not pass a bin tells that no coarser one did.
_LADDER_US: Final = (
    50_000, 250_000, 500_000, 1_500_000, 3_000_000, 15_000_000, 45_000_000, 90_000_000, 180_000_000, 540_000_000, 1_080_000_000,
    2_160_000_000, 4_320_000_000,
)  # fmt: skip
_BINS_MIN = 20
_UNEVEN_BINS_MIN = 40


class Clock(NamedTuple):
    """All rings of one width: they close their bins together and keep `size` edges.

    From `slot` on, the integer row holds the number of the open bin, its place, and for each place the number of the edge that it
    holds; `top` (float row) is the open bin's high, `top + 1` its low.
    """

    width_us: int
    size: int
    slot: int
    top: int


class Ring(NamedTuple):
    """One ring of bin edges: snapshots of a group's columns, from `offset` of the float row; integer `since` = since when kept."""

    group: Group
    clock: Clock
    offset: int
    since: int


class Window(NamedTuple):
    """A duration for which a leaf names a group, and the ring it is read from; a record of the plan.

    It begins `back` - 1 bins before the open one: it covers `us` and at most 5 % more.
    """

    us: int
    width_us: int
    size: int
    ring: int
    slot: int
    since: int
    back: int
    columns: int


class Curve(NamedTuple):
    """How much is usually traded at each hour of the day, in deviation from minutes over `us`; see `hours`."""

    us: int
    offset: int


class Average(NamedTuple):
    """An average price with weights that fall to 1/e in `us`: a float, and the integer that tells since when."""

    us: int
    slot: int
    began: int


_SIDES: Final = {"bid": 1, "ask": -1, "both": 0}
STREAM_BITS: Final = {"trades": 1, "book": 2, "peers": 4}
SPREAD_MEDIAN: Final = BASELINE_ANSWERS
# What tells how a market's rows are laid out.
_PARTS: Final = (
    "clocks", "rings", "baselines", "averages", "curves", "home", "floats", "integers", "book", "pending", "fills", "prints",
    "bars", "flow", "digits", "tail",
)  # fmt: skip
_OF_DIGITS: Final = {"prints_regularity", "prints_benford", "prints_round"}
# By how much another market's time, of which windows are read, may be ahead of a market's.
_AHEAD_US: Final = 2_000_000


def average_us(leaf: Leaf) -> int:
    """Return the time of an average price in microseconds."""
    return int(leaf.arguments[0]) if leaf.arguments else EWMA_US


def windows_of(leaves: Iterable[Leaf]) -> set[int]:
    """Return the windows, in microseconds, whose events the kernel keeps for `leaves`."""
    return {int(leaf.arguments[0]) for leaf in leaves if leaf.field in GROUP_OF}


def width_of(us: int) -> int:
    """Return the width of the bins of a window: the widest of which it takes 20, or 40 where they do not fill it evenly."""
    return max(
        width for width in _LADDER_US if us >= width * (_UNEVEN_BINS_MIN if us % width else _BINS_MIN) or width == _LADDER_US[0]
    )


@lru_cache(maxsize=4)
def layout_of(leaves: tuple[Leaf, ...]) -> Layout:
    """Return the layout for `leaves`; one that was made already is there at once. Raises as `Layout` does."""
    return Layout(leaves)


class Layout:
    """Offsets of everything that `leaves` need, the same for every market.

    Parameters
    ----------
    leaves
        The leaves of all formulas. At most 16 distinct windows, each of 1 s to 24 h; otherwise ValueError.
    """

    def __init__(self, leaves: Sequence[Leaf]) -> None:
        self.leaves = tuple(leaves)
        self.floats = s.FLOATS
        self.integers = s.INTEGERS
        self._place_rings(leaves)
        names = {leaf.field for leaf in leaves}
        keys = [baseline_key(leaf) for leaf in leaves]
        # A depth must not depend on what else is read: it brings the usual spread that its band needs.
        self.baselines = self._place_baselines([*keys, USUAL_SPREAD] if names & {"depth", *DEPTHS} else keys)
        self.averages = self._place_averages(leaves)
        self.curves = tuple(
            Curve(us, self._take(HOURS_SIZE))
            for us in sorted({int(leaf.arguments[0]) for leaf in leaves if leaf.field == "hour_shift"})
        )
        self.home = self.integers if self.curves else -1
        self.integers += len(self.curves[:1])
        self.needs_removals = bool(names & {"removed_unfilled", "high_removed"})
        self.needs_prints = any(name.startswith("prints_") for name in names)
        self.book = self._take(2 * BOOK_CAP * BOOK_PARTS)
        self.pending = self._take(PENDING_CAP * PENDING_PARTS) if self.needs_removals else -1
        self.fills = self._take(FILLS_CAP * FILLS_PARTS) if self.needs_removals else -1
        self.prints = self._take(PRINTS_CAP * PRINTS_PARTS + SIZE_BUCKETS + PRINTS_TOTALS) if self.needs_prints else -1
        groups = {GROUP_OF[name] for name in names if name in GROUP_OF}
        self.bars = self._take(BARS_SIZE) if "bars" in groups else -1
        self.flow = self._take(FLOW_SIZE) if "flow" in groups else -1
        self.digits = self._take(DIGITS_SIZE) if names & _OF_DIGITS else -1
        self.tail = self._take(TAIL_SIZE) if "prints_hill" in names else -1
        self.events = 1 if "events" in groups else -1
        self.plan, self.numbers = self._planned()
        # The same as compiled code takes them.
        self.packed_plan, self.packed_numbers = array("q", self.plan), array("d", self.numbers or [0.0])

    def _planned(self) -> tuple[list[int], list[float]]:
        """Return the plan that the kernel's functions read: integers, and the floats they point to."""
        q: list[float] = [*ENTROPIES] if self.needs_prints else []
        tables: dict[int, int] = {}
        for item in self.baselines:
            if item.per_octave not in tables:
                tables[item.per_octave] = len(q)
                q += bucket_edges(item.per_octave)
        rings = self._planned_rings(s.PLAN_HEAD)
        baselines = [
            number
            for item in self.baselines
            for number in (
                item.source, item.bin_us, item.decay_us, item.per_octave, item.offset, item.slot, item.since,
                tables[item.per_octave], item.asks,
            )
        ]  # fmt: skip
        spreads = {(item.kind, item.key): item.offset + SPREAD_MEDIAN for item in self.baselines if item.kind == "spread"}
        usual = spreads.get(USUAL_SPREAD, next(iter(spreads.values()), -1))
        at_rings = s.PLAN_HEAD
        at_baselines = at_rings + len(rings)
        at_leaves = at_baselines + len(baselines)
        head = [0] * s.PLAN_HEAD
        head[s.P_RINGS], head[s.P_RING_COUNT] = at_rings, len(self.clocks)
        head[s.P_BASELINES], head[s.P_BASELINE_COUNT] = at_baselines, len(self.baselines)
        head[s.P_BOOK], head[s.P_PENDING], head[s.P_FILLS], head[s.P_PRINTS] = self.book, self.pending, self.fills, self.prints
        head[s.P_USUAL_SPREAD] = usual
        head[s.P_BARS], head[s.P_FLOW], head[s.P_EVENTS] = self.bars, self.flow, self.events
        head[s.P_DIGITS], head[s.P_TAIL] = self.digits, self.tail
        head[s.P_LEAVES], head[s.P_LEAF_COUNT] = at_leaves, len(self.leaves)
        leaves: list[int] = []
        for leaf in self.leaves:
            record = encoded(self, leaf, q)
            record[s.L_STREAM] = STREAM_BITS.get(FIELDS_BY_NAME[leaf.field].stream, 0)
            leaves += record
        depths = self._planned_depths(at_baselines, q)
        averages = [number for item in self.averages for number in item]
        head[s.P_DEPTHS] = at_leaves + len(leaves)
        head[s.P_DEPTH_COUNT] = len(depths) // s.DEPTH_STRIDE
        head[s.P_AVERAGES], head[s.P_AVERAGE_COUNT] = head[s.P_DEPTHS] + len(depths), len(self.averages)
        minutes = {item.key: number for number, item in enumerate(self.baselines) if item.kind == "minute"}
        curves = [number for item in self.curves for number in (item.offset, at_baselines + minutes[item.us] * s.BASELINE_STRIDE)]
        head[s.P_HOURS], head[s.P_HOUR_COUNT] = head[s.P_AVERAGES] + len(averages), len(self.curves)
        head[s.P_HOME] = self.home
        return [*head, *rings, *baselines, *leaves, *depths, *averages, *curves], q

    def _planned_depths(self, at_baselines: int, q: list[float]) -> list[int]:
        """Return the records of the baselines of depth; their bands are appended to `q`."""
        records: list[int] = []
        for number, item in enumerate(self.baselines):
            if item.source == s.DEPTH:
                _, side, band = item.kind.split("_")
                records += [at_baselines + number * s.BASELINE_STRIDE, len(q), _SIDES[side]]
                q.append(float(band))
        return records

    def _planned_rings(self, start: int) -> list[int]:
        """Return the records of the clocks, from `start` of the plan on, and after them those of their rings."""
        clocks: list[int] = []
        rings: list[int] = []
        first = start + len(self.clocks) * s.RING_STRIDE
        for clock in self.clocks:
            begin = first + len(rings)
            has_range = 0
            for ring in self.rings:
                if ring.clock == clock:
                    group = ring.group
                    has_range |= group.name == "range"
                    rings += [ring.offset, group.first, group.columns, group.sums, ring.since]
            clocks += [*clock, begin, first + len(rings), int(has_range)]
        return clocks + rings

    def _take(self, count: int) -> int:
        """Reserve floats and return their offset."""
        offset = self.floats
        self.floats += count
        return offset

    def _place_rings(self, leaves: Sequence[Leaf]) -> None:
        """Make a clock for every width, and a ring for every group that a leaf reads over a window of that width."""
        durations = windows_of(leaves)
        if len(durations) > WINDOWS_MAX:
            raise ValueError(f"rules name {len(durations)} distinct windows; at most {WINDOWS_MAX} are kept")
        backs: dict[int, int] = {}
        for us in sorted(durations):
            if not WINDOW_BOUNDS_US[0] <= us <= WINDOW_BOUNDS_US[1]:
                raise ValueError(f"a window lasts 1 s to 24 h; found {us / 1e6:g} s")
            backs[us] = -(-us // width_of(us)) + 1
        ahead = {width_of(int(leaf.arguments[0])) for leaf in leaves if leaf.field in {"reference_ret", "peers_ret"}}
        clocks: dict[int, Clock] = {}
        for width in sorted({width_of(us) for us in durations}):
            size = max(backs[us] for us in durations if width_of(us) == width)
            size += -(-_AHEAD_US // width) if width in ahead else 0
            slot = self.integers
            self.integers += s.CLOCK_HEAD + size
            clocks[width] = Clock(width, size, slot, self._take(2) if clocks else s.OPEN_HIGH)
        self.clocks = tuple(clocks.values())
        rings: dict[tuple[int, str], Ring] = {}
        self.windows: dict[tuple[int, str], Window] = {}
        order = {name: number for number, name in enumerate(GROUPS)}
        named = {(int(leaf.arguments[0]), GROUP_OF[leaf.field]) for leaf in leaves if leaf.field in GROUP_OF}
        for us, name in sorted(named, key=lambda each: (each[0], order[each[1]])):
            clock, group = clocks[width_of(us)], GROUPS[name]
            if (clock.width_us, name) not in rings:
                rings[clock.width_us, name] = Ring(group, clock, self._take(clock.size * group.columns), self.integers)
                self.integers += 1
            ring = rings[clock.width_us, name]
            self.windows[us, name] = Window(
                us, clock.width_us, clock.size, ring.offset - group.first, clock.slot, ring.since, backs[us], group.columns
            )
        self.rings = tuple(sorted(rings.values(), key=lambda ring: (ring.clock.width_us, order[ring.group.name])))

    def _place_baselines(self, keys: Iterable[tuple[str, int] | None]) -> tuple[Baseline, ...]:
        """Reserve one histogram for each kind and duration."""
        placed = []
        for kind, us in sorted({key for key in keys if key is not None}):
            placed.append(baseline_at(kind, us, self._take(BASELINE_SIZE), self.integers))
            self.integers += 1
        return tuple(placed)

    def _place_averages(self, leaves: Sequence[Leaf]) -> tuple[Average, ...]:
        """Reserve one average for each time but the one that every market has."""
        placed = []
        for us in sorted({average_us(leaf) for leaf in leaves if leaf.field == "ewma_price"} - {EWMA_US}):
            placed.append(Average(us, self._take(1), self.integers))
            self.integers += 1
        return tuple(placed)

    def baseline(self, kind: str, us: int) -> Baseline:
        """Return the baseline of `kind` over `us`."""
        return next(item for item in self.baselines if item.kind == kind and item.key == us)

    def usual_depth(self, leaf: Leaf) -> Baseline:
        """Return the baseline that a leaf of usual depth reads."""
        return self.baseline(depth_kind(leaf), int(leaf.arguments[2]))

    def average(self, leaf: Leaf) -> int:
        """Return which of the averages a leaf reads, -1 for the one that every market has."""
        us = average_us(leaf)
        return next((number for number, item in enumerate(self.averages) if item.us == us), -1)

    def curve(self, us: int) -> int:
        """Return which of the curves of the day deviates from minutes over `us`."""
        return next(number for number, item in enumerate(self.curves) if item.us == us)

    def window(self, us: int, group: str) -> Window:
        """Return the window of a duration over which a leaf reads a group."""
        return self.windows[us, group]

    def any_window(self, us: int) -> tuple[Group, Window]:
        """Return one of the windows of a duration, and its group; KeyError where no leaf names the duration."""
        for (each, name), window in self.windows.items():
            if each == us:
                return GROUPS[name], window
        raise KeyError(us)

    def place(self, window: Window) -> list[int]:
        """Return a plan that holds one window's record, at 0."""
        return list(window)

    def has_room_of(self, other: Layout) -> bool:
        """Whether a market's rows are laid out alike under both, so that nothing needs to move."""
        return all(getattr(self, part) == getattr(other, part) for part in _PARTS)

    def blank(self) -> tuple[list[float], list[int]]:
        """Return the two rows of a market of which nothing is known."""
        x = [0.0] * self.floats
        i = [0] * self.integers
        for slot in (
            s.PRICE, s.MID, s.HIGH, s.LOW, s.OPEN_HIGH, s.OPEN_LOW, s.EWMA, s.EWMA_PRICE, s.SECOND_CLOSE, s.BUYER_PRICE,
            s.SELLER_PRICE, s.PAST_BUYER_PRICE, s.PAST_SELLER_PRICE, s.TICK, s.TICK_SEEN, s.USD_RATE, s.VOLUME_24H,
            s.MINUTE_PRICE, s.MINUTE_REFERENCE, s.EVALUATED_PRICE, s.BID, s.ASK, s.PAIR_PRICE, s.PAIR_REFERENCE,
        ):  # fmt: skip
            x[slot] = s.NAN
        for slot in (
            s.TRADES_SINCE, s.BOOK_SINCE, s.TRADES_BEGAN, s.BOOK_BEGAN, s.NEXT_CLOSE, s.EWMA_BEGAN,
        ):  # fmt: skip
            i[slot] = s.NEVER
        i[s.REFERENCE] = i[s.HEAP_AT] = -1
        i[s.DUE] = i[s.DEADLINE] = s.NEVER
        i[s.TRADES_LOST] = i[s.BOOK_LOST] = i[s.TRADE_RECEIVED] = i[s.BOOK_RECEIVED] = i[s.EVALUATED_BIN] = -1
        for clock in self.clocks:
            x[clock.top] = x[clock.top + 1] = s.NAN
            i[clock.slot] = -1
        for ring in self.rings:
            i[ring.since] = s.NEVER
        for item in self.baselines:
            i[item.slot] = -1
            x[item.offset] = 1.0
            for at in range(item.offset + BASELINE_ANSWERS, item.offset + BASELINE_ANSWERS + 4):
                x[at] = s.NAN
            if item.asks & s.LOWS:
                x[item.offset + LOW] = x[item.offset + MIDDLE] = s.NAN
        for average in self.averages:
            x[average.slot], i[average.began] = s.NAN, s.NEVER
        return x, i


def stream_bits(facts: MarketFacts) -> int:
    """Return a market's streams as bits."""
    return sum(bit for name, bit in STREAM_BITS.items() if name in facts.streams)
