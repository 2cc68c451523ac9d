"""The curve of the day: exact, held to that of the exchange, and carried through saving, restarts and changes of rules."""

from __future__ import annotations

import json
import math
from functools import cache
from importlib.util import find_spec
from typing import Final

import pytest
from features.streams import SECOND, Row, feed, read, trade

from guard.features.kernel import Kernel
from guard.features.kernel.layout import Layout
from guard.features.tables import Leaf
from guard.model import Channel, Flag, Kind, Market, MarketFacts, Status

MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
# The beginning of a day, UTC.
BEGIN: Final = 1_600_041_600 * SECOND
SIX_HOURS: Final = 6 * HOUR
SHIFT: Final = Leaf("hour_shift", (SIX_HOURS,))
MEDIAN: Final = Leaf("minute_median", (SIX_HOURS,))
LEAVES: Final = [SHIFT, MEDIAN]
FADE: Final = math.exp(-1 / 28)
needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed: there is no compiled form")


def opened(count: int = 1, *, exchanges: int = 1, jit: bool = False, order: int = 1) -> Kernel:
    """Return a kernel with `count` markets on each exchange, in rising or falling order of their names."""
    kernel = Kernel(LEAVES, jit=jit)
    for number in range(count * exchanges)[::order]:
        kernel.open(MarketFacts(Market(f"x{number % exchanges}", f"A{number}/USDT"), streams=frozenset({"trades"})))
    return kernel


