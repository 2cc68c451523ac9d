"""The book: one source, plain and jitted; and what of a level counts as added lately."""

from __future__ import annotations

import math

import numpy as np
import pytest
from features.kernel.subset import jitted
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.features.kernel import book
from guard.features.kernel import slots as s
from guard.features.kernel.sizes import BOOK_CAP, BOOK_PARTS, FLOW_SIZE

BOOK = s.FLOATS
QUOTES = BOOK + 2 * BOOK_CAP * BOOK_PARTS
SECOND = 1_000_000
START = 1_600_000_000 * SECOND


def blank() -> tuple[list[float], list[int]]:
    return [0.0] * (QUOTES + FLOW_SIZE), [0] * s.INTEGERS


@pytest.mark.parametrize("seed", range(4))
def test_jitted_books_hold_the_same_bits_as_plain_ones(seed: int) -> None:
    twins = jitted("book")
    dice = np.random.default_rng(seed)
    x, i = blank()
    array_x, array_i = np.array(x), np.array(i, np.int64)
    at = START
    for _ in range(1_500):
        at += int(dice.integers(0, 2 * SECOND))
        side = 1 if dice.random() < 0.5 else -1
        # Seldom a level beyond the other side's best; sizes of every magnitude; a fifth are removals.
        price = round(100.0 - side * float(dice.integers(-1, 170)) * 0.07, 2)
        size = 0.0 if dice.random() < 0.2 else float(dice.lognormal(0.0, 3.0))
        is_full = int(dice.random() < 0.05)
        told = book.level(x, i, BOOK, at, price, size, side, is_full, QUOTES)
        assert told == twins[book.level](array_x, array_i, BOOK, at, price, size, side, is_full, QUOTES)
        if dice.random() < 0.5:
            book.settle(x, i, BOOK)
            twins[book.settle](array_x, array_i, BOOK)
            book.flow(x, i, BOOK, QUOTES, is_full)
            twins[book.flow](array_x, array_i, BOOK, QUOTES, is_full)
            value = float(dice.lognormal(6.0, 3.0))
            band = float(dice.random()) * 0.1
            for each in (1, -1):
                assert np.array_equal(
                    [book.depth(x, i, BOOK, each, band)], [twins[book.depth](array_x, array_i, BOOK, each, band)], equal_nan=True
                )
                assert book.reach(x, i, BOOK, each, value) == twins[book.reach](array_x, array_i, BOOK, each, value)
            walks = [math.nan] * 6
            array_walks = np.array(walks)
            for each, share in zip([1, -1, -1, 1, 1, -1, 1], dice.choice([0.0, 0.3, 0.3, 0.7, 1.0], 7), strict=True):
                whole = book.depth(x, i, BOOK, each, band * share)
                told = book.depth_on(x, i, BOOK, each, band * share, walks, 0 if each > 0 else 3)
                arguments = (array_x, array_i, BOOK, each, band * share, array_walks, 0 if each > 0 else 3)
                assert np.array_equal([whole, whole], [told, twins[book.depth_on](*arguments)], equal_nan=True)
            assert np.array_equal([book.spread(x)], [twins[book.spread](array_x)], equal_nan=True)
        if dice.random() < 0.002:
            book.clear(i)
            twins[book.clear](array_i)
    assert np.array(x).tobytes() == array_x.tobytes()
    assert i == array_i.tolist()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 200), st.integers(0, 6)), min_size=1, max_size=300), st.sampled_from([1, -1]))
def test_a_side_keeps_the_best_128_of_what_a_dict_keeps(changes: list[tuple[int, int]], side: int) -> None:
    x, i = blank()
    kept: dict[float, float] = {}
    for number, (step, size) in enumerate(changes):
        key = -float(step)
        book.level(x, i, BOOK, START + number, key * side + 1_000.0, float(size), side, 0, -1)
        if size:
            kept[key * side + 1_000.0] = float(size)
        else:
            kept.pop(key * side + 1_000.0, None)
        kept = dict(sorted(kept.items(), key=lambda level: side * level[0])[-BOOK_CAP:])
    start = BOOK if side > 0 else BOOK + BOOK_CAP * BOOK_PARTS
    count = i[s.BIDS if side > 0 else s.ASKS]
    assert [side * key for key in x[start : start + count]] == list(kept)
    assert x[start + BOOK_CAP : start + BOOK_CAP + count] == list(kept.values())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9)), min_size=2, max_size=80))
