"""Events that come late or not at all: counted, never reordered, never taken for calm."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING

import pytest
from features.streams import SECOND, START, Row, feed, opened, read, trade
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.features.tables import Leaf
from guard.model import ASK, BID, BUY, SELL, Batch, Channel, Flag, Kind, Level, Market, MarketFacts, Status
from guard.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTE = 60 * SECOND
SHORT = (SECOND, 10 * SECOND, 60 * SECOND, 300 * SECOND)
LONG = 1_800 * SECOND
ENDS = (Status.LOST, Status.STALLED, Status.MAINTENANCE)


def gap(at_us: int, channel: Channel, *, good_us: int = 0, market: int = 0) -> Row:
    return Row(Kind.GAP, at_us, side=channel, key=good_us, market=market)


def status(at_us: int, code: Status, channel: Channel = Channel.ALL) -> Row:
    return Row(Kind.STATUS, at_us, side=channel, key=code)


def snapshot(at_us: int, *, half: float = 0.1, size: float = 4.0) -> list[Row]:
    """Return a whole book around 100."""
    levels = [
        Row(Kind.LEVEL, at_us, 100.0 - side * (half + step), size, side, 0, Flag.SNAPSHOT)
        for step in range(3)
        for side in (BID, ASK)
    ]
    return [*levels[:-1], levels[-1]._replace(flags=Flag.SNAPSHOT | Flag.LAST)]


def change(at_us: int, *, price: float = 99.9, size: float = 3.0, side: int = BID) -> Row:
    return Row(Kind.LEVEL, at_us, price, size, side, 0, Flag.LAST)


def steady(begin_us: int, end_us: int, *, price: float = 100.0, step_us: int = SECOND) -> list[Row]:
    """Return a trade and a book change by turns."""
    rows = [*snapshot(begin_us), trade(begin_us, price, 2.0)]
    for number, at_us in enumerate(range(begin_us + step_us, end_us, step_us)):
        rows += [change(at_us, size=3.0 + number % 2), trade(at_us, price, 2.0)]
    return rows


def lost(code: Status) -> Callable[[int, int], list[Row]]:
    return lambda end_us, back_us: [status(end_us, code, Channel.TRADES), status(back_us, Status.LIVE, Channel.TRADES)]


def gapped(end_us: int, back_us: int) -> list[Row]:
    return [gap(back_us, Channel.TRADES, good_us=end_us)]


# Order.


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-4_000, 2_000), st.integers(90, 110), st.integers(1, 40), st.sampled_from([BUY, SELL])), min_size=1
    )
)
def test_late_trades_are_folded_in_whole_and_counted(steps: list[tuple[int, int, int, int]]) -> None:
    kernel = opened([Leaf(name, (10 * SECOND,)) for name in ("volume", "buy_volume", "turnover", "trades")])
    feed(kernel, [trade(START - 60 * SECOND, 1.0), trade(START, 1.0)])
    at_us, rows = START + 5 * SECOND, []
    for step, price, size, side in steps:
        at_us = max(START + SECOND, min(at_us + 1_000 * step, START + 8 * SECOND))
        rows.append(trade(at_us, float(price), size / 8, side))
    feed(kernel, rows)
    found = read(kernel, START + 9 * SECOND)
    assert found["trades(10000000)"] == len(rows) + 1
    assert found["volume(10000000)"] == sum(row.amount for row in rows) + 1.0
    assert found["buy_volume(10000000)"] == sum(row.amount for row in rows if row.side == BUY) + 1.0
    assert found["turnover(10000000)"] == sum(row.amount * row.price for row in rows) + 1.0
    newest = list(accumulate((row.at_us for row in rows), max, initial=START))
    assert kernel.late(0) == sum(row.at_us < before for row, before in zip(rows, newest, strict=False))


BOOK_LEAVES = [
    *(Leaf(name) for name in ("mid", "bid", "ask", "spread", "crossed")),
    Leaf("depth", (0.02, "both")),
    *(Leaf(name, (10 * SECOND,)) for name in ("level_churn", "crossings")),
    Leaf("spread_median", (86_400 * SECOND,)),
]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(-800, 900), st.integers(0, 3), st.integers(0, 5), st.sampled_from([BID, ASK])), max_size=60))
def test_book_rows_count_in_the_order_in_which_they_came_whatever_their_stamps(steps: list[tuple[int, int, int, int]]) -> None:
    at_us, rows = START, snapshot(START)
    for step, level, size, side in steps:
        at_us += 1_000 * step
        rows.append(change(max(START, at_us), price=100.0 - side * (0.1 + level), size=float(size), side=side))
    clamped = list(accumulate((row.at_us for row in rows), max))
    late, ordered = opened(BOOK_LEAVES), opened(BOOK_LEAVES)
    feed(late, rows)
    feed(ordered, [row._replace(at_us=stamp) for row, stamp in zip(rows, clamped, strict=True)])
    end_us = clamped[-1] + SECOND
    assert repr(read(late, end_us)) == repr(read(ordered, end_us))
    assert late.late(0) == sum(row.at_us < stamp for row, stamp in zip(rows, clamped, strict=True))
    assert ordered.late(0) == 0


# Coverage.

WINDOWED = {Channel.TRADES: "volume", Channel.BOOK: "level_churn"}


@pytest.mark.parametrize("window", SHORT)
@pytest.mark.parametrize("channel", [Channel.TRADES, Channel.BOOK])
@pytest.mark.parametrize("how", ["gap", *ENDS])
def test_a_short_window_is_unknown_until_it_is_covered_again_and_the_other_stream_is_not(
    how: str | Status, channel: Channel, window: int
) -> None:
    kernel = opened([Leaf(name, (window,)) for name in WINDOWED.values()])
    end_us = START + 2 * window + 20 * SECOND
    feed(kernel, steady(START, end_us))
    back_us = end_us + 7 * SECOND
    if isinstance(how, Status):
        feed(kernel, [status(end_us, how, channel)])
        assert math.isnan(read(kernel, end_us + SECOND)[f"{WINDOWED[channel]}({window})"])
        feed(kernel, [status(back_us, Status.LIVE, channel)])
    else:
        feed(kernel, [gap(back_us, channel, good_us=end_us)])
    feed(kernel, snapshot(back_us))
    other = WINDOWED[Channel.BOOK if channel is Channel.TRADES else Channel.TRADES]
    for after_us in (0, window // 2, window - 50_000, window, window + SECOND):
        found = read(kernel, back_us + after_us)
        assert math.isnan(found[f"{WINDOWED[channel]}({window})"]) is (after_us < window), after_us
        assert not math.isnan(found[f"{other}({window})"])


@pytest.mark.parametrize("channel", [Channel.TRADES, Channel.BOOK])
@pytest.mark.parametrize("how", ["gap", *ENDS])
@pytest.mark.parametrize(("lost_s", "is_known"), [(30, True), (60, True), (150, True), (280, False), (900, False)])
def test_a_long_window_is_known_with_nine_tenths_of_it(how: str | Status, channel: Channel, lost_s: int, *, is_known: bool) -> None:
    kernel = opened([Leaf(name, (LONG,)) for name in WINDOWED.values()])
    end_us = START + 2 * LONG
    feed(kernel, steady(START, end_us, step_us=10 * SECOND))
    back_us = end_us + lost_s * SECOND
    if isinstance(how, Status):
        feed(kernel, [status(end_us, how, channel), status(back_us, Status.LIVE, channel)])
    else:
        feed(kernel, [gap(back_us, channel, good_us=end_us)])
    feed(kernel, snapshot(back_us))
    for after_us in (SECOND, 120 * SECOND):
        assert math.isnan(read(kernel, back_us + after_us)[f"{WINDOWED[channel]}({LONG})"]) is not is_known
    assert kernel.coverage(0, LONG) == pytest.approx(1 - lost_s * SECOND / LONG, abs=0.05)


@pytest.mark.parametrize("how", ["gap", Status.LOST])
def test_the_book_is_covered_from_its_snapshot_on(how: str | Status) -> None:
    window = 10 * SECOND
    kernel = opened([Leaf("level_churn", (window,)), Leaf("mid")])
    end_us = START + 40 * SECOND
    feed(kernel, steady(START, end_us))
    feed(kernel, [gap(end_us, Channel.BOOK, good_us=end_us)] if how == "gap" else [status(end_us, Status.LOST, Channel.BOOK)])
    shown_us = end_us + 20 * SECOND
    feed(kernel, [change(at_us, size=float(at_us // SECOND % 7)) for at_us in range(end_us + SECOND, shown_us, SECOND)])
    before = read(kernel, shown_us)
    assert math.isnan(before["mid()"])
    feed(kernel, snapshot(shown_us))
    assert math.isnan(before["level_churn(10000000)"])
    assert math.isnan(read(kernel, shown_us + 9 * SECOND)["level_churn(10000000)"])
    assert read(kernel, shown_us + window)["level_churn(10000000)"] == 0.0


@pytest.mark.parametrize("code", ENDS)
def test_lost_time_counts_from_the_last_good_moment_not_from_when_the_loss_was_noticed(code: Status) -> None:
    kernel = opened([Leaf("volume", (LONG,))], streams=frozenset({"trades"}))
    good_us = START + 2 * LONG
    feed(kernel, [trade(at_us, 100.0) for at_us in range(START, good_us, 10 * SECOND)])
    noticed_us, back_us = good_us + 300 * SECOND, good_us + 360 * SECOND
    feed(kernel, [status(noticed_us, code, Channel.TRADES)])
    feed(kernel, [gap(back_us, Channel.TRADES, good_us=good_us), status(back_us, Status.LIVE, Channel.TRADES)])
    assert math.isnan(read(kernel, back_us + 5 * SECOND)[f"volume({LONG})"])


def test_a_gap_counts_its_lost_time_once_whatever_else_is_said_of_it() -> None:
    kernel = opened([Leaf("volume", (LONG,))], streams=frozenset({"trades"}))
    end_us = START + 2 * LONG
    feed(kernel, [trade(at_us, 100.0) for at_us in range(START, end_us, 10 * SECOND)])
    back_us = end_us + 60 * SECOND
    feed(kernel, [status(end_us, Status.LOST), gap(back_us, Channel.TRADES, good_us=end_us), status(back_us, Status.LIVE)])
    assert kernel.coverage(0, LONG) == pytest.approx(1 - 60 * SECOND / LONG, abs=0.02)


# The same, seen by rules.

RULES = (
    "rules: {busy: {mode: enforce, when: trades(10s) >= 3, clear: {when: trades(10s) < 3, for: 10s}, level: danger,"
    " actions: {danger: [alert]}}}"
)


def told_by_rules(rows: list[Row], *, until_us: int) -> list[tuple[int, Level]]:
    """Return when levels changed, in seconds since START."""
    report = Report()
    pipeline = Pipeline(compile_rules(rules_from_text(RULES, report)))
    assert not report.errors
    pipeline.open(MarketFacts(Market("sim", "X/USDT"), streams=frozenset({"trades"})))
    batch = Batch(len(rows))
    for row in rows:
        batch.append(
            row.kind, 0, at_us=row.at_us, received_us=row.at_us, price=row.price, amount=row.amount, side=row.side, key=row.key
        )
    verdicts = [*pipeline.process(batch).verdicts, *pipeline.advance(until_us).verdicts]
    return [((verdict.at_us - START) // SECOND, verdict.level) for verdict in verdicts]


def cleared(second: int) -> list[list[tuple[int, Level]]]:
    """Return what a clear may look like: an open episode is looked at once a second."""
    return [[(second, Level.NORMAL)], [(second + 1, Level.NORMAL)]]


@pytest.mark.parametrize("how", ["gap", *ENDS])
def test_a_rule_neither_fires_nor_clears_on_what_is_missing(how: str | Status) -> None:
    def hole(end_us: int, back_us: int) -> list[Row]:
        return lost(how)(end_us, back_us) if isinstance(how, Status) else gapped(end_us, back_us)

    busy_us = START + 30 * SECOND
    quiet = [status(START, Status.LIVE), trade(START, 100.0), trade(busy_us, 100.0)]
    burst = [trade(busy_us + 100_000 + number, 100.0) for number in range(5)]
    fired = [(30, Level.DANGER)]
    assert told_by_rules([*quiet, *burst], until_us=busy_us + SECOND) == fired
    # A hole before the burst: its window is not covered yet.
    torn = [*quiet, *hole(busy_us + 1, busy_us + 2), *burst]
    assert told_by_rules(torn, until_us=busy_us + 9 * SECOND) == []
    # The level is reached, then nothing comes for a minute: calm only where the stream lives.
    assert told_by_rules([*quiet, *burst], until_us=busy_us + 19 * SECOND) == fired
    assert told_by_rules([*quiet, *burst], until_us=busy_us + 22 * SECOND)[1:] in cleared(50)
    back_us = busy_us + 60 * SECOND
    silent = [*quiet, *burst, *hole(busy_us + 5 * SECOND, back_us)]
    if isinstance(how, Status):
        # A maintenance settles for two minutes, in which the window of 10 s is covered again.
        calm_s = 130 if how is Status.MAINTENANCE else 20
        assert told_by_rules(silent, until_us=back_us + (calm_s - 1) * SECOND) == fired
        assert told_by_rules(silent, until_us=back_us + (calm_s + 5) * SECOND)[1:] in cleared(90 + calm_s)
