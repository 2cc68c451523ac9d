"""Who misbehaves, on schedule: each actor is a run of steps that tells what it does as it does it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from guard.model import ASK, BID, BUY, SELL
from guard_sim.book import Fill
from guard_sim.chance import exponential
from guard_sim.market_coin import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guard_sim.chance import Random
    from guard_sim.market_coin import CoinMarket
    from guard_sim.schedule import Truth

__all__ = ["COIN_PATTERNS"]


def pump_dump(market: CoinMarket, draw: Random, truth: Truth, now_us: int) -> Iterator[int]:
    """Buy quietly for 10-20 s, then rush: +18 to 28 % by orders that sweep nine levels and more; then sell into the crowd."""
    truth.enter("accumulation", now_us)
    first_fair = market.fair_ticks()
    until_us = now_us + int(draw.uniform(12.0, 18.0) * SECOND_US)
    while now_us < until_us:
        now_us += int(exponential(draw, 0.7) * SECOND_US) + 1
        yield now_us
        market.take(now_us, BUY, market.lots(market.coin.level_usd * draw.uniform(0.3, 0.9)), levels_max=2)
        market.own += 0.0001
    truth.enter("rush", now_us)
    target = first_fair * (1.0 + draw.uniform(0.18, 0.28))
    market.moods["pump"] = (6.0, 0.35)
    until_us = now_us + 20 * SECOND_US
    while market.fair_ticks() < target and now_us < until_us:
        market.sweep(now_us, BUY, draw.randint(9, 16))
        now_us += int(draw.uniform(0.25, 0.65) * SECOND_US)
        yield now_us
    peak = market.fair_ticks()
    truth.enter("dump", now_us)
    market.moods["pump"] = (5.0, -0.35)
    floor = peak - 0.75 * (peak - first_fair)
    until_us = now_us + 30 * SECOND_US
    while market.fair_ticks() > floor and now_us < until_us:
        now_us += int(draw.uniform(0.5, 1.3) * SECOND_US)
        yield now_us
        market.sweep(now_us, SELL, draw.randint(8, 14))
    market.moods.pop("pump", None)
    truth.end(now_us)


def wash_trading(market: CoinMarket, draw: Random, truth: Truth, now_us: int) -> Iterator[int]:
    """Print trades with oneself for 75 s: a few sizes, sides in turn, inside the spread, and the book never moves."""
    truth.enter("printing", now_us)
    sizes = [market.lots(market.coin.order_usd * factor) for factor in (1.5, 2.5, 4.0)]
    until_us = now_us + 75 * SECOND_US
    side = BUY
    while now_us < until_us:
        now_us += int(exponential(draw, 0.55) * SECOND_US) + 1
        yield now_us
        lots = sizes[draw.randrange(len(sizes))]
        side = -side
        _print_inside(market, draw, now_us, side, lots)
        if draw.random() < 0.6:  # noqa: PLR2004 - six of ten come as a pair, the rest are one print
            now_us += int(draw.uniform(0.08, 0.9) * SECOND_US)
            yield now_us
            side = -side
            _print_inside(market, draw, now_us, side, lots)
    truth.end(now_us)


def _print_inside(market: CoinMarket, draw: Random, now_us: int, side: int, lots: int) -> None:
    bid, ask = market.book.best(BID), market.book.best(ASK)
    if bid is not None and ask is not None and ask - bid > 1:
        market.print(now_us, side, [Fill(draw.randint(bid + 1, ask - 1), lots)])


def layering(market: CoinMarket, draw: Random, truth: Truth, now_us: int) -> Iterator[int]:
    """Show walls on one side, pull the other, let the price follow, take the walls away untraded and trade against the move."""
    until_us = now_us + 45 * SECOND_US
    cycle = 0
    while now_us < until_us:
        cycle += 1
        lured = BUY if draw.random() < 0.7 else SELL  # noqa: PLR2004 - seven of ten cycles lure buyers
        truth.enter(f"cycle {cycle}", now_us)
        for now_us in _one_cycle(market, draw, lured, now_us):  # noqa: B020, PLR1704 - the cycle carries the time on
            yield now_us
    truth.end(now_us)


def _one_cycle(market: CoinMarket, draw: Random, lured: int, now_us: int) -> Iterator[int]:
    shown = BID if lured == BUY else ASK
    wall_lots = market.lots(market.coin.level_usd * draw.uniform(14.0, 20.0))
    # The crowd turns before the walls stand: walls that get filled are no bait.
    market.moods["layering"] = (4.0, 0.9 * lured)
    places = []
    for depth in (2, 3, 4, 5):
        places.append(market.maker.build_wall(shown, depth, wall_lots))
        now_us += int(draw.uniform(0.08, 0.15) * SECOND_US)
        yield now_us
    market.maker.withheld[-shown] = 2
    for _ in range(10):
        market.own += lured * 0.00009
        now_us += int(draw.uniform(0.12, 0.25) * SECOND_US)
        yield now_us
    for place in places:
        market.maker.remove_wall(shown, place)
        now_us += int(draw.uniform(0.03, 0.08) * SECOND_US)
        yield now_us
    now_us += SECOND_US // 5
    yield now_us
    market.moods.pop("layering", None)
    market.maker.withheld[-shown] = 0
    market.sweep(now_us, -lured, 5, follow=0.6)
    now_us += int(draw.uniform(1.2, 2.2) * SECOND_US)
    yield now_us


def spread_blowout(market: CoinMarket, draw: Random, truth: Truth, now_us: int) -> Iterator[int]:
    """Withdraw the quotes beside the middle for 25 s: the spread becomes about twelve times as wide."""
    truth.enter("withdrawn", now_us)
    steps = draw.randint(11, 14)
    market.moods["blowout"] = (0.3, 0.0)
    market.maker.withheld.update({BID: steps, ASK: steps})
    now_us += 25 * SECOND_US
    yield now_us
    truth.enter("return", now_us)
    for left in range(steps - 1, -1, -1):
        market.maker.withheld.update({BID: left, ASK: left})
        now_us += SECOND_US // 4
        yield now_us
    market.moods.pop("blowout", None)
    truth.end(now_us)


def frozen_feed(market: CoinMarket, draw: Random, truth: Truth, now_us: int) -> Iterator[int]:
    """Keep the stream of the market silent for 20 s while trading and REST go on."""
    truth.enter("silent", now_us)
    market.is_silent = True
    now_us += int(draw.uniform(19.0, 21.0) * SECOND_US)
    yield now_us
    market.is_silent = False
    truth.end(now_us)


def flash_crash(market: CoinMarket, draw: Random, truth: Truth, now_us: int) -> Iterator[int]:
    """Sell through the book within a few seconds, -8 to -12 %, and recover two thirds within half a minute."""
    truth.enter("crash", now_us)
    first = market.fair_ticks()
    target = first * (1.0 - draw.uniform(0.08, 0.12))
    market.moods["crash"] = (5.0, -0.4)
    until_us = now_us + 8 * SECOND_US
    while market.fair_ticks() > target and now_us < until_us:
        market.sweep(now_us, SELL, draw.randint(9, 16))
        now_us += int(draw.uniform(0.15, 0.4) * SECOND_US)
        yield now_us
    truth.enter("recovery", now_us)
    market.moods["crash"] = (3.0, 0.2)
    missing = math.log(first / market.fair_ticks()) * 0.67
    for _ in range(100):
        market.own += missing / 100
        now_us += 3 * SECOND_US // 10
        yield now_us
    market.moods.pop("crash", None)
    truth.end(now_us)


COIN_PATTERNS: dict[str, Callable[[CoinMarket, Random, Truth, int], Iterator[int]]] = {
    "flash_crash": flash_crash,
    "frozen_feed": frozen_feed,
    "layering": layering,
    "pump_dump": pump_dump,
    "spread_blowout": spread_blowout,
    "wash_trading": wash_trading,
}
