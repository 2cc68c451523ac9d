"""Windows against an exact oracle, within the documented bound: they cover their length and at most one bin more."""

from __future__ import annotations

import math

import pytest
from features.streams import SECOND, START, WINDOWS, Oracle, Row, feed, opened, read, tapes, trade
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.features.kernel import Kernel
from guard.features.tables import Leaf
from guard.model import BUY, SELL, Channel, Flag, Kind, Status

LEAVES = [
    Leaf(name, (window, *more))
    for window in WINDOWS
    for name, more in (
        ("volume", ()),
        ("buy_volume", ()),
        ("turnover", ()),
        ("trades", ()),
        ("buy_share", ()),
        ("open_price", ()),
        ("high", ()),
        ("low", ()),
        ("rush", ("buy",)),
        ("rush", ("sell",)),
    )
]


def _edge(kernel: Kernel, at_us: int, window_us: int) -> int:
    width = kernel._layout.window(window_us, "trades").width_us
    assert width * 20 <= window_us
    return (at_us - window_us) // width * width


@settings(max_examples=40, deadline=None)
@given(tapes(), st.sampled_from([0, 20_000, 3 * SECOND, 400 * SECOND]))
def test_windows_equal_the_exact_sums_from_their_left_edge(rows: list[Row], later_us: int) -> None:
    kernel = opened(LEAVES)
    feed(kernel, rows)
    at_us = rows[-1].at_us + later_us
    found, oracle = read(kernel, at_us), Oracle(rows)
    for window in WINDOWS:
        is_covered = at_us - rows[0].at_us >= window * (0.9 if window > 300 * SECOND else 1.0)
        if not is_covered:
            assert math.isnan(found[f"volume({window})"])
            continue
        edge = _edge(kernel, at_us, window)
        for name in ("volume", "buy_volume", "turnover"):
            exact = getattr(oracle, name)
            assert found[f"{name}({window})"] == pytest.approx(float(exact(edge)), rel=1e-9)
            assert found[f"{name}({window})"] >= float(exact(at_us - window)) * (1 - 1e-9)
        assert found[f"trades({window})"] == len(oracle.since(edge))
        assert found[f"rush({window}, buy)"] == oracle.rush(edge, BUY)
        assert found[f"rush({window}, sell)"] == oracle.rush(edge, SELL)
        opening = oracle.open_price(edge)
        prices = [row.price for row in oracle.since(edge)] + ([opening] if opening else [])
        if opening is None:
            assert math.isnan(found[f"open_price({window})"])
        else:
            assert found[f"open_price({window})"] == opening
        assert found[f"high({window})"] == max(prices)
        assert found[f"low({window})"] == min(prices)
        volume = oracle.volume(edge)
        if volume:
            assert found[f"buy_share({window})"] == pytest.approx(float(oracle.buy_volume(edge) / volume))
        else:
            assert math.isnan(found[f"buy_share({window})"])


def test_a_window_without_trades_is_zero_not_unknown_and_never_negative() -> None:
    kernel = opened([Leaf("volume", (SECOND,)), Leaf("squares", (SECOND,))])
    feed(kernel, [trade(START, 100.0, 0.1), trade(START + 7, 100.3, 1e12), trade(START + 9, 100.1, 0.3)])
    found = read(kernel, START + 5 * SECOND)
    assert found == {"volume(1000000)": 0.0, "squares(1000000)": 0.0}


def test_a_huge_print_costs_later_windows_no_precision_after_an_hour() -> None:
    kernel = opened([Leaf("volume", (60 * SECOND,))])
    feed(kernel, [trade(START, 1.0, 1e15), trade(START + 7_200 * SECOND, 1.0, 0.125), trade(START + 7_201 * SECOND, 1.0, 0.1)])
    assert read(kernel, START + 7_202 * SECOND)["volume(60000000)"] == 0.225


@pytest.mark.parametrize("channel", [Channel.TRADES, Channel.ALL])
def test_a_gap_makes_short_windows_unknown_until_they_are_covered_again(channel: Channel) -> None:
    kernel = opened([Leaf("volume", (10 * SECOND,)), Leaf("gaps", (60 * SECOND,))])
    feed(kernel, [trade(START + second * SECOND, 1.0) for second in range(100)])
    feed(kernel, [Row(Kind.GAP, START + 100 * SECOND, side=channel, key=START + 99 * SECOND)])
    during = read(kernel, START + 105 * SECOND)
    assert math.isnan(during["volume(10000000)"])
    assert during["gaps(60000000)"] == 1.0
    assert read(kernel, START + 110 * SECOND)["volume(10000000)"] == 0.0


