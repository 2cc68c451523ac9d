"""Kept prints and removals against plain counts."""

from __future__ import annotations

import math
from collections import Counter, deque
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.features.kernel import prints, removals, sizes
from guard.features.kernel import slots as s
from guard.model import BID, SELL

SECOND = s.SECOND_US
DAY = 86_400 * SECOND
START = 1_763_000_000 * SECOND
AT = s.FLOATS
LENGTH = sizes.PRINTS_CAP * sizes.PRINTS_PARTS + sizes.SIZE_BUCKETS + sizes.PRINTS_TOTALS
FILLS = AT + sizes.PENDING_CAP * sizes.PENDING_PARTS


class Print(NamedTuple):
    """One trade."""

    at: int
    price: float
    amount: float
    side: int


def _tapes() -> st.SearchStrategy[list[Print]]:
    step = st.sampled_from([0, 1000, SECOND, 5 * SECOND, DAY // 2])
    price = st.sampled_from([100.0, 100.5, 99.0, 1e-6])
    amount = st.one_of(st.sampled_from([1.0, 2.0, 1e15]), st.floats(1e-6, 1e6))
    steps = st.tuples(step, price, amount, st.sampled_from([1, -1, 0]))

    def timed(rows: list[tuple[int, float, float, int]]) -> list[Print]:
        at = START
        tape = []
        for gap, *rest in rows:
            at += gap
            tape.append(Print(at, *rest))
        return tape

    return st.lists(steps, min_size=1, max_size=60).map(timed)


def _told(x: list[float], i: list[int]) -> list[float]:
    told = (prints.same_size_pairs, prints.alternation, prints.path, prints.turnover, prints.top_size, prints.size_entropy)
    return [statistic(x, i, AT) for statistic in told]


def _expected(kept: list[Print]) -> list[float]:
    held = Counter(prints._bucket(row.amount) for row in kept)
    top = max(held.values()) / len(kept)
    if len(kept) == 1:
        return [math.nan] * 4 + [top, math.nan]
    steps = list(pairwise(kept))
    turns = [a.side * b.side < 0 for a, b in steps]
    pairs = [turn and a.amount == b.amount and b.at - a.at <= 2 * SECOND for turn, (a, b) in zip(turns, steps, strict=True)]
    path = math.fsum(abs(b.price - a.price) / b.price for a, b in steps)
    flow = math.fsum(b.price * b.amount for _, b in steps)
    largest = math.log(len(kept))
    entropy = (largest - sum(n * math.log(n) for n in held.values()) / len(kept)) / largest
    return [sum(pairs) / len(steps), sum(turns) / len(steps), path, flow, top, entropy]


@settings(max_examples=40, deadline=None)
@given(_tapes(), st.integers(1, 25))
def test_kept_prints_equal_a_plain_count_whatever_came_before(rows: list[Print], copies: int) -> None:
    x, i = [0.0] * (AT + LENGTH), [0] * s.INTEGERS
    kept: deque[Print] = deque(maxlen=sizes.PRINTS_CAP)
    shift = rows[-1].at - START + SECOND
    tape = [row._replace(at=row.at + shift * copy) for copy in range(copies) for row in rows]
    for number, row in enumerate(tape):
        i[s.AT] = row.at
        prints.expire(x, i, prints.ENTROPIES, AT, -1, -1)
        prints.add(x, i, prints.ENTROPIES, AT, row.price, row.amount, row.side, -1, -1)
        while kept and row.at - kept[0].at > DAY:
            kept.popleft()
        kept.append(row)
        if number % 37 == 0 or row is tape[-1]:
            assert i[s.PRINTS_COUNT] == len(kept)
            assert _told(x, i) == pytest.approx(_expected(list(kept)), rel=1e-9, abs=1e-9, nan_ok=True)
    i[s.AT] += DAY + 1
    prints.expire(x, i, prints.ENTROPIES, AT, -1, -1)
    assert i[s.PRINTS_COUNT] == 0
    assert not any(x[AT + sizes.PRINTS_CAP * sizes.PRINTS_PARTS :])


def test_a_huge_print_that_leaves_costs_the_rest_no_precision() -> None:
    x, i = [0.0] * (AT + LENGTH), [0] * s.INTEGERS
    for number in range(1200):
        i[s.AT] = START + number * SECOND
        amount = 1e18 if number == 300 else 1.1 + number % 3
        prints.add(x, i, prints.ENTROPIES, AT, 0.1, amount, 1, -1, -1)
    exact = math.fsum(0.1 * (1.1 + number % 3) for number in range(701, 1200))
    assert prints.turnover(x, i, AT) == pytest.approx(exact, rel=1e-12)


def test_sizes_that_all_differ_read_as_the_docstring_says() -> None:
    x, i = [0.0] * (AT + LENGTH), [0] * s.INTEGERS
    for number in range(500):
        prints.add(x, i, prints.ENTROPIES, AT, 1.0, 0.37 + number * 0.013, 1, -1, -1)
    assert prints.top_size(x, i, AT) <= 0.012
    assert 0.92 < prints.size_entropy(x, i, AT) < 0.97


def _removed(*, trades_first: bool, fills: int, levels: int = 1) -> float:
    """Let single fills of 1 take levels of `fills` each, reported by the book before or after; return what looks unfilled."""
    x, i = [0.0] * (FILLS + sizes.FILLS_CAP * sizes.FILLS_PARTS), [0] * s.INTEGERS
    x[s.MID] = 100.0
    i[s.AT] = START
    prices = [99.99 - 0.01 * level for level in range(levels)]

    def trade() -> None:
        for price in prices:
            for _ in range(fills):
                removals.fill(x, i, AT, FILLS, price, 1.0, SELL)

    if trades_first:
        trade()
        i[s.AT] += 200_000
    for price in prices:
        removals.remove(x, i, AT, FILLS, price, float(fills), BID)
    if not trades_first:
        i[s.AT] += 200_000
        removals.classify(x, i, AT)
        trade()
    i[s.AT] += 2 * SECOND
    removals.classify(x, i, AT)
    assert i[s.PENDING_COUNT] == 0
    return x[s.REMOVED_BID]


@pytest.mark.parametrize("trades_first", [True, False])
@pytest.mark.parametrize(("fills", "levels"), [(1, 1), (100, 1), (20, 20)])
def test_a_level_that_traded_in_single_fills_was_not_removed_unfilled(*, trades_first: bool, fills: int, levels: int) -> None:
    assert _removed(trades_first=trades_first, fills=fills, levels=levels) == 0.0


def test_a_level_that_did_not_trade_was_removed_unfilled_and_lost_fills_are_counted() -> None:
    x, i = [0.0] * (FILLS + sizes.FILLS_CAP * sizes.FILLS_PARTS), [0] * s.INTEGERS
    x[s.MID] = 100.0
    i[s.AT] = START
    removals.remove(x, i, AT, FILLS, 99.9, 5.0, BID)
    i[s.AT] += 2 * SECOND
    removals.classify(x, i, AT)
    assert x[s.REMOVED_BID] == 5.0 * 99.9
    for number in range(sizes.FILLS_CAP + 3):
        removals.fill(x, i, AT, FILLS, 99.0 - number, 1.0, SELL)
    assert i[s.OVERFLOW] == 3
