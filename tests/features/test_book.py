"""The order book against an exact one, and what is told of it."""

from __future__ import annotations

import math
from array import array

import pytest
from features.streams import SECOND, START, Row, feed, opened, read, trade
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.features.kernel import Kernel
from guard.features.kernel.slots import BIDS, FLOATS
from guard.features.tables import Leaf
from guard.model import ASK, BID, BUY, SELL, Channel, Flag, Kind, Market, MarketFacts

BOOK = [
    Leaf("bid"),
    Leaf("ask"),
    Leaf("mid"),
    Leaf("spread"),
    Leaf("crossed"),
    Leaf("depth", (0.05, "bid")),
    Leaf("depth", (0.05, "ask")),
    Leaf("depth", (0.05, "both")),
]


def message(at_us: int, levels: list[tuple[int, float, float]], *, is_full: bool = False, market: int = 0) -> list[Row]:
    flags = Flag.SNAPSHOT if is_full else Flag.NONE
    rows = [Row(Kind.LEVEL, at_us, price, size, side, 0, flags, market) for side, price, size in levels]
    rows[-1] = rows[-1]._replace(flags=flags | Flag.LAST)
    return rows


def snapshot(at_us: int, mid: float = 100.0, market: int = 0) -> list[Row]:
    levels = [(side, mid - side * step / 10, 1.0 + step) for step in range(1, 20) for side in (BID, ASK)]
    return message(at_us, levels, is_full=True, market=market)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([BID, ASK]), st.integers(1, 150), st.integers(0, 6)), min_size=1, max_size=200))
def test_best_prices_and_depth_equal_those_of_a_plain_dict(changes: list[tuple[int, int, int]]) -> None:
    kernel = opened(BOOK)
    feed(kernel, snapshot(START))
    sides = {side: {100.0 - side * step / 10: 1.0 + step for step in range(1, 20)} for side in (BID, ASK)}
    for number, (side, step, size) in enumerate(changes):
        price = 100.0 - side * step / 10
        sides[side][price] = float(size)
        feed(kernel, message(START + number, [(side, price, float(size))]))
    found = read(kernel, START + SECOND)
    bids, asks = ({price: size for price, size in sides[side].items() if size} for side in (BID, ASK))
    assert (found["bid()"], found["ask()"]) == (max(bids, default=math.nan), min(asks, default=math.nan)) or not (bids and asks)
    if not (bids and asks):
        assert math.isnan(found["mid()"])
        return
    mid = (max(bids) + min(asks)) / 2
    assert found["mid()"] == mid
    assert found["spread()"] == pytest.approx((min(asks) - max(bids)) / mid)
    band = max(0.05, 2 * found["spread()"])
    below = sum(price * size for price, size in bids.items() if price >= mid * (1 - band))
    above = sum(price * size for price, size in asks.items() if price <= mid * (1 + band))
    assert found["depth(0.05, bid)"] == pytest.approx(below)
    assert found["depth(0.05, ask)"] == pytest.approx(above)
    assert found["depth(0.05, both)"] == pytest.approx(below + above)


def test_the_worst_levels_beyond_128_are_dropped_and_a_worse_one_is_not_taken() -> None:
    kernel = opened(BOOK)
    levels = [(BID, 1000.0 - step, 1.0) for step in range(200)] + [(ASK, 1001.0, 1.0)]
    feed(kernel, message(START, levels, is_full=True))
    integers = array("q", dict(kernel.sections(0))["slots"][8 * FLOATS :])
    assert integers[BIDS] == 128
    assert read(kernel, START)["bid()"] == 1000.0
    feed(kernel, message(START + 1, [(BID, 1000.5, 1.0)]))
    assert read(kernel, START + 1)["bid()"] == 1000.5


def test_rows_before_a_snapshot_tell_nothing() -> None:
    kernel = opened(BOOK)
    feed(kernel, message(START, [(BID, 99.0, 1.0), (ASK, 101.0, 1.0)]))
    assert all(math.isnan(value) for value in read(kernel, START).values())


def test_a_snapshot_empties_the_book_once_for_its_whole_message() -> None:
    kernel = opened(BOOK)
    feed(kernel, snapshot(START))
    feed(kernel, message(START + 1, [(BID, 50.0, 1.0), (BID, 51.0, 1.0), (ASK, 60.0, 1.0)], is_full=True))
    found = read(kernel, START + 1)
    assert (found["bid()"], found["ask()"]) == (51.0, 60.0)


