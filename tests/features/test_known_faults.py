"""Faults that the kernel once had, each with the case that showed it."""

from __future__ import annotations

import math
from typing import Final

import pytest
from features.oracle.world import World
from features.streams import SECOND, START, Row, feed, opened, read, trade

from guard.features.kernel import Kernel
from guard.features.tables import Leaf
from guard.model import ASK, BID, Channel, Flag, Kind, Market, MarketFacts, Status

DAY: Final = 86_400 * SECOND
MINUTE: Final = 60 * SECOND


def book(at_us: int, bid: float, ask: float) -> list[Row]:
    rows = [Row(Kind.LEVEL, at_us, price, 1.0, side, 0, Flag.SNAPSHOT) for price, side in ((bid, BID), (ask, ASK))]
    return [rows[0], rows[1]._replace(flags=Flag.SNAPSHOT | Flag.LAST)]


def status(at_us: int, channel: Channel, code: Status) -> Row:
    return Row(Kind.STATUS, at_us, side=channel, key=code)


def test_a_lost_book_leaves_no_open_mid_behind() -> None:
    kernel = opened([Leaf("open_mid", (MINUTE,)), Leaf("mid")])
    feed(kernel, [*book(START, 99.0, 101.0), status(START + MINUTE, Channel.BOOK, Status.LOST)])
    back_us = START + 10 * MINUTE
    feed(kernel, [status(back_us, Channel.BOOK, Status.LIVE), *book(back_us + 5 * SECOND, 198.0, 202.0)])
    found = read(kernel, back_us + MINUTE + 2 * SECOND)
    assert found["mid()"] == 200.0
    assert math.isnan(found["open_mid(60000000)"])


def test_a_lost_book_leaves_no_spread_behind() -> None:
    kernel = opened([Leaf("spread_median", (DAY,))])
    for second in range(40):
        feed(kernel, book(START + second * SECOND, 99.0, 101.0))
    lost_us = START + 40 * SECOND
    feed(kernel, [*book(lost_us, 75.0, 125.0), status(lost_us, Channel.BOOK, Status.LOST)])
    feed(kernel, book(lost_us + 10 * MINUTE, 99.0, 101.0))
    assert read(kernel, lost_us + 10 * MINUTE)["spread_median(86400000000)"] == pytest.approx(0.02, rel=0.1)


def test_a_side_is_not_inferred_from_a_lost_book() -> None:
    kernel = opened([Leaf("buy_volume", (SECOND,))])
    feed(kernel, [*book(START, 99.0, 101.0), trade(START, 100.0), status(START + SECOND, Channel.BOOK, Status.LOST)])
    feed(kernel, [trade(START + 10 * MINUTE, 150.0, 1.0, 0)])
    assert read(kernel, START + 10 * MINUTE)["buy_volume(1000000)"] == 0.0


def test_the_reference_return_is_right_where_the_reference_is_ahead() -> None:
    kernel = Kernel([Leaf("reference_ret", (10 * SECOND,))])
    for symbol in ("X/USDT", "BTC/USDT"):
        kernel.open(MarketFacts(Market("sim", symbol)))
    kernel.set_reference(0, 1)
    feed(kernel, [trade(START + number * SECOND, 100.0 * 1.01**number, market=1) for number in range(31)])
    ahead_us = START + 30 * SECOND
    behind_us = ahead_us - 600_000
    feed(kernel, [trade(behind_us, 1.0)])
    found = read(kernel, behind_us)["reference_ret(10000000)"]
    assert 1.01**9 - 1.001 <= found <= 1.01**12 - 0.999


def test_levels_on_the_edge_of_the_band_count_on_both_sides() -> None:
    for cents in range(10_000, 10_200):
        mid = cents / 100
        kernel = opened([Leaf("depth", (1e-6, "bid")), Leaf("depth", (1e-6, "ask"))], tick=0.01)
        levels = [(side, round(mid - side * step / 100, 2)) for step in (1, 5) for side in (BID, ASK)]
        rows = [Row(Kind.LEVEL, START, price, 1.0, side, 0, Flag.SNAPSHOT) for side, price in levels]
        feed(kernel, [*rows[:-1], rows[-1]._replace(flags=Flag.SNAPSHOT | Flag.LAST)])
        assert [round(value / mid) for value in read(kernel, START).values()] == [2, 2], mid


def test_depth_does_not_depend_on_what_else_is_read() -> None:
    rows = [row for second in range(100) for row in book(START + second * SECOND, 99.0, 101.0)]
    levels = [(BID, 94.0), (ASK, 106.0), (BID, 97.0), (ASK, 103.0)]
    wide = [Row(Kind.LEVEL, START + 200 * SECOND, price, 1.0, side, 0, Flag.SNAPSHOT) for side, price in levels]
    wide[-1] = wide[-1]._replace(flags=Flag.SNAPSHOT | Flag.LAST)
    found = []
    for more in ([], [Leaf("spread_median", (DAY,))]):
        kernel = opened([Leaf("depth", (0.001, "both")), *more])
        feed(kernel, rows + wide)
        found.append(read(kernel, START + 201 * SECOND)["depth(0.001, both)"])
    assert found[0] == found[1]


def test_empty_bins_right_after_a_beginning_are_observed() -> None:
    kernel = opened([Leaf("high_rush", (10 * SECOND, "buy"))])
    feed(kernel, [trade(START + 5 * SECOND, 1.0)])
    feed(kernel, [trade(START + 5 * SECOND + 1_000 * SECOND, 1.0)])
    assert read(kernel, START + 1_010 * SECOND)["high_rush(10000000, buy)"] == 0.0


def test_an_order_counts_once_though_another_prints_between() -> None:
    kernel = opened([Leaf("rush_orders", (SECOND, "buy"))])
    feed(kernel, [trade(START, 1.0)])
    at_us = START + 10 * SECOND
    prints = ((1.0, 1), (1.1, 1), (1.0, -1), (1.2, 1))
    feed(kernel, [trade(at_us, price, 1.0, side) for price, side in prints])
    assert read(kernel, at_us)["rush_orders(1000000, buy)"] == 1.0


def test_what_was_added_long_ago_is_not_fresh_because_more_came() -> None:
    world = World(["removed_unfilled(w=60s, side=bid)"])
    world.take(book(START, 99.9, 100.1))
    for second, size in ((100, 11.0), (125, 12.0), (150, 1.0)):
        world.take([Row(Kind.LEVEL, START + second * SECOND, 99.9, size, BID, 0, Flag.LAST)])
    found, _ = world.read(START + 155 * SECOND, START + 155 * SECOND)
    assert next(iter(found.values())) == pytest.approx(1.0 * 99.9)
