"""Fields of flow, bars, digits and data quality: by hand, across holes, and only paid for where they are named."""

from __future__ import annotations

import json
import math

import pytest
from features.oracle.stories import READ, long_story
from features.oracle.world import World, variants
from features.streams import SECOND, START, Row, feed, opened, read, trade
from features.test_order_and_gaps import ENDS, change, gap, snapshot, status

from guard.features.catalogue import CATALOGUE
from guard.features.fields import FIELDS
from guard.features.kernel import Kernel
from guard.features.kernel import slots as s
from guard.features.kernel.layout import Layout
from guard.features.kernel.sizes import BOOK_CAP
from guard.features.tables import Leaf
from guard.model import ASK, BUY, SELL, Channel, Flag, Kind, Market, MarketFacts, Status

MINUTE = 60 * SECOND
WINDOW = 60 * SECOND
LONG = 1_800 * SECOND
OF_BARS = ("path", "mirrored", "flow_return", "flow_squares", "bar_impact", "bars", "bar_ranges")
OF_FLOW = ("book_messages", "flow_imbalance", "added")
OF_PRINTS = ("prints_regularity", "prints_benford", "prints_round", "prints_hill")
OTHERS = ("swept", "events", "late", "coverage", "lag", "market_age", "corr", "slippage")
HOLES = pytest.mark.parametrize("how", ["gap", *ENDS])


def leaf(name: str, window_us: int = WINDOW) -> Leaf:
    """Return a field with its window and what else it takes."""
    rest = {"swept": ("both",), "added": ("both",)}
    return Leaf(name, (window_us, *rest.get(name, ())))


def hole(how: str | Status, channel: Channel, end_us: int, back_us: int) -> list[Row]:
    if isinstance(how, Status):
        return [status(end_us, how, channel), status(back_us, Status.LIVE, channel)]
    return [gap(back_us, channel, good_us=end_us)]


def deals(begin_us: int, seconds: int, price: float = 100.0) -> list[Row]:
    """Return trades of every second that go up and down, each the mirror of the one before, some of them sweeps."""
    return [
        trade(begin_us + number * SECOND + part * 1_000, price + number % 7 + part / 8, 2.0, SELL if part else BUY)
        for number in range(seconds)
        for part in range(2)
    ]


def quotes(begin_us: int, seconds: int) -> list[Row]:
    """Return a book and one change of its best bid each second."""
    changes = [change(begin_us + number * SECOND, size=1.0 + number) for number in range(1, seconds)]
    return [*snapshot(begin_us), *changes]


# Coverage.


@HOLES
@pytest.mark.parametrize("name", [*OF_BARS, "swept"])
def test_a_field_of_trades_is_unknown_until_its_window_is_covered_again(how: str | Status, name: str) -> None:
    kernel = opened([leaf(name)], streams=frozenset({"trades"}))
    end_us = START + 200 * SECOND
    feed(kernel, deals(START, 200))
    assert not math.isnan(read(kernel, end_us)[str(leaf(name))])
    back_us = end_us + 20 * SECOND
    feed(kernel, hole(how, Channel.TRADES, end_us, back_us))
    for after_s, is_known in ((1, False), (59, False), (60, True)):
        feed(kernel, deals(back_us + (after_s - 1) * SECOND, 1))
        assert math.isnan(read(kernel, back_us + after_s * SECOND)[str(leaf(name))]) is not is_known


@HOLES
@pytest.mark.parametrize("name", OF_FLOW)
def test_a_field_of_the_book_is_unknown_until_its_window_is_covered_again(how: str | Status, name: str) -> None:
    kernel = opened([leaf(name)])
    end_us = START + 200 * SECOND
    feed(kernel, quotes(START, 200))
    assert read(kernel, end_us)[str(leaf(name))] != 0.0
    back_us = end_us + 20 * SECOND
    feed(kernel, hole(how, Channel.BOOK, end_us, back_us))
    feed(kernel, quotes(back_us, 100))
    for after_s, is_known in ((1, False), (59, False), (60, True)):
        kernel = opened([leaf(name)])
        feed(kernel, [*quotes(START, 200), *hole(how, Channel.BOOK, end_us, back_us), *quotes(back_us, after_s)])
        assert math.isnan(read(kernel, back_us + after_s * SECOND)[str(leaf(name))]) is not is_known


