"""The mixin in trouble: a client that fails, a guard that is not the bot's, hooks that were replaced; and each is told once."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from client.images import BOOT_ID, Machine, image
from client.test_freqtrade import NOW, Before, Overrides, adjusted, confirms, machine, made, staked

from guard.client import freqtrade
from guard.client.clock import Clocks
from guard.model import Mode

__all__ = ["machine"]  # a fixture


class Broken:
    """A client that fails at every touch."""

    def __init__(self, *_: Any) -> None:
        raise OSError("broken")


def test_a_client_that_cannot_be_made_refuses(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freqtrade, "Guard", Broken)
    strategy = made(machine, Overrides)
    strategy.bot_loop_start(NOW)
    assert not confirms(strategy)
    assert adjusted(strategy) is None
    assert staked(strategy) == 0.0
    strategy.dca = -1.0
    assert adjusted(strategy) == -1.0
    assert sum("broken" in text for text in strategy.dp.sent) == 1


@pytest.mark.parametrize(("mode", "passes"), [(Mode.ENFORCE, False), (Mode.OBSERVE, True), (Mode.ALERT, True)])
def test_a_check_that_fails_follows_the_mode(
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    mode: Mode,
    passes: bool,  # noqa: FBT001 - a column
) -> None:
    machine.publish(image(mode=mode))
    strategy = made(machine)
    strategy.bot_loop_start(NOW)
    guard = vars(strategy)["_guard_gate"].guard

    def fails(*_: Any) -> Any:
        raise RuntimeError("no answer")

    monkeypatch.setattr(type(guard), "check", fails)
    assert confirms(strategy) is passes


def test_troubles_are_told_once_and_their_end_too(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "guard.freqtrade")
    strategy = made(machine)
    strategy.bot_loop_start(NOW)
    assert strategy.dp.sent == []
    for _ in range(4):
        machine.pass_time(3, beats=False)
        strategy.bot_loop_start(NOW)
    assert len(strategy.dp.sent) == 1
    assert "no heartbeat" in strategy.dp.sent[0]
    machine.pass_time(1)
    strategy.bot_loop_start(NOW)
    assert strategy.dp.sent[1:] == ["guard answers again"]
    for _ in range(3):
        confirms(strategy)
    assert sum("refuses to open X/USDT" in record.message for record in caplog.records) == 1


def test_an_exchange_that_guard_does_not_have_is_told(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    strategy = made(machine, exchange="binance")
    strategy.bot_loop_start(NOW)
    assert "guard.yaml has sim, this bot trades on binance" in strategy.dp.sent[0]
    named = made(machine, exchange="binance", guard={"exchange": "sim"})
    named.bot_loop_start(NOW)
    assert named.dp.sent == []
    assert not confirms(named)
    other = made(machine, exchange="binance")
    other.guard_exchange = "sim"
    assert not confirms(other)
    caplog.clear()
    named.dp.pairs = ["Y/USDT", "NEW/USDT"]
    named.bot_loop_start(NOW)
    named.bot_loop_start(NOW)
    assert sum("does not watch NEW/USDT" in record.message for record in caplog.records) == 1


def test_a_hook_replaced_after_the_class_was_made_is_told(machine: Machine) -> None:
    class Patched(Before):
        pass

    Patched.confirm_trade_entry = lambda *_, **__: True  # type: ignore[method-assign, assignment] # what a user may do
    strategy = made(machine, Patched)
    strategy.bot_loop_start(NOW)
    assert "confirm_trade_entry" in strategy.dp.sent[0]
    assert strategy.wallets.validate_stake_amount("X/USDT", 10.0) == 0


def test_the_clock_of_another_machine_is_no_reason_to_permit(machine: Machine) -> None:
    strategy = made(machine)
    clocks = Clocks(lambda: 1, lambda: 0, BOOT_ID)
    vars(strategy)["_guard_gate"] = gate = freqtrade._Gate(strategy)
    gate.guard._clocks = clocks
    gate.guard._boot_ns = clocks.boot_ns
    assert not confirms(strategy)