def test_a_gap_of_the_book_makes_it_unknown_until_the_next_snapshot() -> None:
    kernel = opened([*BOOK, Leaf("price")])
    feed(kernel, [trade(START, 100.0), *snapshot(START)])
    feed(kernel, [Row(Kind.GAP, START + 10, side=Channel.BOOK, key=START)])
    feed(kernel, message(START + 20, [(BID, 99.95, 1.0)]))
    found = read(kernel, START + 30)
    assert found.pop("price()") == 100.0
    assert all(math.isnan(value) for value in found.values())
    feed(kernel, snapshot(START + 40))
    assert read(kernel, START + 40)["mid()"] == pytest.approx(100.0)


def test_a_crossing_level_drops_what_it_crossed_and_the_mid_is_unknown_until_a_straight_message() -> None:
    kernel = opened([*BOOK, Leaf("crossings", (10 * SECOND,))])
    feed(kernel, snapshot(START))
    feed(kernel, message(START + 11 * SECOND, [(BID, 100.2, 1.0)]))
    found = read(kernel, START + 11 * SECOND)
    assert found["crossed()"] == 1.0
    assert found["crossings(10000000)"] == 1.0
    assert math.isnan(found["mid()"])
    feed(kernel, message(START + 12 * SECOND, [(ASK, 100.4, 5.0)]))
    found = read(kernel, START + 12 * SECOND)
    assert (found["crossed()"], found["bid()"], found["ask()"]) == (0.0, 100.2, 100.3)


def test_evaluation_waits_for_the_last_row_of_a_message() -> None:
    kernel = opened(BOOK)
    assert feed(kernel, snapshot(START)) == [False] * 37 + [True]
    assert feed(kernel, message(START + 10, [(BID, 99.0, 9.0), (BID, 98.9, 9.0)])) == [False, False]
    assert feed(kernel, message(START + 20, [(BID, 99.95, 9.0)])) == [True]


def test_what_is_added_and_removed_untraded_counts_and_what_trades_does_not() -> None:
    leaf = Leaf("removed_unfilled", (10 * SECOND, "bid"))
    for traded, expected in ((0.0, 99.9 * 50), (50.0, 0.0)):
        for trade_lag_us in (-100_000, 100_000):
            kernel = opened([leaf])
            feed(kernel, snapshot(START))
            base_us = START + 20 * SECOND
            rows = message(base_us, [(BID, 99.9, 52.0)]) + message(base_us + 2 * SECOND, [(BID, 99.9, 2.0)])
            if traded:
                rows.append(trade(base_us + 2 * SECOND + trade_lag_us, 99.9, traded, SELL))
            feed(kernel, sorted(rows, key=lambda row: row.at_us))
            assert read(kernel, base_us + 2 * SECOND + 200_000)[str(leaf)] == 0.0
            assert read(kernel, base_us + 4 * SECOND)[str(leaf)] == pytest.approx(expected)


def test_volume_that_rested_long_or_far_away_is_no_bait() -> None:
    leaf = Leaf("removed_unfilled", (10 * SECOND, "bid"))
    kernel = opened([leaf])
    feed(kernel, snapshot(START))
    feed(kernel, message(START + SECOND, [(BID, 99.9, 52.0), (BID, 99.0, 52.0)]))
    feed(kernel, message(START + 3 * SECOND, [(BID, 99.0, 2.0)]))
    feed(kernel, message(START + 40 * SECOND, [(BID, 99.9, 2.0)]))
    assert read(kernel, START + 42 * SECOND)[str(leaf)] == 0.0


PEERS = [Leaf("divergence", (2 * SECOND,)), Leaf("peers_ret", (10 * SECOND, 2 * SECOND))]
AWAY, OTHERS = map(str, PEERS)


def _exchanges(mids: list[float | None]) -> Kernel:
    """Return exchanges with these mids; one without shows no book, though it has one."""
    kernel = Kernel(PEERS)
    for number, mid in enumerate(mids):
        kernel.open(MarketFacts(Market(f"x{number}", "A/USDT"), streams=frozenset({"book", "peers"})))
        if mid is not None:
            feed(kernel, snapshot(START, mid, number))
    return kernel


def _away(mids: list[float | None]) -> list[float]:
    kernel = _exchanges(mids)
    return [read(kernel, START, row)[AWAY] for row in range(len(mids))]


def test_divergence_is_the_distance_from_two_others_with_a_fresh_book() -> None:
    kernel = _exchanges([100.0, 101.0, 100.0])
    assert read(kernel, START + SECOND, 1)[AWAY] == pytest.approx(0.01)
    assert read(kernel, START + SECOND, 0)[AWAY] == pytest.approx(0.0)
    assert math.isnan(read(kernel, START + 3 * SECOND, 1)[AWAY])
    assert math.isnan(read(_exchanges([100.0, 101.0]), START, 1)[AWAY])