@HOLES
def test_the_leaf_of_coverage_is_what_the_kernel_says_of_it(how: str | Status) -> None:
    leaves = [Leaf("coverage", (us,)) for us in (10 * SECOND, WINDOW, LONG)]
    kernel = opened(leaves)
    assert set(read(kernel, START - 1).values()) == {0.0}
    at_us = START + 900 * SECOND
    feed(kernel, [row for second in range(900) for row in (*snapshot(START + second * SECOND), *deals(START + second * SECOND, 1))])
    for rows in ([], hole(how, Channel.TRADES, at_us + 10 * SECOND, at_us + 40 * SECOND), snapshot(at_us + 60 * SECOND)):
        feed(kernel, rows)
        for now_us in (at_us + 40 * SECOND, at_us + 60 * SECOND):
            found = read(kernel, now_us)
            for each in leaves:
                assert found[str(each)] == kernel.coverage(0, int(each.arguments[0]))


# Nothing is compared across a hole.


@HOLES
@pytest.mark.parametrize("name", ["path", "flow_return", "bar_impact", "mirrored", "bar_ranges"])
@pytest.mark.parametrize("lasts_us", [0, 200_000, 600 * SECOND])
def test_a_move_in_a_hole_is_no_move_of_flows_and_bars(how: str | Status, name: str, lasts_us: int) -> None:
    wanted = leaf(name, LONG)
    kernel = opened([wanted], streams=frozenset({"trades"}))
    end_us = START + 2_400 * SECOND
    feed(kernel, [trade(at_us, 100.0) for at_us in range(START, end_us, SECOND)])
    back_us = end_us - SECOND + 1_000 + lasts_us
    feed(kernel, hole(how, Channel.TRADES, end_us - SECOND + 1_000, back_us))
    feed(kernel, [trade(back_us + number * 10 * SECOND, 120.0, side=SELL) for number in range(301)])
    found = read(kernel, back_us + 3_001 * SECOND)[str(wanted)]
    assert found == 0.0, found
    kernel = opened([wanted], streams=frozenset({"trades"}))
    feed(kernel, [trade(at_us, 100.0) for at_us in range(START, end_us, SECOND)])
    feed(kernel, hole(how, Channel.TRADES, end_us - SECOND + 1_000, back_us))
    feed(kernel, [trade(back_us + number * 10 * SECOND, 120.0, side=SELL) for number in range(20)])
    found = read(kernel, back_us + 200 * SECOND)[str(wanted)]
    assert math.isnan(found) or found == 0.0


@HOLES
def test_squares_and_flow_count_the_same_seconds_whatever_is_missing(how: str | Status) -> None:
    """So the share that flow explains, by Cauchy and Schwarz, is at most 1."""
    names = ("flow_return", "flow_squares", "squares")
    kernel = opened([leaf(name, LONG) for name in names], streams=frozenset({"trades"}))
    at_us = START
    for number in range(400):
        feed(kernel, deals(at_us, 5 + number % 3, 100.0 + number % 11))
        at_us += 7 * SECOND + number % 4 * 250_000
        if number % 5 == 0:
            feed(kernel, hole(how, Channel.TRADES, at_us, at_us + number % 3 * 100_000))
            at_us += number % 3 * 100_000
        found = read(kernel, at_us)
        both, flows, moves = (found[str(leaf(name, LONG))] for name in names)
        assert math.isnan(both) or both * both <= flows * moves * (1 + 1e-9)


@HOLES
def test_the_time_over_a_hole_is_no_interval_between_kept_trades(how: str | Status) -> None:
    def regularity(lasts_s: int) -> float:
        kernel = opened([Leaf("prints_regularity")], streams=frozenset({"trades"}))
        rows = [trade(START + number * SECOND, 100.0) for number in range(40)]
        back_us = START + (39 + lasts_s) * SECOND
        feed(kernel, [*rows, *hole(how, Channel.TRADES, rows[-1].at_us, back_us)])
        feed(kernel, [trade(back_us + number * SECOND, 100.0) for number in range(40)])
        return read(kernel, back_us + 40 * SECOND)["prints_regularity()"]

    assert regularity(500) == regularity(1) == 0.0