def test_never_more_counts_as_lately_added_than_was_added_in_30_s(changes: list[tuple[int, int]]) -> None:
    x, i = blank()
    at = 0
    size = 0
    added: list[tuple[int, int]] = []
    for waited, new in changes:
        at += waited
        counted = book.level(x, i, BOOK, START + at * SECOND, 100.0, float(new), 1, 0, -1)
        assert 0.0 <= counted <= min(sum(amount for when, amount in added if at - when <= 30), max(0, size - new))
        if new > size:
            added.append((at, new - size))
        size = new


def removed_after(*sizes: tuple[int, float]) -> float:
    """Set one bid to these sizes at these seconds, and return what its last change counted as removed."""
    x, i = blank()
    return [book.level(x, i, BOOK, START + second * SECOND, 100.0, size, 1, 0, -1) for second, size in sizes][-1]


def test_an_old_large_order_is_not_renewed_by_small_ones_at_its_price() -> None:
    busy = [(second, 1_000.0 + second) for second in range(1, 60)]
    assert removed_after((0, 1_000.0), *busy, (60, 0.0)) <= 30.0


def test_an_order_that_is_taken_away_within_30_s_counts_whole_and_later_not_at_all() -> None:
    assert removed_after((0, 10.0), (30, 0.0)) == 10.0
    assert removed_after((0, 10.0), (31, 0.0)) == 0.0
    assert removed_after((0, 10.0), (5, 4.0)) == 6.0


def test_a_large_order_on_top_of_a_small_one_counts_whole() -> None:
    assert removed_after((0, 1.0), (25, 1_001.0), (40, 0.0)) == 1_000.0


def test_orders_that_come_one_after_another_count_together() -> None:
    assert removed_after((0, 10.0), (3, 20.0), (6, 30.0), (9, 0.0)) == 30.0


def test_levels_of_a_full_book_are_no_news() -> None:
    x, i = blank()
    book.level(x, i, BOOK, START, 100.0, 5.0, 1, 1, -1)
    assert book.level(x, i, BOOK, START + SECOND, 100.0, 0.0, 1, 0, -1) == 0.0


@pytest.mark.parametrize("newest", [1, -1])
def test_the_side_that_came_last_wins_over_what_it_crosses(newest: int) -> None:
    x, i = blank()
    for step in (1, 2, 3):
        book.level(x, i, BOOK, START, 100.0 + step, 1.0, -1, 0, -1)
        book.level(x, i, BOOK, START, 100.0 - step, 1.0, 1, 0, -1)
    book.settle(x, i, BOOK)
    assert (x[s.MID], i[s.CROSSED]) == (100.0, 0)
    book.level(x, i, BOOK, START, 100.0 + 2.5 * newest, 1.0, newest, 0, -1)
    book.settle(x, i, BOOK)
    assert math.isnan(x[s.MID])
    assert (i[s.CROSSED], x[s.CROSSINGS]) == (1, 1.0)
    assert (x[s.BID], x[s.ASK]) == ((102.5, 103.0) if newest > 0 else (97.0, 97.5))
    book.settle(x, i, BOOK)
    assert (x[s.MID], i[s.CROSSED]) == (0.5 * (x[s.BID] + x[s.ASK]), 0)


def test_an_empty_side_leaves_mid_and_spread_unknown() -> None:
    x, i = blank()
    book.level(x, i, BOOK, START, 100.0, 1.0, 1, 0, -1)
    book.settle(x, i, BOOK)
    assert x[s.BID] == 100.0
    assert all(math.isnan(value) for value in (x[s.ASK], x[s.MID], book.spread(x)))
    assert book.depth(x, i, BOOK, -1, 0.05) == 0.0