def test_a_long_window_outlives_a_short_gap_and_not_a_long_one() -> None:
    window = 3_600 * SECOND
    for lost_s, is_known in ((60, True), (600, False)):
        kernel = opened([Leaf("volume", (window,))], streams=frozenset({"trades"}))
        feed(kernel, [trade(START + minute * 60 * SECOND, 1.0) for minute in range(120)])
        end_us = START + 119 * 60 * SECOND
        feed(kernel, [Row(Kind.GAP, end_us + lost_s * SECOND, side=Channel.TRADES, key=end_us)])
        found = read(kernel, end_us + (lost_s + 1) * SECOND)[f"volume({window})"]
        assert math.isnan(found) is not is_known
        assert kernel.coverage(0, window) == pytest.approx(1 - lost_s / 3_600, abs=0.03)


@pytest.mark.parametrize("status", [Status.LOST, Status.STALLED, Status.MAINTENANCE])
def test_a_lost_stream_is_unknown_and_covered_anew_from_its_return(status: Status) -> None:
    kernel = opened([Leaf("price"), Leaf("volume", (10 * SECOND,))], streams=frozenset({"trades"}))
    feed(kernel, [trade(START + second * SECOND, 1.0) for second in range(70)])
    assert kernel.data_ready(0)
    feed(kernel, [Row(Kind.STATUS, START + 70 * SECOND, side=Channel.ALL, key=status)])
    assert all(math.isnan(value) for value in read(kernel, START + 71 * SECOND).values())
    assert not kernel.data_ready(0)
    feed(kernel, [Row(Kind.STATUS, START + 80 * SECOND, side=Channel.ALL, key=Status.LIVE)])
    found = read(kernel, START + 85 * SECOND)
    assert math.isnan(found["price()"])
    assert math.isnan(found["volume(10000000)"])
    assert read(kernel, START + 90 * SECOND)["volume(10000000)"] == 0.0


def test_late_trades_join_the_open_bin_and_are_counted() -> None:
    kernel = opened([Leaf("trades", (10 * SECOND,))])
    feed(kernel, [trade(START + second * SECOND, 1.0) for second in range(20)])
    feed(kernel, [trade(START + 2 * SECOND, 1.0)])
    assert kernel.late(0) == 1
    assert read(kernel, START + 19 * SECOND)["trades(10000000)"] == 11.0 + 1.0
    assert kernel.last(0) == (START + 19 * SECOND, START + 19 * SECOND + 1_000)


def test_history_feeds_no_window_and_asks_for_no_evaluation() -> None:
    kernel = opened([Leaf("volume", (10 * SECOND,)), Leaf("ewma_price"), Leaf("minute_median", (21_600 * SECOND,))])
    past = [trade(START + minute * 60 * SECOND, 4.0, 2.0, flags=Flag.BACKFILL) for minute in range(60)]
    assert feed(kernel, past) == [False] * 60
    end_us = START + 3_600 * SECOND
    feed(kernel, [Row(Kind.STATUS, end_us, side=Channel.ALL, key=Status.WARM), trade(end_us, 4.0, 1.0)])
    found = read(kernel, end_us + 1)
    assert math.isnan(found["volume(10000000)"])
    assert found["ewma_price()"] == pytest.approx(4.0)
    assert found["minute_median(21600000000)"] == pytest.approx(8.0, rel=0.2)


def test_windows_out_of_range_or_too_many_are_refused() -> None:
    with pytest.raises(ValueError, match="1 s to 24 h"):
        Kernel([Leaf("volume", (500_000,))])
    with pytest.raises(ValueError, match="17 distinct windows"):
        Kernel([Leaf("volume", (second * SECOND,)) for second in range(1, 18)])


def test_evaluation_is_asked_for_at_new_bins_jumps_and_sweeps() -> None:
    kernel = opened([Leaf("volume", (SECOND,))])
    first, same_bin, jump, swept, new_bin = feed(
        kernel,
        [
            trade(START, 100.0),
            trade(START + 10, 100.0, side=SELL),
            trade(START + 20, 99.0, side=SELL),
            trade(START + 20, 98.9, side=SELL),
            trade(START + 50_000, 98.9, side=SELL),
        ],
    )
    assert (first, same_bin, jump, swept, new_bin) == (True, False, True, True, True)