@HOLES
def test_intervals_that_fall_out_of_the_ring_leave_nothing_behind(how: str | Status) -> None:
    kernel = opened([Leaf("prints_regularity")], streams=frozenset({"trades"}))
    at_us = START
    for number in range(1_500):
        at_us += (1 + number % 9) * 100_000
        if number % 40 == 0 and number < 900:
            feed(kernel, hole(how, Channel.TRADES, at_us, at_us + SECOND))
            at_us += SECOND
        feed(kernel, [trade(at_us, 100.0)])
    waits = [1 + number % 9 for number in range(1_001, 1_500)]
    exact = math.sqrt(len(waits) * sum(wait**2 for wait in waits) / sum(waits) ** 2 - 1)
    assert read(kernel, at_us)["prints_regularity()"] == pytest.approx(exact, rel=1e-12)


@HOLES
def test_quotes_from_before_a_hole_are_no_order_flow(how: str | Status) -> None:
    kernel = opened([Leaf("flow_imbalance", (LONG,))])
    feed(kernel, [row for second in range(2_000) for row in snapshot(START + second * SECOND, size=4.0)])
    end_us = START + 2_000 * SECOND
    feed(kernel, hole(how, Channel.BOOK, end_us, end_us + SECOND))
    # A whole book whose last row does not say so.
    rows = snapshot(end_us + 2 * SECOND, size=400.0)
    feed(kernel, [*rows[:-1], rows[-1]._replace(flags=Flag.LAST)])
    assert read(kernel, end_us + 3 * SECOND)[f"flow_imbalance({LONG})"] == 0.0


# By hand.


def test_order_flow_follows_the_best_prices_and_not_a_crossed_book() -> None:
    kernel = opened([Leaf("flow_imbalance", (WINDOW,)), Leaf("book_messages", (WINDOW,))])
    at_us = START + 100 * SECOND
    feed(kernel, [*snapshot(START), *snapshot(at_us - SECOND)])
    found = []
    for row in (
        change(at_us, price=99.9, size=6.0),
        change(at_us, price=100.0, size=1.0),
        change(at_us, price=100.1, size=1.0, side=ASK),
        change(at_us, price=98.9, size=50.0),
        change(at_us, price=101.0, size=2.0),
        change(at_us, price=101.0, size=0.0),
        change(at_us, price=100.0, size=3.0),
    ):
        feed(kernel, [row])
        found.append(read(kernel, at_us)[f"flow_imbalance({WINDOW})"])
    grown = [2.0 * 100.0, 1.0 * 100.05, 3.0 * 100.05, 0.0, 0.0, 0.0, 2.0 * 100.55]
    assert [after - before for before, after in zip([0.0, *found], found, strict=False)] == pytest.approx(grown, abs=1e-6)
    assert read(kernel, at_us)[f"book_messages({WINDOW})"] == 7.0


def test_only_what_rests_on_kept_levels_near_the_mid_counts_as_added() -> None:
    wanted = Leaf("added", (WINDOW, "bid"))
    kernel = opened([wanted])
    feed(kernel, snapshot(START))
    at_us = START + 100 * SECOND
    found = []
    for price, size in ((99.95, 2.0), (99.95, 5.0), (99.95, 1.0), (99.8, 1.0), (99.7, 9.0), (99.95, 0.0)):
        feed(kernel, [change(at_us, price=price, size=size)])
        found.append(read(kernel, at_us)[str(wanted)])
    assert found == pytest.approx([199.9, 499.75, 499.75, 599.55, 599.55, 599.55])
    feed(kernel, snapshot(at_us, size=99.0))
    assert read(kernel, at_us)[str(wanted)] == pytest.approx(599.55)
    # A full side: what is worse than its worst level is not kept, so nobody knows by how much it grows later.
    feed(kernel, [change(at_us, price=99.9 - (1 + step) / 10_000, size=1.0) for step in range(2 * BOOK_CAP)])
    kept = BOOK_CAP - 1
    before = read(kernel, at_us)[str(wanted)] - 599.55
    assert before == pytest.approx(sum(99.9 - (1 + step) / 10_000 for step in range(kept)))
    feed(kernel, [change(at_us, price=99.8, size=7.0)])
    assert read(kernel, at_us)[str(wanted)] - 599.55 == before


