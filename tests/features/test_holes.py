"""A hole in a stream: baselines learn nothing from it, and nothing is compared across it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from features.streams import SECOND, START, Row, feed, opened, read, trade
from features.test_order_and_gaps import ENDS, MINUTE, change, gap, gapped, lost, snapshot, status, steady
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.features.kernel import Kernel
from guard.features.tables import Leaf
from guard.model import Channel, Flag, Market, MarketFacts, Status

if TYPE_CHECKING:
    from collections.abc import Callable


# Baselines.

TRADE_BASELINES = [
    *(Leaf(name, (21_600 * SECOND,)) for name in ("minute_median", "minute_mean", "minute_sd")),
    Leaf("high_buys", (10 * SECOND,)),
    Leaf("high_rush", (10 * SECOND, "buy")),
]
STRETCH = 120


def stretch(begin_us: int, sizes: list[int]) -> list[Row]:
    """Two hours of trades, one a minute and sweeps now and then."""
    rows = []
    for number in range(STRETCH):
        size = sizes[number % len(sizes)]
        at_us = begin_us + number * MINUTE + size % 50 * SECOND
        if size:
            rows += [trade(at_us, 100.0 + step, size / 8) for step in range(1 + size % 3)]
    return rows


def told_after(hole: Callable[[int, int], list[Row]], sizes: list[int], *, lasted_us: int) -> str:
    """Return what baselines say after a stretch, a hole and another stretch."""
    kernel = opened(TRADE_BASELINES, streams=frozenset({"trades"}))
    feed(kernel, stretch(START, sizes))
    end_us = START + STRETCH * MINUTE + 20 * SECOND
    back_us = end_us + lasted_us
    feed(kernel, hole(end_us, back_us))
    begin_us = back_us // MINUTE * MINUTE + MINUTE
    feed(kernel, stretch(begin_us, sizes[::-1]))
    return repr(read(kernel, begin_us + STRETCH * MINUTE + MINUTE))


@pytest.mark.parametrize("hole", [*(lost(code) for code in ENDS), gapped], ids=[*ENDS, "gap"])
@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 200), min_size=5, max_size=40), st.integers(2, 3_000))
def test_baselines_are_what_they_would_be_if_the_hole_did_not_exist(
    hole: Callable[[int, int], list[Row]], sizes: list[int], minutes: int
) -> None:
    assert told_after(hole, sizes, lasted_us=minutes * MINUTE) == told_after(hole, sizes, lasted_us=MINUTE)


@pytest.mark.parametrize("code", ENDS)
def test_history_of_a_hole_is_not_told_twice(code: Status) -> None:
    def refilled(end_us: int, back_us: int) -> list[Row]:
        first, last = lost(code)(end_us, back_us)
        past = [trade(at_us, 100.0, 900.0, flags=Flag.BACKFILL) for at_us in range(end_us, back_us, 20 * SECOND)]
        return [first, *past, status(back_us, Status.WARM), last]

    sizes = list(range(40))
    assert told_after(refilled, sizes, lasted_us=10 * MINUTE) == told_after(lost(code), sizes, lasted_us=10 * MINUTE)


@pytest.mark.parametrize("part", ["before", "after"])
@pytest.mark.parametrize("how", ["gap", *ENDS])
def test_a_bin_that_began_before_a_gap_ended_feeds_no_baseline(how: str | Status, part: str) -> None:
    found = set()
    for amount in (1.0, 5_000.0):
        kernel = opened(TRADE_BASELINES, streams=frozenset({"trades"}))
        feed(kernel, stretch(START, [4, 9, 16]))
        begin_us = START + STRETCH * MINUTE
        lost_us, back_us = begin_us + 21 * SECOND, begin_us + 22 * SECOND
        extra = [trade(begin_us + (20 if part == "before" else 23) * SECOND, 100.0, amount)]
        ends = [gap(back_us, Channel.TRADES, good_us=lost_us)]
        if isinstance(how, Status):
            ends = lost(how)(lost_us, back_us)
        feed(kernel, [*extra, *ends] if part == "before" else [*ends, *extra])
        feed(kernel, [trade(begin_us + 3 * MINUTE, 100.0, 1.0)])
        found.add(repr(read(kernel, begin_us + 5 * MINUTE)))
    assert len(found) == 1


def spreads(how: str | Status, *, lasted_us: int) -> str:
    kernel = opened([Leaf(f"spread_{name}", (86_400 * SECOND,)) for name in ("median", "mean", "sd", "high")])
    for number in range(200):
        feed(kernel, snapshot(START + number * SECOND, half=0.5 + number % 5 / 10))
    end_us = START + 200 * SECOND
    back_us = end_us + lasted_us
    ends = [gap(back_us, Channel.BOOK, good_us=end_us)]
    if isinstance(how, Status):
        ends = [status(end_us, how, Channel.BOOK), status(back_us, Status.LIVE, Channel.BOOK)]
    feed(kernel, ends)
    for number in range(200):
        feed(kernel, snapshot(back_us + number * SECOND, half=0.3))
    return repr(read(kernel, back_us + 200 * SECOND))


@pytest.mark.parametrize("how", ["gap", *ENDS])
def test_the_spread_of_a_hole_is_not_sampled(how: str | Status) -> None:
    assert spreads(how, lasted_us=SECOND) == spreads(how, lasted_us=40 * SECOND)


# Nothing is compared across a hole.


@pytest.mark.parametrize("how", ["gap", Status.LOST])
@pytest.mark.parametrize(
    ("leaf", "calm"),
    [
        (Leaf("ewma_price"), 120.0),
        (Leaf("squares", (60 * SECOND,)), 0.0),
        (Leaf("open_price", (60 * SECOND,)), 120.0),
        (Leaf("low", (60 * SECOND,)), 120.0),
        (Leaf("rush", (60 * SECOND, "buy")), 0.0),
    ],
)
def test_a_price_that_moved_during_a_hole_is_no_move_after_it(how: str | Status, leaf: Leaf, calm: float) -> None:
    kernel = opened([leaf], streams=frozenset({"trades"}))
    end_us = START + 1_200 * SECOND
    feed(kernel, [trade(at_us, 100.0) for at_us in range(START, end_us, SECOND)])
    back_us = end_us + 600 * SECOND
    ends = [gap(back_us, Channel.TRADES, good_us=end_us)]
    if isinstance(how, Status):
        ends = lost(how)(end_us, back_us)
    feed(kernel, [*ends, *(trade(back_us + number * SECOND, 120.0) for number in range(61))])
    value = read(kernel, back_us + 61 * SECOND)[str(leaf)]
    assert math.isnan(value) or value == pytest.approx(calm)


@pytest.mark.parametrize("how", ["gap", Status.LOST])
@pytest.mark.parametrize("is_before", [True, False])
@pytest.mark.parametrize("over", [(), (300 * SECOND,)])
def test_a_past_that_comes_after_a_hole_is_no_price_of_now(how: str | Status, over: tuple[int, ...], *, is_before: bool) -> None:
    leaf = Leaf("ewma_price", over)
    kernel = opened([leaf], streams=frozenset({"trades"}))
    end_us = START + 60 * SECOND
    back_us = end_us + 600 * SECOND
    feed(kernel, [trade(at_us, 100.0) for at_us in range(START, end_us, SECOND)])
    past = [trade(START - number * SECOND, 100.0, flags=Flag.BACKFILL) for number in range(900, 0, -1)]
    ends = lost(how)(end_us, back_us) if isinstance(how, Status) else [gap(back_us, Channel.TRADES, good_us=end_us)]
    rows = [ends[0], *past, *ends[1:]] if is_before else [*ends, *past]
    feed(kernel, [*rows, trade(back_us, 120.0)])
    assert math.isnan(read(kernel, back_us + SECOND)[str(leaf)])
    feed(kernel, [trade(back_us + number * SECOND, 120.0) for number in range(1, 700)])
    assert read(kernel, back_us + 700 * SECOND)[str(leaf)] == pytest.approx(120.0)


@pytest.mark.parametrize("how", ["gap", Status.LOST])
def test_kept_prints_have_no_neighbours_across_a_hole(how: str | Status) -> None:
    kernel = opened([Leaf("prints_path")], streams=frozenset({"trades"}))
    end_us = START + 100 * SECOND
    feed(kernel, [trade(at_us, 100.0) for at_us in range(START, end_us, SECOND)])
    back_us = end_us + 600 * SECOND
    feed(kernel, [gap(back_us, Channel.TRADES, good_us=end_us)] if how == "gap" else lost(Status.LOST)(end_us, back_us))
    feed(kernel, [trade(back_us + number * SECOND, 120.0) for number in range(61)])
    path = read(kernel, back_us + 61 * SECOND)["prints_path()"]
    assert math.isnan(path) or path == pytest.approx(0.0)


@pytest.mark.parametrize("how", ["gap", Status.LOST])
def test_beta_does_not_learn_from_the_return_over_a_hole(how: str | Status) -> None:
    def beta(jump: float) -> float:
        kernel = Kernel([Leaf("beta")])
        for base in ("BTC", "X"):
            kernel.open(MarketFacts(Market("sim", f"{base}/USDT"), streams=frozenset({"trades"})))
        kernel.set_reference(1, 0)
        for number in range(60):
            at_us = START + number * MINUTE
            feed(kernel, [trade(at_us, 100.0 + number % 2, market=0), trade(at_us + 1, 100.0 + number % 2, market=1)])
        back_us = at_us + 7_200 * SECOND
        for market in (0, 1):
            ends = [gap(back_us, Channel.TRADES, good_us=at_us)] if how == "gap" else lost(Status.LOST)(at_us, back_us)
            feed(kernel, [row._replace(market=market) for row in ends])
        for number in range(5):
            at_us = back_us + number * MINUTE
            feed(kernel, [trade(at_us, 110.0, market=0), trade(at_us + 1, 100.0 * jump, market=1)])
        return read(kernel, at_us + 1, 1)["beta()"]

    assert beta(1.0) == pytest.approx(beta(1.5))


@pytest.mark.parametrize("how", ["gap", Status.LOST])
def test_what_left_the_book_while_trades_were_missing_is_not_called_unfilled(how: str | Status) -> None:
    def removed(left: float) -> float:
        kernel = opened([Leaf("removed_unfilled", (10 * SECOND, "bid"))])
        end_us = START + 40 * SECOND
        feed(kernel, steady(START, end_us))
        back_us = end_us + SECOND
        feed(kernel, [status(end_us, Status.LOST, Channel.TRADES)] if how == Status.LOST else [])
        feed(kernel, [change(end_us + 100_000, size=left)])
        if how == Status.LOST:
            feed(kernel, [status(back_us, Status.LIVE, Channel.TRADES)])
        else:
            feed(kernel, [gap(back_us, Channel.TRADES, good_us=end_us)])
        feed(kernel, [trade(back_us + 400_000, 100.0)])
        return read(kernel, back_us + 3 * SECOND)["removed_unfilled(10000000, bid)"]

    assert removed(0.0) == removed(9.0)
