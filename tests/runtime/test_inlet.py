"""The inlet under more rows than the pipeline takes: what waits, what goes, and what stands in its place."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple

from guard.model import Batch, Channel, Flag, Kind, Status
from guard.runtime.inlet import Inlet, Limits

if TYPE_CHECKING:
    from collections.abc import Callable

MS = 1_000


class Row(NamedTuple):
    kind: int
    market: int
    side: int
    key: int
    flags: int
    at_us: int


class Desk:
    """A pipeline that takes its time, a loop that a test turns, and an exchange that can be asked for a book."""

    def __init__(self, limits: Limits | None = None, *, row_us: int = 0, answers: bool = False) -> None:
        self.now_us = 10**12
        self.row_us = row_us
        self.taken: list[Row] = []
        self.sizes: list[int] = []
        self.asked: list[int] = []
        self.answers = answers
        self.turns: deque[Callable[[], None]] = deque()
        self.inlet = Inlet(
            self._take,
            call_soon=self.turns.append,
            now_us=lambda: self.clock,
            monotonic_us=lambda: self.now_us,
            resync=self._resync,
            limits=limits,
        )
        self.clock = 0

    def _take(self, batch: Batch) -> None:
        self.sizes.append(len(batch))
        self.now_us += self.row_us * len(batch)
        self.taken += [
            Row(batch.kind[n], batch.market[n], batch.side[n], batch.key[n], batch.flags[n], batch.at_us[n])
            for n in range(len(batch))
        ]

    def _resync(self, market: int) -> None:
        self.asked.append(market)
        if self.answers:
            self.message(market, 3, full=True)

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            for _ in range(len(self.turns)):
                self.turns.popleft()()

    def drain(self) -> None:
        while self.turns:
            self.turns.popleft()()

    def put(self, kind: int, market: int, *, side: int = 1, key: int = 0, flags: int = 0) -> None:
        self.clock += 1
        self.inlet.append(kind, market, at_us=self.clock, received_us=self.clock, price=1.0, side=side, key=key, flags=flags)

    def trade(self, market: int, key: int = 0, *, flags: int = 0) -> None:
        self.put(Kind.TRADE, market, key=key, flags=flags)

    def message(self, market: int, size: int = 2, *, full: bool = False, key: int = 0) -> None:
        for number in range(size):
            flags = Flag.SNAPSHOT if full else Flag.NONE
            self.put(Kind.LEVEL, market, key=key, flags=flags | Flag.LAST if number == size - 1 else flags)

    def of(self, *kinds: int, market: int | None = None) -> list[Row]:
        return [row for row in self.taken if row.kind in kinds and market in {None, row.market}]


def test_rows_of_one_turn_go_together_and_the_rest_in_slices_in_order() -> None:
    desk = Desk(Limits(slice_rows=3))
    for key in range(7):
        desk.trade(0, key)
    assert desk.taken == []
    desk.turn()
    assert [row.key for row in desk.taken] == list(range(7))
    assert desk.sizes == [3, 3, 1]
    desk.trade(0, 9)
    assert len(desk.turns) == 1
    assert desk.inlet.received == 8


def test_a_turn_ends_when_its_time_is_over_and_the_loop_turns_before_the_rest() -> None:
    desk = Desk(Limits(slice_rows=10, turn_us=20 * MS), row_us=MS)
    for key in range(100):
        desk.trade(0, key)
    oldest = desk.inlet.oldest_us
    desk.turn()
    assert (len(desk.taken), desk.inlet.waiting) == (20, 80)
    assert oldest is not None
    assert desk.inlet.oldest_us == oldest + 20
    desk.turn(4)
    assert [row.key for row in desk.taken] == list(range(100))
    assert desk.inlet.oldest_us is None
    assert not desk.inlet.shedder.books
    assert not desk.inlet.shedder.trades


def test_a_flush_from_within_the_pipeline_keeps_rows_in_order() -> None:
    desk = Desk(Limits(slice_rows=2))
    seen: list[int] = []

    def take(batch: Batch) -> None:
        seen.extend(batch.key[: len(batch)])
        if len(seen) < 6:
            desk.trade(0, 100 + len(seen))
            desk.inlet.flush()

    desk.inlet._take = take
    for key in range(4):
        desk.trade(0, key)
    desk.drain()
    assert seen[:4] == [0, 1, 2, 3]
    assert sorted(seen[4:]) == seen[4:]


def test_too_many_book_rows_lose_the_oldest_messages_and_no_trade() -> None:
    desk = Desk(Limits(slice_rows=8, book_max=32), row_us=MS)
    for number in range(20):
        desk.message(number % 4, 2, key=number)
        desk.trade(number % 4, number)
    shed = set(desk.inlet.shedder.holes)
    desk.drain()
    assert [row.key for row in desk.of(Kind.TRADE)] == list(range(20))
    assert shed
    levels = Counter(row.key for row in desk.of(Kind.LEVEL))
    assert set(levels.values()) <= {2}
    for market in shed:
        gaps = [row for row in desk.taken if row.kind == Kind.GAP and row.market == market]
        assert [(row.side, row.key) for row in gaps] == [(Channel.BOOK, gaps[0].at_us)]
        after = desk.taken[desk.taken.index(gaps[0]) :]
        assert not [row for row in after if row.kind == Kind.LEVEL and row.market == market]
    dropped = desk.inlet.shedder.books
    assert dropped.total() + sum(levels.values()) == 40
    assert set(dropped) == shed


def test_a_row_that_waits_too_long_costs_book_rows_though_few_wait() -> None:
    desk = Desk(Limits(slice_rows=4, turn_us=10 * MS, book_wait_us=100 * MS), row_us=20 * MS)
    for number in range(20):
        desk.message(0, 1, key=number)
        desk.trade(1, number)
    desk.drain()
    assert len(desk.of(Kind.TRADE)) == 20
    assert 0 < len(desk.of(Kind.LEVEL)) < 20
    assert desk.inlet.wait_max_us > 100 * MS


def test_a_loop_that_was_blocked_before_it_flushed_loses_nothing() -> None:
    desk = Desk(Limits(slice_rows=4))
    desk.message(0, 3)
    desk.now_us += 60_000_000
    desk.drain()
    assert len(desk.of(Kind.LEVEL)) == 3


def test_a_message_that_the_pipeline_has_begun_is_kept_whole() -> None:
    desk = Desk(Limits(slice_rows=4, turn_us=1, book_wait_us=MS), row_us=2 * MS)
    desk.message(0, 6, key=1)
    desk.message(0, 6, key=2)
    desk.turn()
    desk.drain()
    keys = Counter(row.key for row in desk.of(Kind.LEVEL))
    assert keys[1] == 6
    assert keys[2] in {0, 6}


def test_a_message_cut_while_it_arrives_goes_as_a_whole() -> None:
    desk = Desk(Limits(slice_rows=4, book_max=4))
    desk.message(0, 9, full=True, key=1)
    desk.drain()
    assert desk.of(Kind.LEVEL) == []
    assert len(desk.of(Kind.GAP)) == 1
    assert desk.inlet.shedder.books[0] == 9


def test_a_dropped_book_is_asked_for_once_all_is_done_and_ends_its_hole_with_a_gap() -> None:
    desk = Desk(Limits(slice_rows=4, book_max=8), answers=True)
    for number in range(5):
        desk.message(number % 2, 2, key=number)
    holes = dict(desk.inlet.shedder.holes)
    assert holes
    desk.drain()
    assert desk.asked == []
    desk.now_us += 1_000_000
    desk.inlet.flush()
    desk.drain()
    assert sorted(desk.asked) == sorted(holes)
    assert desk.inlet.shedder.holes == {}
    for market, good_us in holes.items():
        own = [row for row in desk.taken if row.market == market]
        *_, end, first, _, last = own
        assert (end.kind, end.side, end.key) == (Kind.GAP, Channel.BOOK, good_us)
        assert first.flags & Flag.SNAPSHOT
        assert last.flags & Flag.LAST
    desk.message(0, 2, key=77)
    desk.drain()
    assert len([row for row in desk.of(Kind.LEVEL) if row.key == 77]) == 2


def test_a_book_that_is_not_shown_is_asked_for_again_and_its_changes_stay_out() -> None:
    desk = Desk(Limits(slice_rows=2, book_max=2))
    desk.message(3, 2)
    desk.message(3, 2)
    desk.drain()
    for _ in range(3):
        desk.now_us += 5_000_000
        desk.inlet.flush()
        desk.message(3, 2, key=5)
        desk.drain()
    assert desk.asked == [3, 3, 3]
    assert not [row for row in desk.of(Kind.LEVEL) if row.key == 5]
    desk.message(3, 2, full=True)
    desk.drain()
    assert len(desk.of(Kind.LEVEL)) == 2


def test_a_book_that_stays_shut_is_told_to_be_stalled_until_it_is_shown() -> None:
    desk = Desk(Limits(slice_rows=2, book_max=2))
    desk.message(3, 2)
    desk.message(3, 2)
    desk.drain()
    began_us = desk.now_us
    for _ in range(60):
        desk.now_us += 250 * MS
        desk.inlet.flush()
        desk.drain()
        assert bool(desk.of(Kind.STATUS)) is (desk.now_us - began_us >= 10_000_000)
    desk.message(3, 2, full=True)
    desk.drain()
    stalled, live = desk.of(Kind.STATUS)
    assert (stalled.key, stalled.side, live.key, live.side) == (Status.STALLED, Channel.BOOK, Status.LIVE, Channel.BOOK)
    assert [row.kind for row in desk.taken[-4:]] == [Kind.GAP, Kind.STATUS, Kind.LEVEL, Kind.LEVEL]


def test_books_that_go_again_and_again_are_asked_for_less_and_less() -> None:
    desk = Desk(Limits(slice_rows=2, book_max=2), answers=False)
    pauses = []
    for _ in range(9):
        desk.message(0, 2, full=True)
        desk.message(0, 2)
        desk.drain()
        assert desk.inlet.shedder.holes
        started = desk.now_us
        before = len(desk.asked)
        while len(desk.asked) == before:
            desk.now_us += 250 * MS
            desk.inlet.flush()
        pauses.append((desk.now_us - started) / 1e6)
    assert pauses[0] <= 1.0
    assert pauses == sorted(pauses)
    assert 30 <= pauses[-1] <= 60.5


def test_trades_go_last_the_oldest_first_with_a_gap_at_both_ends() -> None:
    desk = Desk(Limits(slice_rows=8, others_max=32), row_us=0)
    for key in range(40):
        desk.trade(key % 2, key)
    desk.drain()
    kept = [row.key for row in desk.of(Kind.TRADE)]
    assert kept == list(range(40 - len(kept), 40))
    dropped = desk.inlet.shedder.trades
    assert dropped[0] + dropped[1] == 40 - len(kept) > 0
    for market in (0, 1):
        begin, end = desk.of(Kind.GAP, market=market)
        assert begin.side == end.side == Channel.TRADES
        assert begin.key == begin.at_us == end.key < end.at_us
        assert all(row.at_us > end.at_us for row in desk.of(Kind.TRADE, market=market))


def test_trades_that_wait_for_seconds_go_too() -> None:
    desk = Desk(Limits(slice_rows=4, others_wait_us=1_000_000), row_us=100 * MS)
    for key in range(100):
        desk.trade(0, key)
    desk.drain()
    assert 0 < len(desk.of(Kind.TRADE)) < 100
    assert len(desk.of(Kind.TRADE)) + desk.inlet.shedder.trades[0] == 100


def test_history_and_news_of_streams_are_never_dropped() -> None:
    desk = Desk(Limits(slice_rows=4, book_max=4, others_max=16))
    for key in range(60):
        desk.trade(0, key, flags=Flag.BACKFILL)
        desk.put(Kind.STATUS, 0, side=Channel.ALL, key=Status.LIVE)
        assert desk.inlet.waiting <= 16 + 8
    desk.drain()
    assert [row.key for row in desk.of(Kind.TRADE)] == list(range(60))
    assert len(desk.of(Kind.STATUS)) == 60
