"""The seeded market, looked at as detectors will."""

from __future__ import annotations

import math
from collections import defaultdict
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.model import ASK, BID, BUY, SELL
from guard_sim.coins import chosen
from guard_sim.market import SeededMarket
from guard_sim.schedule import SCHEDULES, Act

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard_sim.book import Diff, Fill
    from guard_sim.market_coin import CoinMarket
    from guard_sim.schedule import Truth

START_US = 1_750_000_000_000_000
FEW = ["MOON/USDT", "LAYR/USDT", "SUDS/USDT", "YAWN/USDT"]


class Order(NamedTuple):
    at_us: int
    side: int
    fills: tuple[Fill, ...]


class Ear:
    """Hears everything, and keeps the top of each book."""

    def __init__(self) -> None:
        self.orders: dict[str, list[Order]] = defaultdict(list)
        self.spreads: dict[str, list[tuple[int, float]]] = defaultdict(list)
        self.levels: dict[str, list[tuple[int, int, int, int, float]]] = defaultdict(list)
        self.digest = sha256()

    def traded(self, market: CoinMarket, at_us: int, first_id: int, fills: Sequence[Fill], side: int) -> None:
        self.digest.update(repr((market.coin.symbol, at_us, first_id, tuple(fills), side)).encode())
        self.orders[market.coin.symbol].append(Order(at_us, side, tuple(fills)))

    def changed(self, market: CoinMarket, at_us: int, diff: Diff) -> None:
        self.digest.update(repr((market.coin.symbol, at_us, diff)).encode())
        bid, ask = market.book.best(BID), market.book.best(ASK)
        assert bid is not None
        assert ask is not None
        assert bid < ask
        self.spreads[market.coin.symbol].append((at_us, (ask - bid) / bid * 1e4))
        self.levels[market.coin.symbol] += [(at_us, *level, (bid + ask) / 2) for level in diff.levels]


def run(schedule: object, seconds: float, *, symbols: list[str] | None = None, seed: int = 7) -> tuple[SeededMarket, Ear]:
    ear = Ear()
    market = SeededMarket(ear, seed=seed, schedule=schedule, coins=chosen(symbols), start_us=START_US)
    market.advance(START_US + int(seconds * 1e6))
    return market, ear


def staged(pattern: str, symbol: str, seconds: float, *, at_s: float = 5.0, seed: int = 7) -> tuple[Truth, SeededMarket, Ear]:
    market, ear = run([Act(pattern, symbol, at_s)], seconds, symbols=FEW, seed=seed)
    return market.truth[0], market, ear


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 4_000_000), min_size=1, max_size=30), st.integers(0, 5))
def test_the_same_seed_gives_the_same_market_however_time_is_cut(steps: list[int], seed: int) -> None:
    whole, pieces = Ear(), Ear()
    acts = [Act("pump_dump", "MOON/USDT", 0.5), Act("wash_trading", "SUDS/USDT", 0.2), Act("layering", "LAYR/USDT", 0.1)]
    until_us = START_US + sum(steps)
    one = SeededMarket(whole, seed=seed, schedule=acts, coins=chosen(FEW), start_us=START_US)
    one.advance(until_us)
    other = SeededMarket(pieces, seed=seed, schedule=acts, coins=chosen(FEW), start_us=START_US)
    for step in steps:
        other.advance(other.now_us + step)
    assert whole.digest.digest() == pieces.digest.digest()
    assert [truth.document() for truth in one.truth] == [truth.document() for truth in other.truth]


def test_another_seed_gives_another_market() -> None:
    assert run("calm", 2.0)[1].digest.digest() != run("calm", 2.0, seed=8)[1].digest.digest()


def test_an_actor_on_one_coin_leaves_the_others_untouched() -> None:
    calm, pumped = run("calm", 40.0)[1], run([Act("pump_dump", "MOON/USDT", 2.0)], 40.0)[1]
    assert calm.orders["SOL/USDT"] == pumped.orders["SOL/USDT"]
    assert calm.orders["MOON/USDT"] != pumped.orders["MOON/USDT"]


def test_activity_falls_off_from_btc_to_coins_that_are_silent_for_minutes() -> None:
    ear = run("calm", 400.0)[1]
    counts = {symbol: len(orders) for symbol, orders in ear.orders.items()}
    assert counts["BTC/USDT"] > 1.3 * counts["ETH/USDT"] > 1.3 * counts["SOL/USDT"]
    assert counts["BTC/USDT"] > 1600
    longest = max(then.at_us - now.at_us for now, then in pairwise(ear.orders["DUST/USDT"]))
    assert longest > 90_000_000


def test_a_calm_market_never_sweeps_eight_levels_nor_moves_three_percent_a_minute() -> None:
    market, ear = run("calm", 600.0)
    for symbol, orders in ear.orders.items():
        assert max(len(order.fills) for order in orders) <= 4, symbol
        assert greatest_move(orders, 60_000_000) < 0.03, symbol
    assert market.truth == []