@pytest.mark.parametrize(("usd", "side", "expected"), [
    (10.0, "buy", 0.001), (10.0, "sell", 0.001), (402.0, "buy", None), (1e6, "buy", math.nan), (0.0, "buy", math.nan),
])  # fmt: skip
def test_slippage_walks_the_kept_levels(usd: float, side: str, expected: float | None) -> None:
    wanted = Leaf("slippage", (usd, side))
    kernel = opened([wanted], usd_rate=0.5)
    feed(kernel, snapshot(START))
    if expected is None:
        # 804 in quote: 4 at 100.1 and what is left of it at 101.1.
        expected = 804.0 / (4.0 + (804.0 - 400.4) / 101.1) / 100.0 - 1.0
    assert read(kernel, START)[str(wanted)] == pytest.approx(expected, nan_ok=True)
    feed(kernel, [change(START, price=101.0)])
    assert math.isnan(read(kernel, START)[str(wanted)]), "crossed"
    feed(kernel, [*snapshot(START), Row(Kind.STATUS, START, 0.0, side=0, key=Status.USD_RATE)])
    assert math.isnan(read(kernel, START)[str(wanted)]), "no rate"


def test_lag_is_that_of_the_event_that_arrived_last_and_age_that_of_the_market() -> None:
    leaves = [Leaf("lag", ("trades",)), Leaf("lag", ("book",)), Leaf("market_age")]
    kernel = opened(leaves, listed_us=START - 5 * SECOND)
    assert all(math.isnan(value) for value in list(read(kernel, START).values())[:2])
    late = trade(START, 100.0)._replace(at_us=START - SECOND, lag_us=1_400_000)
    feed(kernel, [trade(START, 100.0)._replace(lag_us=300_000), late, trade(START, 100.0)._replace(lag_us=20_000)])
    feed(kernel, [row._replace(lag_us=-7) for row in snapshot(START)])
    assert list(read(kernel, START + SECOND).values()) == [1_400_000.0, 0.0, 6.0 * SECOND]
    for listed_us in (None, START + 9 * SECOND):
        assert math.isnan(read(opened(leaves, listed_us=listed_us), START + SECOND)["market_age()"])


def test_the_listing_that_was_told_at_opening_stays_when_a_kept_state_is_taken() -> None:
    first, second = (opened([Leaf("market_age"), Leaf("price")], listed_us=START - age) for age in (1, 2 * SECOND))
    feed(first, [trade(START, 7.0)])
    second.take(0, dict(first.sections(0)))
    assert list(read(second, START).values()) == [2.0 * SECOND, 7.0]


def test_events_count_rows_and_the_late_ones_among_them() -> None:
    kernel = opened([Leaf("events", (WINDOW,)), Leaf("late", (WINDOW,))])
    feed(kernel, [trade(START, 1.0)])
    at_us = START + 100 * SECOND
    past = trade(at_us, 1.0, flags=Flag.BACKFILL)
    feed(kernel, [*snapshot(at_us), past, trade(at_us - 1, 1.0), gap(at_us - 1, Channel.BOOK), trade(at_us, 1.0)])
    assert list(read(kernel, at_us).values()) == [8.0, 1.0]


@pytest.mark.parametrize(("factor", "expected"), [(2.0, 1.0), (-0.5, -1.0), (0.0, math.nan)])
def test_correlation_is_of_minute_returns_and_unknown_below_thirty(factor: float, expected: float) -> None:
    kernel = Kernel([Leaf("corr")])
    for base in ("BTC", "X"):
        kernel.open(MarketFacts(Market("sim", f"{base}/USDT"), streams=frozenset({"trades"})))
    assert read(kernel, START - MINUTE, 1)["corr()"] == 0.0
    kernel.set_reference(1, 0)
    for minute in range(40):
        at_us = START + minute * MINUTE
        move = math.sin(minute) / 100
        feed(kernel, [trade(at_us, math.exp(move), market=0), trade(at_us + 1, math.exp(factor * move), market=1)])
        known = expected if minute >= 32 else math.nan
        assert read(kernel, at_us + 2, 1)["corr()"] == pytest.approx(known, nan_ok=True)


