from __future__ import annotations

import math
from itertools import pairwise

import pytest

from guard_sim.coins import COINS, Coin
from guard_sim.market_coin import FIRST_ID
from guard_sim.past import DAY_US, MINUTE_US, Past

START_US = 1_750_000_000_000_000
BY_BASE = {coin.base: coin for coin in COINS}


@pytest.mark.parametrize("coin", COINS, ids=lambda coin: coin.base)
def test_the_past_ends_at_the_first_live_price_and_id(coin: Coin) -> None:
    minutes = Past(7, START_US).minutes(coin)
    assert minutes[-1].close == pytest.approx(coin.price, rel=1e-9)
    assert minutes[-1].first_id + minutes[-1].trades == FIRST_ID
    assert minutes[-1].at_us <= START_US < minutes[-1].at_us + MINUTE_US
    assert START_US - minutes[0].at_us >= 2 * DAY_US
    for before, after in pairwise(minutes):
        assert before.close == after.open
        assert before.low <= min(before.open, before.close) <= max(before.open, before.close) <= before.high
        assert before.first_id + before.trades == after.first_id
        assert 0.0 <= before.bought <= before.volume


def test_the_past_is_the_same_whatever_is_asked_first() -> None:
    one, other = Past(7, START_US), Past(7, START_US)
    moon, sol = BY_BASE["MOON"], BY_BASE["SOL"]
    assert (one.minutes(moon), one.minutes(sol)) == (other.minutes(sol), other.minutes(moon))[::-1]
    assert one.trades(sol, one.minutes(sol)[5]) == other.trades(sol, other.minutes(sol)[5])
    assert Past(8, START_US).minutes(moon) != one.minutes(moon)


@pytest.mark.parametrize("base", ["BTC", "MOON", "DUST"])
def test_the_trades_of_a_candle_make_the_candle(base: str) -> None:
    past, coin = Past(7, START_US), BY_BASE[base]
    for minute in past.minutes(coin)[-200:]:
        trades = past.trades(coin, minute)
        assert [trade.id for trade in trades] == list(range(minute.first_id, minute.first_id + minute.trades))
        assert all(before.at_us <= after.at_us for before, after in pairwise(trades))
        assert all(minute.at_us <= trade.at_us < min(minute.at_us + MINUTE_US, START_US) for trade in trades)
        for trade in trades:
            assert minute.low - coin.tick <= trade.tick * coin.tick <= minute.high + coin.tick
        if trades:
            volume = sum(trade.lots for trade in trades) * coin.lot
            assert volume == pytest.approx(minute.volume, rel=0.02, abs=len(trades) * coin.lot)


def test_coins_share_the_factor_by_their_betas() -> None:
    past = Past(7, START_US)
    moves = {base: [math.log(m.close / m.open) for m in past.minutes(BY_BASE[base])] for base in ("BTC", "ETH", "SOL")}
    for base in ("ETH", "SOL"):
        shared = sum(x * y for x, y in zip(moves["BTC"], moves[base], strict=True))
        beta = shared / sum(x * x for x in moves["BTC"])
        assert beta == pytest.approx(BY_BASE[base].beta, abs=0.25)


def test_volume_follows_the_hour_of_the_day() -> None:
    minutes = Past(7, START_US).minutes(BY_BASE["BTC"])
    by_hour: dict[int, float] = {}
    for minute in minutes:
        hour = minute.at_us // 3_600_000_000 % 24
        by_hour[hour] = by_hour.get(hour, 0.0) + minute.volume
    assert by_hour[15] > 1.8 * by_hour[3]


def test_a_coin_has_been_there_for_400_days() -> None:
    past, coin = Past(7, START_US), BY_BASE["MOON"]
    days = list(past.days(coin))
    assert len(days) == 400
    assert days[-1].close == pytest.approx(past.minutes(coin)[0].open)
    assert all(after.at_us - before.at_us == DAY_US for before, after in pairwise(days))
