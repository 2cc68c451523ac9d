"""Baselines, the average price, the reference market and the kept prints against exact answers."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from statistics import median

import pytest
from features.streams import SECOND, START, Row, feed, opened, read, tapes, trade
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.features.kernel import Kernel, baselines, prints
from guard.features.kernel import slots as s
from guard.features.kernel.layout import Layout
from guard.features.tables import Leaf
from guard.model import BUY, SELL, Channel, Flag, Kind, Market, MarketFacts


def observe(layout: Layout, x: list[float], value: float, *, age: float = 0.0) -> None:
    baselines.observe(x, layout.plan, layout.numbers, layout.plan[s.P_BASELINES], value, 1.0, age)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.just(0.0), st.floats(0.5, 1e4)), min_size=100, max_size=400))
def test_median_and_high_quantile_are_right_within_a_bucket(values: list[float]) -> None:
    layout = Layout([Leaf("high_buys", (10 * SECOND,))])
    (item,) = layout.baselines
    x, _ = layout.blank()
    for value in values:
        observe(layout, x, value)
    baselines._refresh(x, layout.numbers, item.offset, 0, 1)
    ordered = sorted(values, reverse=True)
    step = 2**0.25
    high = ordered[7]
    found = x[item.offset + baselines.HIGH]
    assert found == pytest.approx(0.0) if high == 0 else high / step <= found <= high * step * step
    seen = [value for value in values if value > 0]
    if len(seen) >= 30:
        middle = sorted(seen)[(len(seen) - 1) // 2 : len(seen) // 2 + 1]
        assert min(middle) / step <= x[item.offset + baselines.MEDIAN] <= max(middle) * step


def test_a_tiny_first_value_and_an_absurd_one_leave_the_quantile_right() -> None:
    layout = Layout([Leaf("high_buys", (10 * SECOND,))])
    (item,) = layout.baselines
    x, _ = layout.blank()
    for value in [1e-9, *[50.0] * 200, 1e30, *[50.0] * 20]:
        observe(layout, x, value)
    assert x[item.offset + baselines.HIGH] == pytest.approx(50.0, rel=0.2)
    assert x[item.offset + baselines.MEDIAN] == pytest.approx(50.0, rel=0.2)


def test_a_quantile_is_unknown_below_80_bins_and_old_bins_fade() -> None:
    layout = Layout([Leaf("high_buys", (10 * SECOND,))])
    (item,) = layout.baselines
    x, _ = layout.blank()
    for number in range(80):
        assert math.isnan(x[item.offset + baselines.HIGH]), number
        observe(layout, x, 100.0)
    assert x[item.offset + baselines.HIGH] == pytest.approx(100.0, rel=0.2)
    for _ in range(3_000):
        observe(layout, x, 1.0, age=0.01)
    assert x[item.offset + baselines.HIGH] == pytest.approx(1.0, rel=0.2)


def test_minutes_count_empty_ones_and_leave_out_those_of_a_gap() -> None:
    leaves = [Leaf(name, (21_600 * SECOND,)) for name in ("minute_median", "minute_mean")]
    steady, gapped = opened(leaves), opened(leaves)
    rows = [trade(START + 120 * minute * SECOND, 2.0, 5.0) for minute in range(60)]
    feed(steady, rows)
    end_us = rows[-1].at_us
    found = read(steady, end_us + 60 * SECOND)
    assert found["minute_median(21600000000)"] == pytest.approx(10.0, rel=0.1)
    assert found["minute_mean(21600000000)"] == pytest.approx(math.log(2) / 2, rel=0.1)
    feed(gapped, rows)
    feed(gapped, [Row(Kind.STATUS, end_us + 60 * SECOND, side=Channel.ALL, key=2)])
    feed(gapped, [Row(Kind.STATUS, end_us + 7_200 * SECOND, side=Channel.ALL, key=1)])
    assert read(gapped, end_us + 7_260 * SECOND)["minute_mean(21600000000)"] == pytest.approx(math.log(2) / 2, rel=0.1)


def test_the_usd_floor_holds_only_where_a_rate_is_known() -> None:
    rows = [trade(START + 10 * number * SECOND, 1.0, 1.0) for number in range(200)]
    for rate, expected in ((None, 20.0), (2.0, 250.0)):
        kernel = opened([Leaf("high_buys", (10 * SECOND,))], usd_rate=rate)
        feed(kernel, rows)
        assert read(kernel, rows[-1].at_us)["high_buys(10000000)"] == pytest.approx(expected, rel=0.1)


@settings(max_examples=40, deadline=None)
@given(tapes())
def test_the_average_price_weighs_each_price_by_how_long_it_held(rows: list[Row]) -> None:
    kernel = opened([Leaf("ewma_price")])
    feed(kernel, rows)
    at_us = rows[-1].at_us + 30 * SECOND
    average, held = rows[0].price, rows[0]
    for row in [*rows[1:], rows[-1]._replace(at_us=at_us)]:
        average += (held.price - average) * (1 - math.exp(-(row.at_us - held.at_us) / 6e8))
        held = row
    found = read(kernel, at_us)["ewma_price()"]
    if at_us - rows[0].at_us < 600 * SECOND:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(average, rel=1e-9)


def _pair(*, is_joined: bool) -> Kernel:
    kernel = Kernel([Leaf("beta"), Leaf("reference_ret", (60 * SECOND,)), Leaf("reference_gap")])
    for base in ("BTC", "X"):
        kernel.open(MarketFacts(Market("sim", f"{base}/USDT")))
    if is_joined:
        kernel.set_reference(1, 0)
    return kernel


def test_without_a_reference_market_its_return_and_beta_are_zero() -> None:
    kernel = _pair(is_joined=False)
    feed(kernel, [trade(START, 1.0, market=1)])
    assert read(kernel, START, 1) == {"beta()": 0.0, "reference_ret(60000000)": 0.0, "reference_gap()": 0.0}


def test_a_reference_market_is_followed_and_unknown_when_it_is_lost() -> None:
    kernel = _pair(is_joined=True)
    for minute in range(300):
        at_us = START + minute * 60 * SECOND
        price = 100.0 + minute % 3
        feed(kernel, [trade(at_us, price, market=0), trade(at_us + 1, (price / 100.0) ** 2, market=1)])
    found = read(kernel, at_us + 1, 1)
    assert found["beta()"] == pytest.approx(2.0, rel=0.1)
    assert found["reference_ret(60000000)"] == pytest.approx(0.02)
    feed(kernel, [Row(Kind.STATUS, at_us + 2, side=Channel.TRADES, key=2)])
    lost = read(kernel, at_us + 3, 1)
    assert math.isnan(lost["reference_ret(60000000)"])
    assert math.isnan(lost["reference_gap()"])


PRINTS = [Leaf(f"prints_{name}") for name in ("count", "pairs", "alternation", "path", "turnover", "top_size", "entropy")]


@settings(max_examples=25, deadline=None)
@given(tapes(size=80), st.integers(1, 12))
def test_kept_prints_equal_a_plain_count(rows: list[Row], copies: int) -> None:
    kernel = opened(PRINTS)
    shift = rows[-1].at_us - START + 5 * SECOND
    tape = [row._replace(at_us=row.at_us + shift * copy) for copy in range(copies) for row in rows]
    feed(kernel, tape)
    kept = [row for row in tape[-500:] if tape[-1].at_us - row.at_us <= 86_400 * SECOND]
    found = read(kernel, tape[-1].at_us)
    assert found["prints_count()"] == len(kept)
    sizes = Counter(prints._bucket(row.amount) for row in kept)
    assert found["prints_top_size()"] == pytest.approx(max(sizes.values()) / len(kept))
    if len(kept) == 1:
        assert math.isnan(found["prints_pairs()"])
        return
    steps = list(pairwise(kept))
    opposite = [a.side != b.side for a, b in steps]
    pairs = [
        turn and a.amount == b.amount and b.at_us - a.at_us <= 2 * SECOND for turn, (a, b) in zip(opposite, steps, strict=True)
    ]
    assert found["prints_alternation()"] == pytest.approx(sum(opposite) / len(steps))
    assert found["prints_pairs()"] == pytest.approx(sum(pairs) / len(steps))
    assert found["prints_path()"] == pytest.approx(sum(abs(b.price / a.price - 1) * a.price / b.price for a, b in steps), abs=1e-6)
    assert found["prints_turnover()"] == pytest.approx(sum(b.price * b.amount for _, b in steps))
    exact = math.log(len(kept)) - sum(n * math.log(n) for n in sizes.values()) / len(kept)
    assert found["prints_entropy()"] == pytest.approx(exact / math.log(len(kept)), abs=1e-6)


@pytest.mark.parametrize("step", [1.0, 0.125, 0.001, 100.0, 1e-8])
def test_few_sizes_share_a_bucket(step: float) -> None:
    assert len({prints._bucket(number * step) for number in range(1, 201)}) >= 165


def test_a_spread_has_its_own_median() -> None:
    kernel = opened([Leaf("spread_median", (86_400 * SECOND,)), Leaf("spread_high", (86_400 * SECOND,)), Leaf("spread")])
    widths = [0.1 + 0.01 * (number % 7) for number in range(300)]
    for number, width in enumerate(widths):
        rows = [Row(Kind.LEVEL, START + number * SECOND, 100 - side * width, 1.0, side, 0, 1, 0) for side in (1, -1)]
        feed(kernel, [rows[0], rows[1]._replace(flags=3)])
    found = read(kernel, START + 300 * SECOND)
    assert found["spread_median(86400000000)"] == pytest.approx(median(widths) * 2 / 100, rel=0.1)
    assert found["spread_high(86400000000)"] == pytest.approx(0.32 / 100, rel=0.15)
    assert BUY == -SELL


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.0, 1.0, 2.0, 3.0, 7.0, 40.0]), min_size=80, max_size=300))
def test_low_quantile_and_median_count_zeros_and_are_right_within_a_bucket(values: list[float]) -> None:
    layout = Layout([Leaf("low_trades", (10 * SECOND,)), Leaf("median_trades", (10 * SECOND,))])
    (item,) = layout.baselines
    x, _ = layout.blank()
    for value in values:
        observe(layout, x, value)
    baselines._descend(x, layout.numbers, item.offset, 0)
    ordered, step = sorted(values, reverse=True), 2**0.25
    low, middle = (ordered[math.ceil(share * len(values) - 1e-9) - 1] for share in (0.9, 0.5))
    assert low / step <= x[item.offset + baselines.LOW] <= low
    assert middle / math.sqrt(step) <= x[item.offset + baselines.MIDDLE] * (1 + 1e-12)
    assert x[item.offset + baselines.MIDDLE] <= middle * math.sqrt(step) * (1 + 1e-12)


def test_a_low_quantile_is_unknown_below_80_bins_and_a_median_below_30() -> None:
    layout = Layout([Leaf("low_trades", (10 * SECOND,))])
    (item,) = layout.baselines
    x, _ = layout.blank()
    for number in range(1, 81):
        observe(layout, x, 4.0)
        assert math.isnan(x[item.offset + baselines.MIDDLE]) == (number < 30), number
        assert math.isnan(x[item.offset + baselines.LOW]) == (number < 80), number
    assert x[item.offset + baselines.LOW] == 4.0


def test_bins_of_a_hole_are_no_quiet_bins() -> None:
    leaves = [Leaf("low_trades", (10 * SECOND,)), Leaf("median_trades", (10 * SECOND,))]
    kernel = opened(leaves)
    feed(kernel, [trade(START + number * SECOND, 2.0) for number in range(1_000)])
    end_us = START + 1_000 * SECOND
    before = read(kernel, end_us)
    assert before["low_trades(10000000)"] == pytest.approx(10.0, rel=0.17)
    feed(kernel, [Row(Kind.STATUS, end_us, side=Channel.ALL, key=2)])
    feed(kernel, [Row(Kind.STATUS, end_us + 9_000 * SECOND, side=Channel.ALL, key=1)])
    assert read(kernel, end_us + 9_000 * SECOND) == before
    quiet = read(kernel, end_us + 10_500 * SECOND)
    assert quiet["low_trades(10000000)"] == 0.0
    assert quiet["median_trades(10000000)"] == 0.0


def _book(at_us: int, size: float, *, is_full: bool = True) -> list[Row]:
    flags = Flag.SNAPSHOT if is_full else Flag.NONE
    rows = [Row(Kind.LEVEL, at_us, 100.0 - side * 0.01, size, side, 0, flags) for side in (1, -1)]
    return [rows[0], rows[1]._replace(flags=flags | Flag.LAST)]


DAY_US = 86_400 * SECOND
DEPTHS = [Leaf(name, (0.002, "bid", DAY_US)) for name in ("depth_median", "depth_low")]
MEDIAN_DEPTH, LOW_DEPTH = map(str, DEPTHS)


def test_usual_depth_is_what_held_at_each_second() -> None:
    """Each message changes the book in the middle of a second: what it replaces held at the beginning of that second."""
    kernel = opened(DEPTHS)
    sizes = [1.0 + number % 10 for number in range(400)]
    for number, size in enumerate(sizes):
        feed(kernel, _book(START + number * SECOND + 500_000, size, is_full=number == 0))
    found = read(kernel, START + 400 * SECOND)
    assert found[MEDIAN_DEPTH] == pytest.approx(99.99 * median(sizes), rel=0.12)
    assert 99.99 * 1.0 / 2**0.125 <= found[LOW_DEPTH] <= 99.99 * 2.0


def test_a_new_depth_waits_for_a_second_that_it_saw_and_a_lost_book_is_no_empty_one() -> None:
    kernel = opened(DEPTHS)
    feed(kernel, _book(START, 5.0))
    feed(kernel, _book(START + 29 * SECOND, 5.0))
    assert math.isnan(read(kernel, START + 29 * SECOND)[MEDIAN_DEPTH])
    # A run of equal seconds weighs a little less than its number.
    feed(kernel, _book(START + 31 * SECOND, 5.0))
    assert read(kernel, START + 31 * SECOND)[MEDIAN_DEPTH] == pytest.approx(499.95, rel=0.1)
    for number in range(60):
        feed(kernel, _book(START + (32 + number) * SECOND, 5.0))
    before = read(kernel, START + 92 * SECOND)
    feed(kernel, [Row(Kind.STATUS, START + 92 * SECOND, side=Channel.BOOK, key=2)])
    feed(kernel, _book(START + 900 * SECOND, 1.0))
    assert read(kernel, START + 900 * SECOND) == before


def test_depth_is_the_same_whether_or_not_its_usual_is_read() -> None:
    alone, beside = opened([Leaf("depth", (0.002, "bid"))]), opened([Leaf("depth", (0.002, "bid")), *DEPTHS])
    for number in range(100):
        for kernel in (alone, beside):
            feed(kernel, _book(START + number * 700_000, 1.0 + number % 7, is_full=number % 9 == 0))
        name = str(alone.leaves[0])
        assert read(alone, START + number * SECOND)[name] == read(beside, START + number * SECOND)[name]


def test_a_market_that_names_no_usual_depth_and_no_further_average_has_no_room_for_them() -> None:
    plain = Layout([Leaf("depth", (0.002, "bid")), Leaf("ewma_price", (600 * SECOND,))])
    assert (plain.plan[s.P_DEPTH_COUNT], plain.plan[s.P_AVERAGE_COUNT]) == (0, 0)
    assert Layout([Leaf("depth", (0.002, "bid"))]).floats == plain.floats
    assert Layout([*plain.leaves, Leaf("ewma_price", (60 * SECOND,))]).floats == plain.floats + 1


TAUS = (30 * SECOND, 60 * SECOND, 3_600 * SECOND)


@settings(max_examples=40, deadline=None)
@given(tapes())
def test_averages_over_several_times_weigh_each_price_by_how_long_it_held(rows: list[Row]) -> None:
    kernel = opened([Leaf("ewma_price", (tau,)) for tau in TAUS])
    feed(kernel, rows)
    at_us = rows[-1].at_us + 30 * SECOND
    found = read(kernel, at_us)
    for tau in TAUS:
        average, held = rows[0].price, rows[0]
        for row in [*rows[1:], rows[-1]._replace(at_us=at_us)]:
            average += (held.price - average) * (1 - math.exp(-(row.at_us - held.at_us) / tau))
            held = row
        value = found[f"ewma_price({tau})"]
        assert math.isnan(value) if at_us - rows[0].at_us < tau else value == pytest.approx(average, rel=1e-9)


def test_an_average_that_rules_name_later_begins_then_and_all_begin_anew_after_a_hole() -> None:
    kernel = opened([Leaf("ewma_price", (600 * SECOND,))])
    feed(kernel, [trade(START + number * SECOND, 100.0) for number in range(1_000)])
    kernel.adopt([Leaf("ewma_price", (tau,)) for tau in (600 * SECOND, 60 * SECOND)])
    at_us = START + 1_000 * SECOND
    feed(kernel, [trade(at_us, 110.0)])
    assert math.isnan(read(kernel, at_us + 59 * SECOND)["ewma_price(60000000)"])
    assert read(kernel, at_us + 60 * SECOND)["ewma_price(60000000)"] == pytest.approx(110.0)
    assert read(kernel, at_us + 60 * SECOND)["ewma_price(600000000)"] < 102.0
    feed(kernel, [Row(Kind.GAP, at_us + 100 * SECOND, side=Channel.TRADES)])
    assert math.isnan(read(kernel, at_us + 900 * SECOND)["ewma_price(60000000)"])
    feed(kernel, [trade(at_us + 1_000 * SECOND, 90.0)])
    assert math.isnan(read(kernel, at_us + 1_059 * SECOND)["ewma_price(60000000)"])
    assert read(kernel, at_us + 1_060 * SECOND)["ewma_price(60000000)"] == pytest.approx(90.0)