def amount(market: int, minute: int) -> float:
    """Return what a market trades in a minute: busy hours, markets that differ, and some noise."""
    busy = 1.0 + 3.0 * ((minute // 60 - 2 * (market % 3)) % 24 < 4)
    return round(busy * (1.0 + (minute * 7 + market * 13) % 11 / 10), 6)


def minutes_of(markets: int, begin: int, end: int) -> list[Row]:
    rows = [
        trade(BEGIN + minute * MINUTE + 20 * SECOND, 2.0, amount(market, minute), market=market)
        for minute in range(begin, end)
        for market in range(markets)
        # Some minutes are empty.
        if (minute + market) % 9
    ]
    return sorted(rows, key=lambda row: row.at_us)


class Curve:
    """Sums and weights by hour, as the page says: plainly, from the kernel's own medians."""

    def __init__(self) -> None:
        self.sums, self.weights, self.days = [0.0] * 24, [0.0] * 24, [0.0] * 24

    def add(self, hour: int, total: float, weight: float) -> None:
        self.sums[hour] = FADE * self.sums[hour] + total
        self.weights[hour] = FADE * self.weights[hour] + weight
        self.days[hour] = FADE * self.days[hour] + 1.0

    @property
    def level(self) -> float:
        means = [total / weight for total, weight in zip(self.sums, self.weights, strict=True) if weight]
        return math.fsum(means) / len(means)

    @property
    def seen(self) -> int:
        return sum(weight > 0 for weight in self.weights)


def test_curves_of_markets_and_of_their_exchange_are_exact() -> None:
    markets, days = 9, 3
    kernel = opened(markets)
    own, pooled = [Curve() for _ in range(markets)], {hour: [] for hour in range(24)}
    checked = 0
    for hour in range(24 * days):
        ys: list[list[float]] = [[] for _ in range(markets)]
        for minute in range(60 * hour, 60 * hour + 60):
            medians = [read(kernel, BEGIN + minute * MINUTE, market)[str(MEDIAN)] for market in range(markets)]
            rows = minutes_of(markets, minute, minute + 1)
            feed(kernel, rows)
            for market, median in enumerate(medians):
                traded = sum(row.price * row.amount for row in rows if row.market == market)
                if not math.isnan(median):
                    ys[market].append(math.log1p(traded / median))
            # The median may be renewed while the minute is closed: it is that of before which counts.
        for market in range(markets):
            kernel.advance(market, BEGIN + (hour + 1) * HOUR)
            if len(ys[market]) < 30:
                continue
            own[market].add(hour % 24, math.fsum(ys[market]), len(ys[market]))
            if own[market].seen >= 20:
                pooled[hour % 24].append((hour, math.fsum(ys[market]) / len(ys[market]) - own[market].level))
        for market in range(markets):
            found = read(kernel, BEGIN + (hour + 1) * HOUR, market)[str(SHIFT)]
            checked += abs(found) > 0.01
            assert found == pytest.approx(_shift(own[market], pooled[(hour + 1) % 24], (hour + 1) % 24), abs=1e-9), (hour, market)
    assert any(len(told) >= 18 for told in pooled.values())
    assert checked > 100


def _shift(own: Curve, told: list[tuple[int, float]], hour: int) -> float:
    last = max((number for number, _ in told), default=0)
    weights = [math.exp(-(last - number) / (24 * 28)) for number, _ in told]
    days = math.fsum(weights)
    common = math.fsum(weight * value for weight, (_, value) in zip(weights, told, strict=True)) / days if days >= 17 else 0.0
    if not own.days[hour]:
        return common
    share = own.days[hour] / (own.days[hour] + 17)
    return common + share * (own.sums[hour] / own.weights[hour] - own.level - common)


@cache
def told(days: int = 2) -> tuple[Row, ...]:
    """Tell two days of four markets, two on each of two exchanges, with a hole and a lost stream."""
    rows = minutes_of(4, 0, days * 1_440)
    hole = Row(Kind.GAP, BEGIN + 9 * HOUR + 5 * MINUTE, side=Channel.TRADES, key=BEGIN + 9 * HOUR)
    lost = [
        Row(Kind.STATUS, BEGIN + hour * HOUR, side=Channel.TRADES, key=status, market=1)
        for hour, status in ((30, Status.MAINTENANCE), (33, Status.LIVE))
    ]
    return tuple(sorted([*rows, hole, *lost], key=lambda row: row.at_us))


@cache
def whole() -> str:
    kernel = opened(2, exchanges=2)
    feed(kernel, list(told()))
    return json.dumps(kernel.save())


@needs_numba
def test_compiled_curves_are_the_same() -> None:
    kernel = opened(2, exchanges=2, jit=True)
    feed(kernel, list(told()))
    assert json.dumps(kernel.save()) == whole()


@pytest.mark.parametrize("share", [0.2, 0.55, 0.9])
@pytest.mark.parametrize("jit", [False, pytest.param(True, marks=needs_numba)], ids=["plain", "compiled"])
def test_curves_go_on_bit_for_bit_after_a_restore(*, share: float, jit: bool) -> None:
    rows = list(told())
    cut = int(len(rows) * share)
    first, second = opened(2, exchanges=2), Kernel(LEAVES, jit=jit)
    feed(first, rows[:cut])
    second.restore(json.loads(json.dumps(first.save())))
    feed(second, rows[cut:])
    assert json.dumps(second.save()) == whole()


def shifts(kernel: Kernel, at_us: int) -> dict[str, float]:
    return {str(kernel.facts(row).market): read(kernel, at_us, row)[str(SHIFT)] for row in range(len(kernel))}


@cache
def learnt(markets: int = 10, days: int = 3) -> tuple[Kernel, int]:
    kernel = opened(markets)
    feed(kernel, minutes_of(markets, 0, days * 1_440))
    return kernel, BEGIN + days * DAY + 3 * HOUR


@pytest.mark.parametrize("order", [1, -1])
def test_a_restart_with_markets_in_another_order_keeps_the_exchanges_curve(order: int) -> None:
    kernel, at_us = learnt()
    feed(kernel, minutes_of(len(kernel), 3 * 1_440, 3 * 1_440 + 3 * 60))
    other = opened(len(kernel), order=order)
    rows = {str(kernel.facts(row).market): row for row in range(len(kernel))}
    for row in range(len(other)):
        other.take(row, dict(kernel.sections(rows[str(other.facts(row).market)])))
    assert shifts(other, at_us) == shifts(kernel, at_us)
    late = opened(len(kernel) + 1, order=order)
    new = max(range(len(late)), key=lambda row: int(late.facts(row).market.symbol[1:].partition("/")[0]))
    for row in range(len(late)):
        if row != new:
            late.take(row, dict(kernel.sections(rows[str(late.facts(row).market)])))
    feed(late, [row._replace(market=new) for row in minutes_of(1, 3 * 1_440, 3 * 1_440 + 3 * 60)])
    # A market that was listed today takes the exchange's curve.
    common, block = read(late, at_us, new)[str(SHIFT)], _row(kernel)
    assert abs(common) > 0.05
    assert common == block[72 + 3] / block[96 + 3]


def test_the_hour_that_runs_does_not_count_and_one_with_less_than_half_of_its_minutes_never_does() -> None:
    kernel = opened()
    feed(kernel, minutes_of(1, 0, 1_440 + 60))
    before = read(kernel, BEGIN + DAY + HOUR + 1)[str(SHIFT)]
    surge = [trade(BEGIN + DAY + HOUR + minute * MINUTE + SECOND, 2.0, 500.0) for minute in range(50)]
    feed(kernel, surge)
    assert read(kernel, BEGIN + DAY + HOUR + 55 * MINUTE)[str(SHIFT)] == before
    feed(kernel, [trade(BEGIN + DAY + 2 * HOUR + SECOND, 2.0)])
    after = {hour: _at(kernel, hour) for hour in (1, 5)}
    assert after[1] > before
    other = opened()
    feed(other, minutes_of(1, 0, 1_440 + 60))
    feed(other, surge[:25])
    feed(other, [Row(Kind.STATUS, BEGIN + DAY + HOUR + 25 * MINUTE, side=Channel.TRADES, key=Status.LOST)])
    feed(other, [trade(BEGIN + DAY + 2 * HOUR + SECOND, 2.0)])
    assert _at(other, 1) == before


def _at(kernel: Kernel, hour: int) -> float:
    """Return what is usual at an hour of the day, from a copy that is moved there within the next day."""
    copy = Kernel(LEAVES)
    copy.restore(kernel.save())
    layout = Layout(LEAVES)
    (curve,) = layout.curves
    x, i = copy._rows.row(0)
    i[0] = BEGIN + 2 * DAY + hour * HOUR
    copy._rows.set_row(0, x, i)
    assert x[curve.offset] >= 0.0
    return copy.values(0, 0)[0]


def test_it_is_zero_before_a_day_is_known_and_unknown_without_a_median() -> None:
    kernel = opened()
    feed(kernel, minutes_of(1, 0, 20))
    assert math.isnan(read(kernel, BEGIN + 20 * MINUTE)[str(SHIFT)])
    feed(kernel, minutes_of(1, 20, 300))
    assert read(kernel, BEGIN + 5 * HOUR)[str(SHIFT)] == 0.0


def test_a_silence_of_a_year_takes_no_longer_than_one_of_a_week() -> None:
    kernel = opened()
    feed(kernel, minutes_of(1, 0, 1_440))
    kernel.advance(0, BEGIN + 400 * DAY)
    days = _row(kernel)[48:72]
    assert max(days) <= 8.0
    assert sum(days) == pytest.approx(24 * sum(FADE**number for number in range(8)), rel=0.05)


def _row(kernel: Kernel) -> list[float]:
    (curve,) = Layout(LEAVES).curves
    x, _ = kernel._rows.row(0)
    return x[curve.offset : curve.offset + 144]


def test_the_past_teaches_no_hours() -> None:
    kernel = opened()
    past = [row._replace(at_us=row.at_us - DAY, flags=Flag.BACKFILL) for row in minutes_of(1, 0, 1_440)]
    feed(kernel, [*past, Row(Kind.STATUS, BEGIN, side=Channel.ALL, key=Status.WARM)])
    assert not any(_row(kernel))


def test_rules_that_name_it_later_begin_it_then_and_others_have_no_room_for_it() -> None:
    kernel = Kernel([MEDIAN])
    for number in range(3):
        kernel.open(MarketFacts(Market("x0", f"A{number}/USDT"), streams=frozenset({"trades"})))
    assert (Layout([MEDIAN]).home, Layout([MEDIAN]).curves) == (-1, ())
    feed(kernel, minutes_of(3, 0, 120))
    kernel.adopt(LEAVES)
    assert [kernel._rows.number(row, Layout(LEAVES).home) for row in range(3)] == [0, 0, 0]
    feed(kernel, minutes_of(3, 120, 2 * 1_440))
    assert sum(_row(kernel)[48:72]) > 40
    assert abs(read(kernel, BEGIN + 2 * DAY + HOUR)[str(SHIFT)]) > 0.0
    before = json.dumps(kernel.save())
    kernel.adopt([*LEAVES, Leaf("price")])
    assert json.loads(json.dumps(kernel.save()))["markets"][0]["parts"].keys() >= json.loads(before)["markets"][0]["parts"].keys()
