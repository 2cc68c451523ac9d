"""Readers: the table against the fields, plain against jitted, and what readers say against slower ways of saying it."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest
from features.kernel.subset import jitted

from guard.features.fields import FIELDS, FIELDS_BY_NAME
from guard.features.kernel import readers
from guard.features.kernel import slots as s
from guard.features.kernel.encoding import TABLE, encoded
from guard.features.kernel.groups import GROUP_OF, GROUPS
from guard.features.kernel.layout import Layout
from guard.features.kernel.readers import READERS, read_leaf
from guard.features.kernel.sizes import BOOK_CAP, BOOK_PARTS, PRINTS_CAP
from guard.features.kernel.windows import covered, edge
from guard.features.tables import Leaf, Type

if TYPE_CHECKING:
    from guard.features.tables import Argument

SECOND = 1_000_000
NOW = 1_600_000_000 * SECOND
MODULES = (
    "windows", "baselines", "trades", "digits", "prints", "book", "reading", "depths", "hours", "trade_readers", "book_readers",
    "peer_readers", "market_readers", "readers",
)  # fmt: skip


def values(argument: Argument) -> list[float | int | str]:
    if argument.name == "tau":
        return [60 * SECOND, 600 * SECOND]
    if argument.type is Type.DURATION:
        return [60 * SECOND, 1_800 * SECOND] if argument.bounds else [21_600 * SECOND]
    return list(argument.choices) if argument.choices else [0.01]


LEAVES = [Leaf(field.name, chosen) for field in FIELDS for chosen in product(*map(values, field.arguments))]


class Markets:
    """Some markets whose rows hold numbers by chance, each slot of a kind that it may hold."""

    def __init__(self, seed: int, leaves: list[Leaf] = LEAVES, count: int = 5) -> None:
        self.layout = Layout(leaves)
        self.p, self.q = self.layout.plan, self.layout.numbers
        self.dice = np.random.default_rng(seed)
        rows = [self._row(count) for _ in range(count)]
        self.X = [x for x, _ in rows]
        self.I = [i for _, i in rows]
        for row, i in enumerate(self.I):
            i[s.SIBLING] = (row + 1) % count
        for x in self.X:
            for start in (self.layout.book, self.layout.book + BOOK_CAP * BOOK_PARTS):
                x[start : start + BOOK_CAP] = sorted(x[start : start + BOOK_CAP])

    def _row(self, count: int) -> tuple[list[float], list[int]]:
        dice = self.dice
        x, i = self.layout.blank()
        x[:] = dice.lognormal(0.0, 1.0, len(x)).tolist()
        for slot in dice.integers(0, s.FLOATS, 6).tolist() * int(dice.random() < 0.5):
            x[slot] = s.NAN
        lost = float(dice.integers(0, 100)) * SECOND
        for group in GROUPS.values():
            x[group.down] = x[group.down + 1] = lost
        if dice.random() < 0.8:
            x[s.BID], x[s.MID], x[s.ASK] = 0.99, 1.0, 1.01
        for slot in (s.AT, s.TRADES_SINCE, s.BOOK_SINCE, s.TRADES_BEGAN, s.BOOK_BEGAN, s.EWMA_BEGAN, s.EWMA_AT):
            i[slot] = NOW - int(dice.integers(0, 3_000)) * SECOND
        i[s.AT] = NOW
        for slot in (s.TRADES_SINCE, s.BOOK_SINCE, s.EWMA_BEGAN):
            if dice.random() < 0.1:
                i[slot] = s.NEVER
        i[s.STREAMS] = 7
        for slot in (s.BOOK_RECEIVED, s.TRADE_RECEIVED):
            i[slot] = NOW + int(dice.integers(-2, 2)) * SECOND if dice.random() < 0.9 else -1
        i[s.BIDS], i[s.ASKS] = int(dice.integers(0, 128)), int(dice.integers(0, 128))
        i[s.BOOK_OK], i[s.CROSSED] = int(dice.random() < 0.8), int(dice.random() < 0.2)
        i[s.PRINTS_COUNT], i[s.PRINTS_TAIL] = int(dice.integers(0, PRINTS_CAP)), int(dice.integers(0, PRINTS_CAP))
        i[s.REFERENCE] = int(dice.integers(-1, count))
        for clock in self.layout.clocks:
            i[clock.slot] = NOW // clock.width_us - int(dice.random() < 0.2)
            i[clock.slot + 1] = int(dice.integers(0, clock.size))
            first = clock.slot + s.CLOCK_HEAD
            i[first : first + clock.size] = dice.integers(0, clock.size, clock.size).tolist()
        for ring in self.layout.rings:
            i[ring.since] = NOW - int(dice.integers(0, 3_000)) * SECOND
        return x, i

    def places(self) -> list[tuple[Leaf, int]]:
        first = self.p[s.P_LEAVES]
        return [(leaf, first + number * s.LEAF_STRIDE) for number, leaf in enumerate(self.layout.leaves)]


def same(one: float, other: float) -> bool:
    return np.float64(one).tobytes() == np.float64(other).tobytes() or (math.isnan(one) and math.isnan(other))


def test_every_field_is_read_and_every_reader_has_a_field() -> None:
    assert set(TABLE) == set(FIELDS_BY_NAME)
    layout = Layout(LEAVES)
    assert {encoded(layout, leaf, [])[s.L_OP] for leaf in LEAVES} == set(range(len(READERS)))


def test_the_dispatch_calls_the_reader_of_each_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for op, reader in enumerate(READERS):
        monkeypatch.setattr(readers, reader.__name__, lambda *_, op=op: float(op))
    assert [read_leaf([], [], [], [], [op], [], 0, 0) for op in range(len(READERS))] == list(map(float, range(len(READERS))))


def test_a_record_has_fifteen_numbers_and_its_float_stands_in_the_plan() -> None:
    layout = Layout(LEAVES)
    q = [7.0]
    record = encoded(layout, Leaf("depth", (0.01, "ask")), q)
    assert len(record) == s.LEAF_STRIDE
    assert (q, record[s.L_A], record[s.L_B], record[s.L_STREAM]) == ([7.0, 0.01], 1, -1, 2)
    assert [encoded(layout, leaf, q)[s.L_STREAM] for leaf in (Leaf("price"), Leaf("usd_rate"))] == [1, 0]


def test_an_unknown_field_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="moon"):
        encoded(Layout(LEAVES), Leaf("moon"), [])


@pytest.mark.parametrize("seed", range(3))
def test_plain_readers_and_jitted_dispatch_give_the_same_bits_and_change_nothing(seed: int) -> None:
    twin = jitted(*MODULES)[read_leaf]
    told = 0
    for number in range(4):
        at = Markets(100 * seed + number)
        before = repr((at.X, at.I))
        floats, integers = np.array(at.X), np.array(at.I, np.int64)
        p, q = np.array(at.p, np.int64), np.array(at.q)
        for row in range(len(at.X)):
            for leaf, place in at.places():
                plain = READERS[at.p[place]](at.X, at.I, at.X[row], at.I[row], at.p, at.q, place, NOW)
                assert same(plain, read_leaf(at.X, at.I, at.X[row], at.I[row], at.p, at.q, place, NOW)), leaf
                assert same(plain, twin(floats, integers, floats[row], integers[row], p, q, place, NOW)), leaf
                assert isinstance(plain, float), leaf
                told += not math.isnan(plain)
        assert repr((at.X, at.I)) == before
        assert floats.tobytes() == np.array(at.X).tobytes()
    assert told > 300


def test_totals_written_out_equal_the_difference_at_the_edge_where_the_window_is_covered() -> None:
    streams = {"trades": (s.TRADES_SINCE, s.TRADES_BEGAN, 0), "book": (s.BOOK_SINCE, s.BOOK_BEGAN, 1)}
    columns = {"volume": [s.VOLUME], "crossings": [s.CROSSINGS], "rush": [s.RUSH_BUY_LEVELS, s.RUSH_SELL_LEVELS]}
    durations = (SECOND, 300 * SECOND, 301 * SECOND, 1_800 * SECOND)
    leaves = [Leaf(name, (us, "both") if name == "rush" else (us,)) for name in columns for us in durations]
    seen = set()
    for seed in range(20):
        at = Markets(seed, leaves)
        for (leaf, place), row in product(at.places(), range(len(at.X))):
            x, i = at.X[row], at.I[row]
            w = place + s.L_WINDOW
            wanted = s.NAN
            since, began, down = streams[FIELDS_BY_NAME[leaf.field].stream]
            if covered(x, i, at.p, w, since, began, GROUPS[GROUP_OF[leaf.field]].down + down):
                grown = [x[column] - x[edge(i, at.p, w) + column] for column in columns[leaf.field]]
                wanted = sum(grown[1:], grown[0])
            found = READERS[at.p[place]](at.X, at.I, x, i, at.p, at.q, place, NOW)
            assert same(found, wanted), leaf
            seen.add((at.p[place], math.isnan(found)))
    assert len(seen) == 8


def moved(own: float, others: list[float], books: int) -> float:
    """Return how far most others are away, all on one side: the best that any majority of them agrees on."""
    most = books // 2 + 1
    if books < 2 or len(others) < most:
        return s.NAN
    ordered = sorted(others)
    if ordered[most - 1] < own:
        return own / ordered[most - 1] - 1.0
    return own / max(own, ordered[-most]) - 1.0


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 8, 64])
def test_divergence_is_the_distance_that_most_others_keep_on_one_side(count: int) -> None:
    for seed in range(10):
        at = Markets(seed, [Leaf("divergence", (SECOND,))], count)
        for row, (x, i) in enumerate(zip(at.X, at.I, strict=True)):
            # Few different prices: ties are common.
            x[s.MID] = float(at.dice.integers(1, 6)) if at.dice.random() < 0.9 else s.NAN
            i[s.BOOK_OK] = int(row > count // 2 or at.dice.random() < 0.8)
            i[s.STREAMS] = 7 if at.dice.random() < 0.8 or x[s.MID] == x[s.MID] else 5
        mids = [x[s.MID] if i[s.BOOK_OK] and NOW - i[s.BOOK_RECEIVED] <= SECOND else s.NAN for x, i in zip(at.X, at.I, strict=True)]
        place = at.p[s.P_LEAVES]
        for row, (x, i) in enumerate(zip(at.X, at.I, strict=True)):
            books = sum(each[s.STREAMS] == 7 for each in at.I) - (i[s.STREAMS] == 7)
            known = [mid for other, mid in enumerate(mids) if other != row and not math.isnan(mid)]
            wanted = moved(mids[row], known, books) if mids[row] == mids[row] else s.NAN
            assert same(READERS[at.p[place]](at.X, at.I, x, i, at.p, at.q, place, NOW), wanted)


def test_divergence_looks_at_63_other_markets_at_most() -> None:
    at = Markets(1, [Leaf("divergence", (SECOND,))], 100)
    for row, (x, i) in enumerate(zip(at.X, at.I, strict=True)):
        i[s.BOOK_OK], i[s.BOOK_RECEIVED], i[s.STREAMS], x[s.MID] = 1, NOW, 7, 100.0 + row
    place = at.p[s.P_LEAVES]
    found = READERS[at.p[place]](at.X, at.I, at.X[0], at.I[0], at.p, at.q, place, NOW)
    assert found == moved(100.0, [100.0 + row for row in range(1, 64)], 63)


def test_no_reader_divides_by_zero() -> None:
    at = Markets(3)
    for x, i in zip(at.X, at.I, strict=True):
        x[:] = [0.0] * len(x)
        i[s.BOOK_OK], i[s.CROSSED], i[s.REFERENCE] = 1, 0, 0
        for slot in (s.TRADES_SINCE, s.BOOK_SINCE, s.TRADES_BEGAN, s.BOOK_BEGAN, s.EWMA_BEGAN):
            i[slot] = 0
        for ring in at.layout.rings:
            i[ring.since] = 0
    for leaf, place in at.places():
        for x, i in zip(at.X, at.I, strict=True):
            found = READERS[at.p[place]](at.X, at.I, x, i, at.p, at.q, place, NOW)
            assert not math.isinf(found), leaf
