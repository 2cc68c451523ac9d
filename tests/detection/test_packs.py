"""The shipped packs on the seeded market: each pattern is found where it happens, calm markets stay calm."""

from __future__ import annotations

from functools import cache

import pytest
from detection.markets import Bench, Moment, program

from guard_sim.tape import VirtualMarket, facts

SYMBOLS = ("BTC/USDT", "MOON/USDT", "SUDS/USDT", "YAWN/USDT", "LAYR/USDT")


class Recorder:
    """A sink that keeps the moments of one pack."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.moments: list[Moment] = []

    def append(self, kind: int, market: int, *, at_us: int, received_us: int, **columns: float) -> None:
        self.moments += self.bench.append(kind, market, at_us=at_us, received_us=received_us, **columns)


@cache
def played(pack: str, pattern: str | None, symbol: str, *, start_s: float = 40.0, seconds: float = 70.0) -> dict[str, float]:
    """Return when each market first was in danger, in seconds after the act began; play goes on for `seconds` from then."""
    schedule = [{"pattern": pattern, "symbol": symbol, "at": start_s}] if pattern else "calm"
    known = facts(symbols=list(SYMBOLS))
    symbols = [one.market.symbol for one in known]
    sink = Recorder(Bench(program(pack), known, reference=symbols.index("BTC/USDT")))
    market = VirtualMarket(sink, seed=11, schedule=schedule, symbols=list(SYMBOLS))
    market.fill_past(history_s=12 * 3_600)
    for _ in market.play(start_s + seconds):
        pass
    begin_us = market.market.start_us + start_s * 1e6
    first: dict[str, float] = {}
    for moment in sink.moments:
        if moment.fires and (moment.score or 0.0) >= 0.8:
            first.setdefault(symbols[moment.market], (moment.at_us - begin_us) / 1e6)
    return first


@pytest.mark.parametrize(
    ("pack", "pattern", "symbol", "within_s"),
    [
        ("pump_dump", "pump_dump", "MOON/USDT", 40.0),
        ("wash_trading", "wash_trading", "SUDS/USDT", 60.0),
        ("spread_blowout", "spread_blowout", "YAWN/USDT", 10.0),
    ],
)
def test_a_pattern_is_found_on_its_market_and_on_no_other(pack: str, pattern: str, symbol: str, within_s: float) -> None:
    # Its own high quantile of the spread is known after 80 s.
    first = played(pack, pattern, symbol, start_s=100.0 if pack == "spread_blowout" else 40.0)
    assert list(first) == [symbol]
    assert 0 < first[symbol] <= within_s


@pytest.mark.parametrize("pack", ["pump_dump", "wash_trading", "spread_blowout", "divergence"])
def test_a_fall_of_the_whole_market_endangers_no_single_one(pack: str) -> None:
    assert played(pack, "market_drop", "*") == {}


@pytest.mark.parametrize("pack", ["pump_dump", "wash_trading", "spread_blowout", "spoofing", "divergence"])
def test_calm_markets_stay_calm(pack: str) -> None:
    assert played(pack, None, "*", seconds=140.0) == {}