@pytest.mark.parametrize(
    ("mids", "away"),
    [
        ([100.0, 100.0, 101.0], [0.0, 0.0, 0.01]),
        ([100.0, 102.0, 101.0], [-0.01 / 1.01, 0.01 / 1.01, 0.0]),
        ([100.0, 100.0, 100.0, 101.0], [0.0, 0.0, 0.0, 0.01]),
        ([None, 100.0, 100.0, 101.0], [math.nan, 0.0, 0.0, 0.01]),
        ([None, None, 100.0, 101.0], [math.nan] * 4),
        ([None, 100.0, 100.0, 100.0, 101.0], [math.nan, 0.0, 0.0, 0.0, 0.01]),
        ([None, None, 100.0, 100.0, 101.0], [math.nan] * 5),
        ([100.0, 100.0, 100.0, 101.0, 101.0], [0.0, 0.0, 0.0, 0.01, 0.01]),
        ([100.0, 100.0, 101.0, 101.0], [-0.01 / 1.01, -0.01 / 1.01, 0.01, 0.01]),
    ],
)
def test_divergence_is_what_most_others_bear_out(mids: list[float | None], away: list[float]) -> None:
    assert _away(mids) == pytest.approx(away, abs=1e-12, nan_ok=True)


@given(st.lists(st.sampled_from([99.0, 100.0, 100.5, 101.0, 103.0]), min_size=3, max_size=8), st.data())
def test_divergence_never_grows_where_an_exchange_falls_silent(mids: list[float], data: st.DataObject) -> None:
    gone = data.draw(st.sets(st.integers(0, len(mids) - 1)))
    before, after = _away([*mids]), _away([None if number in gone else mid for number, mid in enumerate(mids)])
    assert not any(abs(less) > abs(more) for more, less in zip(before, after, strict=True))


def _moving(exchanges: int, *, lost: int | None = None, crossed: int | None = None) -> dict[str, float]:
    """Move the mid of exchange n by n % in 10 s; one may lose its book meanwhile, one may end crossed."""
    kernel = Kernel([*PEERS, Leaf("open_mid", (10 * SECOND,))])
    rows = []
    for number in range(exchanges):
        kernel.open(MarketFacts(Market(f"x{number}", "A/USDT"), streams=frozenset({"book", "peers"})))
        rows += [row for second in range(21) for row in snapshot(START + second * SECOND, 100.0 + second // 15 * number, number)]
    rows.sort(key=lambda row: row.at_us)
    if lost is not None:
        gap = Row(Kind.GAP, START + 14 * SECOND, side=Channel.BOOK, market=lost)
        rows.insert(next(number for number, row in enumerate(rows) if row.at_us == gap.at_us), gap)
    feed(kernel, rows)
    if crossed is not None:
        feed(kernel, [Row(Kind.LEVEL, START + 20 * SECOND, 200.0, 1.0, BID, 0, Flag.LAST, crossed)])
    return read(kernel, START + 20 * SECOND)


def test_return_of_the_others_is_their_median_and_needs_two_that_are_covered() -> None:
    assert _moving(4)[OTHERS] == pytest.approx(0.02)
    assert _moving(5)[OTHERS] == pytest.approx(0.025)
    assert _moving(4, lost=3)[OTHERS] == pytest.approx(0.015)
    assert _moving(4, crossed=1)[OTHERS] == pytest.approx(0.025)
    assert math.isnan(_moving(3, lost=1)[OTHERS])
    assert math.isnan(_moving(2)[OTHERS])


def test_return_of_the_others_leaves_out_an_old_book() -> None:
    kernel = Kernel(PEERS)
    for number in range(4):
        kernel.open(MarketFacts(Market(f"x{number}", "A/USDT"), streams=frozenset({"book", "peers"})))
    for second in range(21):
        for number in range(4):
            if number != 3 or second < 18:
                feed(kernel, snapshot(START + second * SECOND, 100.0 + second // 15 * number, number))
    assert read(kernel, START + 20 * SECOND, 0, START + 20 * SECOND)[OTHERS] == pytest.approx(0.015)
    assert read(kernel, START + 19 * SECOND, 0, START + 19 * SECOND)[OTHERS] == pytest.approx(0.02)


def test_a_side_that_is_not_told_is_inferred_from_the_mid_and_spoils_the_share() -> None:
    kernel = opened([Leaf("buy_volume", (SECOND,)), Leaf("buy_share", (SECOND,)), Leaf("unsure_volume", (SECOND,))])
    feed(kernel, snapshot(START))
    feed(
        kernel,
        [trade(START, 100.1, 1.0, BUY), trade(START + 2 * SECOND, 100.1, 3.0, 0), trade(START + 2 * SECOND, 100.1, 1.0, BUY)],
    )
    found = read(kernel, START + 2 * SECOND)
    assert (found["buy_volume(1000000)"], found["unsure_volume(1000000)"]) == (4.0, 3.0)
    assert math.isnan(found["buy_share(1000000)"])
