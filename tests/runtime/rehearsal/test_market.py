from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime.rehearsal.cases import case

from guard.model import ASK, BID, BUY, Channel, Flag, Kind, Status
from guard.runtime.rehearsal.course import Course
from guard.runtime.rehearsal.noise import Noise
from guard.runtime.rehearsal.scene import scripted
from guard.runtime.rehearsal.script import Unplayable, Warm

if TYPE_CHECKING:
    from guard.runtime.rehearsal.market import Row

SECOND = 1_000_000


def rows_of(keys: str) -> list[Row]:
    return [row for _, row in scripted(case(keys)).rows]


def trades(rows: list[Row], first_s: float, last_s: float) -> list[Row]:
    return [
        row
        for row in rows
        if row.kind == Kind.TRADE and not row.flags & Flag.BACKFILL and first_s * SECOND <= row.at_us < last_s * SECOND
    ]


def test_noise_is_fixed_by_seed_and_name() -> None:
    def draw(seed: int, name: str) -> list[float]:
        noise = Noise(seed, name)
        return [noise.random() for _ in range(5)]

    assert draw(1, "a") == draw(1, "a")
    assert draw(1, "a") != draw(1, "b")
    assert draw(1, "a") != draw(2, "a")


def test_noise_spreads_evenly_and_has_the_promised_means() -> None:
    noise = Noise(3, "means")
    count = 4000
    assert sum(noise.random() for _ in range(count)) / count == pytest.approx(0.5, abs=0.02)
    assert sum(noise.wait_us(1000.0) for _ in range(count)) / count == pytest.approx(1000, rel=0.06)
    assert sum(noise.spread_out(0.8) for _ in range(count)) / count == pytest.approx(1.0, rel=0.08)


@given(
    st.lists(st.tuples(st.integers(0, 100), st.floats(0.5, 200.0), st.integers(0, 50)), max_size=6),
    st.integers(-10, 300),
)
def test_a_course_never_leaves_the_values_it_was_given(moves: list[tuple[int, float, int]], at: int) -> None:
    course = Course(10.0)
    for at_us, to, over_us in sorted(moves):
        course.move(at_us=at_us, to=to, over_us=over_us)
    values = [10.0, *(to for _, to, _ in moves)]
    assert min(values) * 0.999 <= course.value(at) <= max(values) * 1.001


def test_the_same_script_gives_the_same_rows_and_another_seed_gives_others() -> None:
    keys = 'feed: [{at: 5s, price: "100 -> 103 over 10s", trades: 5/s, side: buy}]'
    assert rows_of(keys) == rows_of(keys)
    assert rows_of(keys) != rows_of(keys + "\nseed: 2")


def test_calm_trading_adds_up_to_the_days_volume_at_a_steady_price() -> None:
    rows = trades(rows_of("facts: {trades: 2/s, volume_24h_usd: 864k}\nlength: 20m"), 0, 1200)
    assert sum(row.price * row.amount for row in rows) == pytest.approx(12_000, rel=0.15)
    assert len(rows) == pytest.approx(2400, rel=0.1)
    assert all(row.price == pytest.approx(100.0, rel=0.003) for row in rows)


def test_history_comes_first_then_the_streams_open() -> None:
    test = case("length: 60s")
    rows = [
        row for _, row in scripted(test.model_copy(update={"warm": Warm.model_validate({"history": "1h", "live": "60s"})})).rows
    ]
    live = next(number for number, row in enumerate(rows) if not row.flags & Flag.BACKFILL)
    assert live == pytest.approx(180, rel=0.3)
    assert all(row.kind == Kind.TRADE and row.at_us < -60 * SECOND for row in rows[:live])
    kinds = [(row.kind, row.side, row.key) for row in rows[live : live + 3]]
    assert kinds == [
        (Kind.STATUS, Channel.ALL, Status.WARM),
        (Kind.STATUS, Channel.TRADES, Status.LIVE),
        (Kind.STATUS, Channel.BOOK, Status.LIVE),
    ]


def test_a_swept_order_prints_each_level_once_at_one_time() -> None:
    rows = trades(rows_of("facts: {trades: 1/m}\nfeed: [{at: 10s, order: {side: buy, size: 20x, sweep: 5}}]"), 10, 10.000001)
    assert len(rows) == 5
    assert {row.side for row in rows} == {BUY}
    assert [round(b.price - a.price, 6) for a, b in pairwise(rows)] == [0.01] * 4


def test_the_price_follows_the_script() -> None:
    rows = rows_of('facts: {trades: 2/s}\nfeed: [{at: 10s, price: "100 -> 110 over 10s"}]')
    assert all(row.price == pytest.approx(100, rel=0.003) for row in trades(rows, 0, 10))
    assert all(row.price == pytest.approx(110, rel=0.003) for row in trades(rows, 20, 60))


