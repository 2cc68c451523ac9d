from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guard.model import ASK, BID, BUY, SELL
from guard_sim.book import Book

CHANGES = st.lists(st.tuples(st.sampled_from([BID, ASK]), st.integers(1, 40), st.integers(0, 9)), max_size=60)


def of(changes: list[tuple[int, int, int]]) -> Book:
    book = Book()
    for side, tick, lots in changes:
        # Bids below 100, asks above: a book never crosses by what rests in it.
        book.set(side, 100 - side * tick, lots)
    return book


@given(CHANGES)
def test_levels_come_best_first_and_hold_what_was_set_last(changes: list[tuple[int, int, int]]) -> None:
    book = of(changes)
    expected: dict[int, dict[int, int]] = {BID: {}, ASK: {}}
    for side, tick, lots in changes:
        expected[side][100 - side * tick] = lots
    for side in (BID, ASK):
        resting = {tick: lots for tick, lots in expected[side].items() if lots}
        assert book.levels(side) == sorted(resting.items(), reverse=side == BID)


@given(CHANGES, CHANGES)
def test_a_snapshot_and_the_diffs_after_it_make_the_book(
    before: list[tuple[int, int, int]], after: list[tuple[int, int, int]]
) -> None:
    book = of(before)
    snapshot = {side: dict(book.levels(side)) for side in (BID, ASK)}
    last_id = book.update_id
    for side, tick, lots in after:
        book.set(side, 100 - side * tick, lots)
    diff = book.flush()
    if diff is not None:
        assert diff.first_id <= last_id + 1 <= diff.last_id + 1
        for side, tick, lots in diff.levels:
            snapshot[side][tick] = lots
    for side in (BID, ASK):
        assert {tick: lots for tick, lots in snapshot[side].items() if lots} == dict(book.levels(side))


@given(CHANGES)
def test_diffs_count_on_without_a_hole(changes: list[tuple[int, int, int]]) -> None:
    book, last_id = Book(update_id=7), 7
    for side, tick, lots in changes:
        book.set(side, 100 - side * tick, lots)
        diff = book.flush()
        if diff is not None:
            assert diff.first_id == last_id + 1
            last_id = diff.last_id
    assert last_id == book.update_id


@given(CHANGES, st.sampled_from([BUY, SELL]), st.integers(1, 200))
def test_a_taker_fills_the_best_levels_first_and_never_more_than_rests(
    changes: list[tuple[int, int, int]], side: int, lots: int
) -> None:
    book = of(changes)
    other = ASK if side == BUY else BID
    before = book.levels(other)
    fills = book.take(side, lots)
    assert sum(fill.lots for fill in fills) == min(lots, sum(level for _, level in before))
    assert [fill.tick for fill in fills] == [tick for tick, _ in before][: len(fills)]


def test_a_limit_stops_the_taker_at_its_price() -> None:
    book = of([(ASK, 1, 5), (ASK, 2, 5), (ASK, 3, 5)])
    assert [fill.tick for fill in book.take(BUY, 100, limit=102)] == [101, 102]