def test_a_tenth_bar_makes_amihud_known() -> None:
    world = World(["amihud(30m)", "bars(30m)"])
    world.take([trade(START - LONG, 100.0)])
    for minute in range(13):
        world.take([trade(START + minute * MINUTE, 100.0 + minute)])
        amihud, bars = world.judge(START + minute * MINUTE, START + minute * MINUTE)
        assert math.isnan(amihud.found) is (bars.found < 10)
        assert amihud.is_right
        assert bars.is_right


# What it costs, and what is kept.


def test_a_market_that_names_none_of_them_has_no_place_for_them() -> None:
    named = {*OF_BARS, *OF_FLOW, *OF_PRINTS, "events", "late"}
    plain = [leaf(name) for name in ("volume", "gaps", "level_churn")] + [Leaf("prints_count")]
    before = Layout(plain)
    assert [before.plan[at] for at in (s.P_BARS, s.P_FLOW, s.P_EVENTS, s.P_DIGITS, s.P_TAIL)] == [-1] * 5
    for name in sorted(named):
        extra = Leaf(name) if name in OF_PRINTS else leaf(name)
        assert Layout([*plain, extra]).floats > before.floats, name
    assert Layout([*plain, Leaf("corr"), Leaf("market_age"), Leaf("lag", ("book",))]).floats == before.floats


def test_statistics_of_kept_trades_are_known_at_once_when_they_are_first_named() -> None:
    rows = [trade(START + number * number * 1_000, 100.0, 1.0 + number % 13 / 7) for number in range(900)]
    first, second = opened([Leaf("prints_count")]), opened([Leaf(name) for name in OF_PRINTS])
    feed(first, rows[:700])
    first.adopt(second.leaves)
    feed(second, rows[:700])
    assert repr(read(first, rows[699].at_us)) == repr(read(second, rows[699].at_us))
    feed(first, rows[700:])
    feed(second, rows[700:])
    assert repr(read(first, rows[-1].at_us)) == repr(read(second, rows[-1].at_us))
    assert not any(math.isnan(value) for value in read(first, rows[-1].at_us).values())


@pytest.mark.parametrize("name", [*OF_BARS, *OF_FLOW, "events", "late"])
def test_a_field_that_is_named_later_starts_cold(name: str) -> None:
    kernel = opened([leaf("volume"), leaf("level_churn")])
    cut_us = START + 300 * SECOND
    feed(kernel, sorted([*deals(START, 300), *quotes(START, 300)], key=lambda row: row.at_us))
    kernel.adopt([leaf(name)])
    later = [row for row in [*deals(cut_us, 100), *quotes(cut_us, 100)] if not row.flags & Flag.SNAPSHOT]
    later.sort(key=lambda row: row.at_us)
    told = []
    for second in (1, 59, 70):
        rows = [row for row in later if row.at_us < cut_us + second * SECOND]
        later = later[len(rows) :]
        feed(kernel, rows)
        told.append(math.isnan(read(kernel, cut_us + second * SECOND)[str(leaf(name))]))
    assert told == ([True, True, False] if name not in ("events", "late") else [False, False, False])


@pytest.mark.parametrize("share", [0.2, 0.55, 0.83, 0.97])
def test_a_day_restored_in_the_middle_goes_on_bit_for_bit(share: float) -> None:
    calls = [call for entry in (*FIELDS, *CATALOGUE) for call in variants(entry)]
    leaves = World(calls).leaves
    rows = [row for row in long_story() if row.kind != READ]
    cut = int(len(rows) * share)

    def watched() -> Kernel:
        kernel = Kernel(leaves)
        for name in ("sim:X/USDT", "sim:BTC/USDT", "second:X/USDT", "third:X/USDT"):
            kernel.open(
                MarketFacts(Market.parse(name), usd_rate=1.0, listed_us=START, streams=frozenset({"trades", "book", "peers"}))
            )
        kernel.set_reference(0, 1)
        return kernel

    whole, first, second = watched(), watched(), Kernel(leaves)
    feed(whole, rows)
    feed(first, rows[:cut])
    second.restore(json.loads(json.dumps(first.save(), allow_nan=False)))
    feed(second, rows[cut:])
    assert json.dumps(second.save()) == json.dumps(whole.save())
    at_us = rows[-1].at_us + SECOND
    assert [repr(read(second, at_us, row)) for row in range(4)] == [repr(read(whole, at_us, row)) for row in range(4)]
