"""What is missing, and what came twice, where a stream was interrupted: with ids and without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ccxt_support import START_US, Rows, StillClock
from hypothesis import given
from hypothesis import strategies as st

from guard.errors import RateLimited
from guard.model import Channel, Flag, Kind, Status
from guard_ccxt.counters import Counters
from guard_ccxt.stream.gate import Gate
from guard_ccxt.stream.ids import IdRun
from guard_ccxt.stream.repair import repair
from guard_ccxt.stream.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Sequence

START_MS = START_US // 1000


class Stream:
    """One stream of trades of an exchange whose REST answers `past`."""

    def __init__(self) -> None:
        self.clock, self.rows = StillClock(START_US + 60_000_000), Rows()
        self.counters = Counters([].append)
        self.past: list[dict[str, Any]] = []
        self.holes: list[Subscription] = []
        self.stream = Subscription(
            "A/USDT",
            0,
            Channel.TRADES,
            gate=Gate(),
            sink=self.rows,
            counters=self.counters,
            clock=self.clock,
            on_hole=self.holes.append,
        )
        self.stream.begin()

    def send(self, *trades: dict[str, Any]) -> None:
        self.stream.on_trades(trades, self.clock.now_us())

    async def repair(self) -> None:
        async def fetch(_: int | None) -> Any:
            return self.past

        await repair(self.holes.pop(), fetch, clock=self.clock, counters=self.counters)

    def cut(self) -> None:
        self.stream.lose(Status.LOST)
        self.stream.begin()

    def scored(self) -> list[float]:
        return [row.price for row in self.rows.of(Kind.TRADE) if not row.flags & Flag.BACKFILL]


def trade(at: int, *, name: int | None = None, price: float | None = None) -> dict[str, Any]:
    identity = None if name is None else str(name)
    return {
        "id": identity,
        "price": float(at + 1 if price is None else price),
        "amount": 1.0,
        "timestamp": START_MS + at,
        "side": "buy",
    }


async def test_a_trade_that_came_late_by_itself_does_not_make_ids_doubtful() -> None:
    one = Stream()
    one.stream.ids.is_sequenced = True
    one.past = [trade(at, name=at + 1) for at in range(4)]
    one.send(trade(0, name=1), trade(2, name=3), trade(1, name=2), trade(3, name=4))
    await one.repair()
    assert one.stream.ids.is_sequenced
    assert sorted(one.scored()) == [1.0, 2.0, 3.0, 4.0]
    one.send(trade(9, name=9))
    assert one.stream.phase.name == "REPAIRING"


async def test_hole_in_consecutive_ids_is_repaired_before_anything_behind_it_is_scored() -> None:
    one = Stream()
    one.stream.ids.is_sequenced = True
    one.past = [trade(at, name=at + 1) for at in range(6)]
    one.send(trade(0, name=1), trade(1, name=2), trade(4, name=5), trade(5, name=6))
    assert one.scored() == [1.0, 2.0]
    await one.repair()
    assert one.scored() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert (one.counters.skipped, one.rows.of(Kind.GAP)) == (1, [])


async def test_hole_in_consecutive_ids_that_cannot_be_repaired_is_a_gap_with_its_first_and_last_good_times() -> None:
    one = Stream()
    one.stream.ids.is_sequenced = True
    one.send(trade(0, name=1), trade(7, name=5))
    await one.repair()
    (gap,) = one.rows.of(Kind.GAP)
    assert (gap.key, gap.at_us, gap.side) == (START_US, START_US + 7000, Channel.TRADES)
    assert one.scored() == [1.0, 8.0]
    assert one.rows.rows.index(gap) < next(at for at, row in enumerate(one.rows.rows) if row.price == 8.0)
    assert one.stream.voice.gap_us == 7000


def test_where_the_next_id_follows_the_last_nothing_was_missed_and_nothing_is_held_back() -> None:
    one = Stream()
    one.stream.ids.is_sequenced = True
    one.send(trade(0, name=1), trade(1, name=2))
    one.cut()
    one.send(trade(9000, name=3))
    assert one.scored() == [1.0, 2.0, 9001.0]
    assert (one.counters.repaired, one.rows.of(Kind.GAP)) == (1, [])
    one.cut()
    one.send(trade(9002, name=5))
    assert len(one.scored()) == 3
    assert one.stream.held is not None


async def test_first_trade_after_a_loss_may_lie_behind_the_hole_that_is_being_repaired() -> None:
    one = Stream()
    one.stream.ids.is_sequenced = True
    one.send(trade(0, name=1))
    one.cut()
    one.stream.confirm(at_us=one.clock.now_us(), received_us=one.clock.now_us())  # the request was answered
    one.send(trade(3, name=4))
    one.past = [trade(at, name=at + 1) for at in range(4)]
    await one.repair()
    assert one.scored() == [1.0, 2.0, 3.0, 4.0]
    assert one.rows.of(Kind.GAP) == []


async def test_trades_that_a_repair_brought_are_no_hole_before_the_next_one() -> None:
    one = Stream()
    one.stream.ids.is_sequenced = True
    one.send(trade(9000, name=1))
    one.cut()
    one.stream.confirm(at_us=one.clock.now_us(), received_us=one.clock.now_us())
    one.past = [trade(9000 + at, name=at + 1) for at in range(4)]
    await one.repair()
    one.send(trade(9004, name=5))
    assert one.scored() == [9001.0, 9002.0, 9003.0, 9004.0, 9005.0]
    assert (one.counters.skipped, one.holes) == (0, [])


@pytest.mark.parametrize(("name", "gaps"), [(2, 0), (3, 1)])
async def test_hole_that_cannot_be_fetched_is_told_by_the_next_trade_and_holds_nothing_back(name: int, gaps: int) -> None:
    one = Stream()
    one.stream.ids.is_sequenced = True
    one.send(trade(9000, name=1))
    one.cut()
    one.stream.confirm(at_us=one.clock.now_us(), received_us=one.clock.now_us())

    async def refused(_: int | None) -> Any:
        raise RateLimited("no turn within guard's REST share", retry_after_s=1.0)

    await repair(one.holes.pop(), refused, clock=one.clock, counters=one.counters)
    assert one.stream.held == []
    one.send(trade(9009, name=name))
    assert one.scored() == [9001.0, 9010.0]
    assert len(one.rows.of(Kind.GAP)) == gaps


def test_ids_that_ran_are_believed_and_others_are_not() -> None:
    ran, sure, jumps = IdRun(), IdRun(), IdRun()
    assert not any(ran.skips(key) for key in range(1000, 1051))
    assert ran.skips(1300)
    assert not ran.skips(1400)
    assert not any(sure.skips(key) for key in range(1000, 1102))
    assert [sure.skips(key) for key in (1300, 1400)] == [True, True]
    sure.distrust()
    assert not sure.skips(1500)
    assert not any(jumps.skips(key) for key in range(1000, 9000, 3))


def test_hole_that_was_none_doubles_what_it_takes_to_be_believed() -> None:
    ids = IdRun()
    assert not any(ids.skips(key) for key in range(1, 30))
    assert ids.skips(100)
    ids.distrust()
    assert not any(ids.skips(key) for key in (*range(101, 130), 200))
    assert [key for key in (*range(201, 250), 300) if ids.skips(key)] == [300]


async def test_a_loss_that_is_known_takes_nothing_from_the_trust_in_ids() -> None:
    one = Stream()
    one.send(*(trade(at, name=at + 1) for at in range(30)))
    one.cut()
    one.send(trade(40, name=41))
    await one.repair()
    one.send(trade(41, name=42), trade(45, name=46))
    await one.repair()
    assert one.counters.skipped == 1
    assert len(one.rows.of(Kind.GAP)) == 2


async def test_trades_that_a_repair_brought_are_no_hole_of_their_own_and_cost_no_trust() -> None:
    one = Stream()
    one.send(*(trade(at, name=at + 1) for at in range(30)))
    one.cut()
    one.past = [trade(at, name=at + 1) for at in range(25, 35)]
    one.stream.confirm(at_us=one.clock.now_us(), received_us=one.clock.now_us())  # the exchange answered; no trade yet
    one.stream.presumed_us = one.clock.now_us()
    await one.repair()
    one.send(trade(35, name=36))
    assert (one.counters.skipped, one.holes) == (0, [])
    one.send(trade(37, name=38))
    assert one.counters.skipped == 1


async def test_a_hole_that_was_one_is_followed_by_trust_and_one_across_a_loss_by_a_mark_at_most() -> None:
    one = Stream()
    one.send(*(trade(at, name=at + 1) for at in range(30)))
    for hole in (30, 32):
        one.past = [trade(at, name=at + 1) for at in range(20, hole + 2)]
        one.send(trade(hole + 1, name=hole + 2))
        await one.repair()
    assert (one.counters.skipped, one.rows.of(Kind.GAP)) == (2, [])
    assert one.scored() == [float(at + 1) for at in range(34)]
    one.cut()
    one.past = []
    one.stream.confirm(at_us=one.clock.now_us(), received_us=one.clock.now_us())
    one.stream.presumed_us = one.clock.now_us()
    await one.repair()
    one.send(trade(60_100, name=50))
    await one.repair()
    first, second = one.rows.of(Kind.GAP)
    assert first.key < second.key <= first.at_us
    one.send(trade(60_200, name=51), trade(60_300, name=53))
    assert one.counters.skipped == 4


def test_a_gap_begins_before_what_was_on_its_way_at_the_end() -> None:
    one = Stream()
    received_us = one.clock.now_us()
    for at in range(40):
        one.stream.on_trades([trade(at * 100, name=at + 1)], START_US + at * 100_000 + 400_000)
    one.stream.lose(Status.LOST, last_good_us=received_us)
    assert one.stream.last_good_us == received_us - 400_000


@given(st.lists(st.sampled_from([1, 2, 3, 7]), max_size=30))
def test_hole_is_seen_wherever_ids_skip_upwards(steps: list[int]) -> None:
    ids, key, expected, seen = IdRun(), 1, [], []
    ids.is_sequenced = True
    ids.skips(key)
    for step in steps:
        key += step
        expected.append(step > 1)
        seen.append(ids.skips(key))
    assert seen == expected


def test_ids_that_begin_anew_at_one_lose_nothing() -> None:
    one = Stream()
    one.stream.ids.is_sequenced = True
    one.send(trade(0, name=900), trade(1, name=901), trade(2, name=1), trade(3, name=2))
    assert one.scored() == [1.0, 2.0, 3.0, 4.0]
    assert not one.holes


async def test_block_without_ids_that_is_sent_again_is_scored_once_and_equal_fills_all() -> None:
    one = Stream()
    fills = [trade(0), trade(1), trade(1), trade(1)]
    one.send(*fills)
    one.cut()
    one.past = [*fills, trade(1), trade(3), trade(4)]
    one.send(*fills, trade(4))
    await one.repair()
    assert sorted(one.scored()) == [1.0, 2.0, 2.0, 2.0, 2.0, 4.0, 5.0]
    assert not one.rows.of(Kind.GAP)


async def test_hole_without_ids_whose_answer_begins_too_late_stays_a_gap() -> None:
    one = Stream()
    one.send(trade(0), trade(1))
    one.cut()
    one.past = [trade(8), trade(9)]
    one.send(trade(9))
    await one.repair()
    assert len(one.rows.of(Kind.GAP)) == 1
    assert one.scored() == [1.0, 2.0, 10.0]
    assert [row.price for row in one.rows.of(Kind.TRADE) if row.flags & Flag.BACKFILL] == [9.0]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([1.0, 2.0])), min_size=1, max_size=25),
    st.data(),
)
def test_nothing_without_ids_is_lost_or_scored_twice_at_any_seam(steps: list[tuple[int, float]], data: st.DataObject) -> None:
    # A fill like the last one, in its very moment, that fell into the cut cannot be told from the last one sent again.
    cut = data.draw(st.integers(1, len(steps)))
    at, fills = 0, []
    for number, (step, price) in enumerate(steps):
        at += step + (number == cut)
        fills.append(trade(at, price=price))
    again = data.draw(st.integers(0, cut))
    one = Stream()
    one.send(*fills[:cut])
    one.stream._on_hole = None
    one.cut()
    one.send(*fills[again:])
    assert one.scored() == [fill["price"] for fill in fills]


@pytest.mark.parametrize("past", [[], [None], [{"price": "x"}]])
async def test_answer_that_is_of_no_use_lets_held_trades_go_behind_a_gap(past: Sequence[Any]) -> None:
    one = Stream()
    one.send(trade(0))
    one.cut()
    one.past = [each for each in past if each is not None]
    one.send(trade(5))
    await one.repair()
    assert len(one.rows.of(Kind.GAP)) == 1
    assert one.scored() == [1.0, 6.0]


async def test_decoder_sees_the_hole_too_and_scores_nothing_behind_it_before_it_is_repaired() -> None:
    one = Stream()
    one.stream.ids.is_sequenced = True
    one.past = [trade(at, name=at + 1) for at in range(9_000, 9_006)]
    one.send(trade(8_999, name=9_000))
    one.clock.at_us += 10_000_000  # beyond the seconds in which an exchange may send old trades

    def decoded(at: int) -> None:
        one.stream.take_trade(START_MS + at, float(at + 1), 1.0, side=1, key=at + 1, received_us=one.clock.now_us())

    for at in (9_000, 9_001, 9_004, 9_005):
        decoded(at)
    assert one.scored() == [9000.0, 9001.0, 9002.0]
    await one.repair()
    assert one.scored() == [9000.0, 9001.0, 9002.0, 9003.0, 9004.0, 9005.0, 9006.0]
    assert (one.counters.skipped, one.rows.of(Kind.GAP)) == (1, [])
