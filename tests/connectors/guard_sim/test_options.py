from __future__ import annotations

from typing import Any

import pytest

from guard.errors import ConfigurationError
from guard_sim.coins import COINS, chosen
from guard_sim.options import read_options
from guard_sim.schedule import Act, planned

SYMBOLS = [coin.symbol for coin in COINS]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"sede": 8}, "unknown option 'sede'"),
        ({"seed": "8"}, "a whole number"),
        ({"inbox": 70_000}, "a port"),
        ({"bot": "yes"}, "true or false"),
        ({"speed": 2}, "speed is 2"),
        ({"count": 0}, "from 1 to 200"),
        ({"symbols": ["NOPE/USDT"]}, "NOPE/USDT"),
        ({"symbols": []}, "must be a list"),
        ({"schedule": "wild"}, "schedule must be"),
        ({"schedule": [{"pattern": "pump"}]}, "act 0"),
        ({"schedule": [{"pattern": "pump", "symbol": "MOON/USDT", "at": 3}]}, "no pattern 'pump'"),
        ({"schedule": [{"pattern": "pump_dump", "symbol": "MOON/USDT", "at": "soon"}]}, "at must be seconds"),
        ({"schedule": [{"pattern": "pump_dump", "at": 3}]}, "needs one symbol"),
        ({"schedule": [{"pattern": "market_drop", "symbol": "MOON/USDT", "at": 3}]}, "about all symbols"),
        ({"schedule": [{"pattern": "pump_dump", "symbol": "MOON/USDT", "at": -1}]}, "between 0 and"),
        ({"schedule": [{"pattern": "pump_dump", "symbol": "MOON/USDT", "at": float("nan")}]}, "between 0 and"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        read_options("sim", options)


def test_every_mistake_is_told_in_one_run() -> None:
    with pytest.raises(ConfigurationError) as found:
        read_options("sim", {"sede": 1, "seed": None, "speed": 3})
    assert len(found.value.problems) == 3


def test_seconds_may_carry_their_unit() -> None:
    acts = planned([{"pattern": "pump_dump", "symbol": "MOON/USDT", "at": "35s"}, {"pattern": "market_drop", "at": 9}], SYMBOLS)
    assert acts == (Act("pump_dump", "MOON/USDT", 35.0), Act("market_drop", "*", 9.0))


def test_a_named_schedule_leaves_out_coins_that_are_not_there() -> None:
    assert [act.pattern for act in planned("demo", ["BTC/USDT", "MOON/USDT"])] == ["pump_dump", "market_drop"]


def test_the_reference_is_always_among_the_coins() -> None:
    assert [coin.base for coin in chosen(["MOON/USDT"])] == ["BTC", "MOON"]
    assert len({coin.base for coin in chosen(None, 200)}) == 200


def test_a_dialect_that_nobody_speaks_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigurationError, match="one of binance, kucoin, gate"):
        read_options("sim", {"dialect": "okx"})
    assert read_options("sim", {"dialect": "gate"}).server()["dialect"] == "gate"
