"""Long and short in the mixin: which side of a futures market an order is on, where Freqtrade does not say it."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from client.images import Machine, image, quarantine, view
from client.test_freqtrade import NOW, Before, confirms, machine, made

from guard.model import BotPolicy, TargetKind

__all__ = ["machine"]  # a fixture

CONTRACT = "X/USDT:USDT"


def trading(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, sides: tuple[str, ...], *, is_short: bool | None, broken: bool = False
) -> Any:
    """Return a strategy on futures whose bot is held back on `sides`, with a position in X on one side, or none."""
    held = quarantine("X", kind=TargetKind.BASE)
    markets = {f"sim:{CONTRACT}": view(), "sim:Y/USDT:USDT": view()}
    machine.publish(image(held, markets=markets, bots={"*": BotPolicy(sides=sides)}))
    trades = [] if is_short is None else [SimpleNamespace(pair=CONTRACT, amount=1.0, is_short=is_short)]

    def get_open_trades() -> list[Any]:
        if broken:
            raise RuntimeError("the database is locked")
        return trades

    trade = SimpleNamespace(get_open_trades=get_open_trades)
    monkeypatch.setitem(sys.modules, "freqtrade.persistence", SimpleNamespace(Trade=trade))
    strategy = made(machine, Before, trading_mode="futures")
    strategy.bot_loop_start(NOW)
    return strategy


def passed(strategy: Any, pair: str = CONTRACT) -> bool:
    """Whether the last step before an order lets a stake pass: a forced addition and a replaced order have no other."""
    return bool(strategy.wallets.validate_stake_amount(pair=pair, stake_amount=10.0))


@pytest.mark.parametrize(
    ("sides", "is_short", "passes"),
    [
        (("buy",), False, False),
        (("buy",), True, True),
        (("sell",), False, True),
        (("sell",), True, False),
        (("buy", "sell"), False, False),
        (("buy", "sell"), True, False),
        ((), False, True),
    ],
)
def test_a_forced_addition_is_refused_on_the_side_that_the_bot_is_held_back_on(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, sides: tuple[str, ...], *, is_short: bool, passes: bool
) -> None:
    strategy = trading(machine, monkeypatch, sides, is_short=is_short)
    assert passed(strategy) is passes
    assert passed(strategy, "Y/USDT:USDT")


def test_an_entry_passes_the_wallets_where_one_side_is_free_and_is_confirmed_on_that_side_alone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy = trading(machine, monkeypatch, ("buy",), is_short=None)
    assert passed(strategy)
    assert confirms(strategy, CONTRACT, "short")
    assert not confirms(strategy, CONTRACT, "long")


def test_trades_that_cannot_be_read_count_as_both_sides(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = trading(machine, monkeypatch, ("buy",), is_short=True, broken=True)
    assert not passed(strategy)
    assert passed(strategy, "Y/USDT:USDT")