def test_a_market_order_prints_one_trade_a_level_with_one_stamp() -> None:
    market, ear = run("calm", 2.0, symbols=FEW)
    moon = market.by_symbol["MOON/USDT"]
    asks = moon.book.levels(ASK)[:10]
    moon.take(market.now_us, BUY, sum(lots for _, lots in asks))
    order = ear.orders["MOON/USDT"][-1]
    assert [(fill.tick, fill.lots) for fill in order.fills] == asks


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_a_pump_rises_by_15_to_30_percent_in_sweeps_and_falls_again(seed: int) -> None:
    truth, market, ear = staged("pump_dump", "MOON/USDT", 100.0, at_s=30.0, seed=seed)
    phases = dict(truth.phases)
    orders = ear.orders["MOON/USDT"]
    assert list(phases) == ["accumulation", "rush", "dump"]
    assert 10e6 <= phases["rush"] - phases["accumulation"] <= 20e6
    assert 5e6 <= phases["dump"] - phases["rush"] <= 21e6
    before = price(orders, phases["accumulation"])
    quiet, peak, after = price(orders, phases["rush"]), price(orders, phases["dump"]), price(orders, truth.ended_us or 0)
    assert quiet / before < 1.025
    assert 1.14 < peak / before < 1.32
    assert after / before - 1 < 0.5 * (peak / before - 1)
    swept = [order for order in orders if phases["rush"] <= order.at_us < phases["dump"] and len(order.fills) >= 8]
    assert len(swept) >= 10
    assert all(order.side == BUY for order in swept)
    assert not market.by_symbol["MOON/USDT"].moods


def test_wash_trades_repeat_sizes_on_alternating_sides_inside_a_book_that_stands_still() -> None:
    truth, _, ear = staged("wash_trading", "SUDS/USDT", 100.0)
    assert truth.started_us is not None
    assert truth.ended_us is not None
    orders = [order for order in ear.orders["SUDS/USDT"] if truth.started_us <= order.at_us <= truth.ended_us]
    mirrored = sum(
        now.side == -then.side and now.fills[-1].lots == then.fills[0].lots and then.at_us - now.at_us < 2_000_000
        for now, then in pairwise(orders)
    )
    assert mirrored / len(orders) > 0.15
    natural = [order for order in ear.orders["SUDS/USDT"] if order.at_us < truth.started_us]
    assert not any(now.fills[-1].lots == then.fills[0].lots for now, then in pairwise(natural))
    assert greatest_move(orders, 60_000_000) < 0.02


def test_a_wash_print_lies_inside_the_spread_and_changes_no_level() -> None:
    market, ear = run([Act("wash_trading", "SUDS/USDT", 0.0)], 0.01, symbols=FEW)
    suds = market.by_symbol["SUDS/USDT"]
    for _ in range(2000):
        before, update_id, heard = (suds.book.best(BID), suds.book.best(ASK)), suds.book.update_id, len(ear.orders["SUDS/USDT"])
        market.advance(market.now_us + 10_000)
        if len(ear.orders["SUDS/USDT"]) == heard + 1 and suds.book.update_id == update_id:
            tick = ear.orders["SUDS/USDT"][-1].fills[0].tick
            assert before[0] is not None
            assert before[1] is not None
            assert before[0] < tick < before[1]
            return
    pytest.fail("no wash print without a change of the book in 20 seconds")


@pytest.mark.parametrize("seed", [2, 7, 8])
def test_layering_shows_walls_within_25_bp_and_takes_them_away_untraded(seed: int) -> None:
    truth, market, ear = staged("layering", "LAYR/USDT", 60.0, seed=seed)
    layr = market.by_symbol["LAYR/USDT"]
    usual = layr.lots(layr.coin.level_usd)
    large = [row for row in ear.levels["LAYR/USDT"] if row[3] > 12 * usual and row[0] <= (truth.ended_us or 0)]
    walls = [row for row in large if abs(row[2] / row[4] - 1.0) <= 0.0025]
    assert len(truth.phases) >= 7
    assert len(walls) >= 3 * len(truth.phases)
    sizes: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for at_us, side, tick, lots, _ in ear.levels["LAYR/USDT"]:
        sizes[side, tick].append((at_us, lots))
    for at_us, side, tick, lots, _ in walls:
        gone = next(((then, left) for then, left in sizes[side, tick] if then > at_us and left < lots / 2), None)
        assert gone is not None
        assert gone[0] - at_us < 10_000_000
        traded = sum(
            fill.lots
            for order in ear.orders["LAYR/USDT"]
            if at_us <= order.at_us <= gone[0]
            for fill in order.fills
            if fill.tick == tick
        )
        assert traded < 0.05 * lots
    assert not layr.maker.walls
    assert not layr.moods


