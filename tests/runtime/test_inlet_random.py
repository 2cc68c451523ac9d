"""Whatever comes into the inlet, in whatever order and within whatever limits: nothing goes uncounted or unmarked."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st
from runtime.test_inlet import MS, Desk

from guard.model import Channel, Flag, Kind, Status
from guard.runtime.inlet import Limits


@st.composite
def streams(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    kinds = st.sampled_from(["trade", "history", "status", "diff", "diff", "diff", "full", "turn"])
    return draw(st.lists(st.tuples(kinds, st.integers(0, 2), st.integers(1, 6)), max_size=120))


@settings(max_examples=150, deadline=None)
@example(
    [("history", 2, 5), ("status", 0, 3), ("history", 2, 5), ("diff", 0, 4), ("turn", 1, 3), ("diff", 0, 2)],
    Limits(slice_rows=4, turn_us=1, book_max=2, others_max=4, book_wait_us=MS, others_wait_us=10**9),
    10 * MS,
)
@given(
    streams(),
    st.builds(
        Limits,
        slice_rows=st.integers(1, 6),
        turn_us=st.sampled_from([1, 5 * MS]),
        book_max=st.integers(1, 30),
        others_max=st.integers(4, 40),
        book_wait_us=st.sampled_from([MS, 50 * MS]),
        others_wait_us=st.sampled_from([60 * MS, 10**9]),
    ),
    st.sampled_from([0, MS, 10 * MS]),
)
def test_whatever_comes_is_taken_or_counted_and_marked(events: list[tuple[str, int, int]], limits: Limits, row_us: int) -> None:
    desk = Desk(limits, row_us=row_us)
    sent, sizes = sent_to(desk, events)
    desk.drain()
    assert desk.inlet.waiting == 0
    shedder = desk.inlet.shedder
    got = Counter((row.kind, row.market) for row in desk.taken)
    for market in range(3):
        assert got[Kind.STATUS, market] == sent[Kind.STATUS, market]
        assert got[Kind.TRADE, market] + shedder.trades[market] == sent[Kind.TRADE, market]
        assert got[Kind.LEVEL, market] + shedder.books[market] == sent[Kind.LEVEL, market]
        look_for_holes(desk, market)
    levels = Counter(row.key for row in desk.of(Kind.LEVEL))
    assert all(sizes[key] == count for key, count in levels.items())
    order = [row.at_us for row in desk.taken if row.kind != Kind.GAP]
    assert order == sorted(order)
    for a, b in pairwise(desk.taken):
        if a.kind == Kind.LEVEL and not a.flags & Flag.LAST:
            assert (b.kind, b.key) == (Kind.LEVEL, a.key)


def sent_to(desk: Desk, events: list[tuple[str, int, int]]) -> tuple[Counter[tuple[int, int]], dict[int, int]]:
    """Put events into the inlet; returns how many rows of each kind and market that were, and the size of each book message."""
    sent: Counter[tuple[int, int]] = Counter()
    sizes: dict[int, int] = {}
    for number, (what, market, size) in enumerate(events, 1):
        if what == "turn":
            desk.turn()
        elif what in {"diff", "full"}:
            sizes[number] = size
            desk.message(market, size, full=what == "full", key=number)
            sent[Kind.LEVEL, market] += size
        elif what == "status":
            desk.put(Kind.STATUS, market, side=Channel.ALL, key=Status.LIVE)
            sent[Kind.STATUS, market] += 1
        else:
            desk.trade(market, number, flags=Flag.BACKFILL if what == "history" else 0)
            sent[Kind.TRADE, market] += 1
    return sent, sizes


def look_for_holes(desk: Desk, market: int) -> None:
    """From a dropped message to the next whole book nothing of that book is shown, and a GAP stands at both ends."""
    is_shut, gaps = False, []
    for row in (row for row in desk.taken if row.market == market):
        if row.kind == Kind.GAP:
            gaps.append(row)
            if row.side == Channel.BOOK:
                is_shut = row.key == row.at_us
        assert row.kind != Kind.LEVEL or not is_shut
    shedder = desk.inlet.shedder
    assert is_shut is (market in shedder.holes)
    assert any(row.side == Channel.BOOK for row in gaps) is (shedder.books[market] > 0)
    assert (sum(row.side == Channel.TRADES for row in gaps) >= 2) is (shedder.trades[market] > 0)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 7), st.sampled_from(["change", "whole", "turn"])), max_size=40))
def test_a_message_given_as_a_whole_is_what_its_rows_are_one_by_one(events: list[tuple[int, int, str]]) -> None:
    desks = [Desk(Limits(slice_rows=5, book_max=12, others_max=9), row_us=MS) for _ in range(2)]
    for number, (market, size, what) in enumerate(events):
        for desk in desks:
            desk.clock += 1
        flags = int(Flag.SNAPSHOT) if what == "whole" else 0
        changes = [(1, 1.0 + level, 2.0) for level in range(size)]
        for level, (side, price, amount) in enumerate(changes):
            last = flags | Flag.LAST if level == size - 1 else flags
            now_us = desks[0].clock
            desks[0].inlet.append(
                Kind.LEVEL, market, at_us=now_us, received_us=now_us, price=price, amount=amount, side=side, key=number, flags=last
            )
        now_us = desks[1].clock
        desks[1].inlet.levels(market, changes, at_us=now_us, received_us=now_us, key=number, flags=flags)
        if what == "turn":
            for desk in desks:
                desk.turn()
    for desk in desks:
        desk.drain()
    assert desks[0].taken == desks[1].taken
    assert desks[0].inlet.received == desks[1].inlet.received