def test_nothing_arrives_in_silence_and_a_lost_stream_says_so() -> None:
    silent = rows_of("facts: {trades: 2/s}\nfeed: [{at: 10s, silence: 20s}]")
    assert not [row for row in silent if 10 * SECOND <= row.at_us < 30 * SECOND]
    assert [row for row in silent if row.at_us >= 30 * SECOND]
    lost = rows_of("facts: {trades: 2/s}\nfeed: [{at: 10s, lost: 20s}]")
    news = [(row.key, row.kind) for row in lost if 10 * SECOND <= row.at_us < 30 * SECOND]
    assert news == [(Status.LOST, Kind.STATUS), (Status.LIVE, Kind.STATUS)]


def test_a_wash_prints_pairs_of_equal_size_inside_the_spread() -> None:
    rows = trades(rows_of("facts: {trades: 1/m}\nfeed: [{at: 10s, wash: {size: 3x, every: 2s, for: 20s}}]"), 10, 31)
    pairs = [(a, b) for a, b in pairwise(rows) if a.amount == b.amount and a.side == -b.side and a.price == b.price]
    assert len(pairs) == 10


def replayed(rows: list[Row]) -> list[tuple[int, dict[int, dict[float, float]]]]:
    """Apply book rows as a reader of the stream would; one state for each message."""
    book: dict[int, dict[float, float]] = {BID: {}, ASK: {}}
    states = []
    is_new = True
    for row in rows:
        if row.kind != Kind.LEVEL:
            assert is_new, "a book message is cut by another row"
            continue
        if is_new and row.flags & Flag.SNAPSHOT:
            book = {BID: {}, ASK: {}}
        book[row.side][row.price] = row.amount
        if not row.amount:
            del book[row.side][row.price]
        is_new = bool(row.flags & Flag.LAST)
        if is_new:
            states.append((row.at_us, {side: dict(levels) for side, levels in book.items()}))
    return states


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    rise=st.sampled_from(["-20%", "+20%", "+1%"]),
    spread=st.sampled_from(["0.2x", "10x"]),
    side=st.sampled_from(["bid", "ask"]),
    price=st.sampled_from([1.23e-9, 0.00000123, 1.0, 60000.0]),
)
def test_the_book_is_never_crossed_and_never_empty(*, seed: int, rise: str, spread: str, side: str, price: float) -> None:
    keys = f"""
seed: {seed}
facts: {{price: {price}}}
feed:
  - {{at: 5s, price: "{rise} over 5s"}}
  - {{at: 8s, spread: {spread} over 2s for 5s}}
  - {{at: 7s, wall: {{side: {side}, size: 9x, at: 5bp, for: 5s, layers: 4}}}}
  - {{at: 30s, silence: 5s}}
"""
    states = replayed(rows_of(keys))
    assert len(states) > 60
    for _, book in states:
        assert max(book[BID]) < min(book[ASK])
        assert all(amount > 0.0 for levels in book.values() for amount in levels.values())


def test_a_wall_stands_for_its_time_with_its_size() -> None:
    states = replayed(rows_of("facts: {depth: 1000}\nfeed: [{at: 10s, wall: {side: bid, size: 8x, at: 20bp, for: 3s}}]"))

    def resting(at_s: int) -> float:
        book = [book for at_us, book in states if at_us <= at_s * SECOND][-1]
        return sum(price * amount for price, amount in book[BID].items())

    assert resting(11) - resting(9) == pytest.approx(8000, rel=0.1)
    assert resting(13) == pytest.approx(resting(9), rel=0.3)


def test_a_move_that_begins_elsewhere_is_told_with_its_place() -> None:
    keys = 'feed: [{at: 5s, price: "100 -> 101 over 1s"}, {at: 9s, price: "110 -> 120 over 1s"}]'
    with pytest.raises(Unplayable, match="the price stands at 101 then, not at 110") as caught:
        scripted(case(keys))
    assert caught.value.path == ("feed", 1, "price")


def test_a_script_without_end_is_refused_before_it_is_made() -> None:
    with pytest.raises(Unplayable, match="a test has at most"):
        scripted(case("feed: [{at: 1s, trades: 1000/s, over: 1h, sweep: 50}]"))


def test_prices_of_many_markets_share_one_virtual_time() -> None:
    scene = scripted(case('markets: {"okx:TEST/USDT": {trades: 2/s}}\nfeed: [{at: 5s, market: "*", price: "+5% over 5s"}]'))
    times = [row.at_us for _, row in scene.rows]
    assert times == sorted(times)
    assert {number for number, _ in scene.rows} == {0, 1}
    assert [str(facts.market) for facts in scene.markets] == ["sim:TEST/USDT", "okx:TEST/USDT"]