def test_layering_ends_each_cycle_with_a_sweep_against_the_lured_side() -> None:
    truth, _, ear = staged("layering", "LAYR/USDT", 60.0)
    starts = [at_us for _, at_us in truth.phases] + [truth.ended_us or 0]
    for start, end in pairwise(starts):
        assert any(len(order.fills) >= 5 for order in ear.orders["LAYR/USDT"] if start < order.at_us <= end)


def test_a_blown_out_spread_is_many_times_as_wide_and_comes_back() -> None:
    truth, _, ear = staged("spread_blowout", "YAWN/USDT", 60.0, at_s=20.0)
    spreads = ear.spreads["YAWN/USDT"]
    usual = sorted(bp for at_us, bp in spreads if at_us < truth.phases[0][1])
    wide = [bp for at_us, bp in spreads if truth.phases[0][1] + 500_000 < at_us < truth.phases[1][1]]
    assert min(wide) > 5 * usual[len(usual) // 2]
    assert spreads[-1][1] < 3 * usual[len(usual) // 2]


def test_a_market_drop_takes_every_coin_by_its_beta_and_none_by_itself() -> None:
    market, ear = run([Act("market_drop", "*", 10.0)], 30.0)
    truth = market.truth[0]
    assert truth.is_harmless
    drop = market.factor.value
    assert -0.032 < drop < -0.018
    for one in market.coins:
        fair = math.log(one.fair_ticks() / (one.coin.price * one.coin.ticks_per_usdt))
        assert abs(fair - one.coin.beta * drop) < 0.008, one.coin.symbol
        assert abs(math.log(one.mid_ticks() / one.fair_ticks())) < 0.004, one.coin.symbol
        assert max((len(order.fills) for order in ear.orders[one.coin.symbol]), default=0) <= 4


def test_a_flash_crash_falls_and_recovers() -> None:
    truth, market, ear = staged("flash_crash", "YAWN/USDT", 60.0)
    phases = dict(truth.phases)
    orders = ear.orders["YAWN/USDT"]
    assert 0.86 < price(orders, phases["recovery"]) / price(orders, phases["crash"]) < 0.93
    assert market.by_symbol["YAWN/USDT"].fair_ticks() / market.by_symbol["YAWN/USDT"].coin.ticks_per_usdt > 1.084 * 0.94
    assert min(len(order.fills) for order in orders if order.side == SELL and len(order.fills) > 4) >= 8


def test_the_demo_schedule_is_over_within_two_minutes() -> None:
    market, _ = run("demo", 120.0)
    assert [truth.pattern for truth in market.truth] == [act.pattern for act in SCHEDULES["demo"]]
    assert all(truth.ended_us is not None for truth in market.truth)


def test_a_freeze_of_all_silences_every_stream_and_ends() -> None:
    market, ear = run([Act("frozen_feed", "*", 1.0)], 10.0, symbols=FEW)
    assert all(one.is_silent for one in market.coins)
    heard = len(ear.orders["BTC/USDT"])
    market.advance(market.now_us + 20_000_000)
    assert not any(one.is_silent for one in market.coins)
    # Only the stream is silent: the market itself goes on.
    assert len(ear.orders["BTC/USDT"]) > heard
    assert [phase for phase, _ in market.truth[0].phases] == ["silent"]


def test_two_acts_on_one_coin_at_once_do_not_break_the_market() -> None:
    acts = [Act(pattern, "MOON/USDT", at_s) for at_s in (1.0, 4.0) for pattern in ("pump_dump", "flash_crash", "layering")]
    market, _ = run(acts, 120.0, symbols=FEW)
    assert all(truth.ended_us is not None for truth in market.truth)


def test_a_book_that_somebody_bought_empty_is_quoted_again() -> None:
    market, _ = run("calm", 2.0, symbols=FEW)
    moon = market.by_symbol["MOON/USDT"]
    assert len(moon.take(market.now_us, BUY, 1 << 50)) == 60
    assert moon.book.best(ASK) is None
    market.advance(market.now_us + 3_000_000)
    assert len(moon.book.levels(ASK)) >= 55


@pytest.mark.parametrize("pattern", ["pump_dump", "wash_trading", "layering", "spread_blowout", "flash_crash", "frozen_feed"])
@pytest.mark.parametrize("symbol", ["BTC/USDT", "DUST/USDT"])
def test_every_pattern_can_be_staged_on_a_major_and_on_a_thin_coin(pattern: str, symbol: str) -> None:
    market, _ = run([Act(pattern, symbol, 1.0)], 110.0, symbols=[symbol])
    assert market.truth[0].ended_us is not None
    assert market.by_symbol[symbol].book.best(BID) is not None


def price(orders: Sequence[Order], at_us: int) -> float:
    return next(order.fills[-1].tick for order in reversed(orders) if order.at_us <= at_us)


def greatest_move(orders: Sequence[Order], window_us: int) -> float:
    greatest, first = 0.0, 0
    for order in orders:
        while orders[first].at_us < order.at_us - window_us:
            first += 1
        greatest = max(greatest, abs(math.log(order.fills[-1].tick / orders[first].fills[0].tick)))
    return greatest
