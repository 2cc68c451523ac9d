"""The mixin on a strategy of plain Python: what it refuses, what it lets pass, and that it never fails open."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from client.images import Machine, image, quarantine, view

from guard.client import freqtrade
from guard.client.freqtrade import GuardMixin, exchange_name
from guard.model import Block, Mode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)


class Interface:
    """The hooks as Freqtrade's interface has them: none calls super()."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.wallets = Wallets()
        self.dp = Provider(config["exchange"].get("pair_whitelist", []))

    def bot_loop_start(self, current_time: datetime, **kwargs: Any) -> None:
        pass

    def confirm_trade_entry(self, pair: str, *args: Any, **kwargs: Any) -> bool:
        return True

    def confirm_trade_exit(self, pair: str, **kwargs: Any) -> bool:
        return True

    def custom_stake_amount(self, pair: str, *, proposed_stake: float, **kwargs: Any) -> float:
        return proposed_stake

    def adjust_trade_position(self, trade: Any, **kwargs: Any) -> Any:
        return None

    def check_entry_timeout(self, pair: str, **kwargs: Any) -> bool:
        return False

    def adjust_entry_price(self, current_order_rate: float, **kwargs: Any) -> float | None:
        return current_order_rate


Interface.adjust_entry_price.__module__ = "freqtrade.strategy.interface"


class Wallets:
    def validate_stake_amount(self, pair: str, stake_amount: float, **kwargs: Any) -> float:
        return stake_amount


class Provider:
    def __init__(self, pairs: list[str]) -> None:
        self.pairs, self.sent = pairs, list[str]()

    def current_whitelist(self) -> list[str]:
        return self.pairs

    def send_msg(self, text: str, *, always_send: bool = False) -> None:
        assert always_send
        self.sent.append(text)


def config(runmode: str = "dry_run", exchange: str = "sim", **more: Any) -> dict[str, Any]:
    return {"runmode": SimpleNamespace(value=runmode), "exchange": {"name": exchange, "pair_whitelist": ["Y/USDT"]}, **more}


class Before(GuardMixin, Interface):
    pass


class After(Interface, GuardMixin):
    pass


class Overrides(GuardMixin, Interface):
    """As a strategy that was there before guard: it overrides everything, and calls no super()."""

    dca: Any = 10.0

    def confirm_trade_entry(self, pair: str, *args: Any, **kwargs: Any) -> bool:
        return True

    def custom_stake_amount(self, pair: str, *, proposed_stake: float, **kwargs: Any) -> float:
        return proposed_stake * 2

    def adjust_trade_position(self, trade: Any, **kwargs: Any) -> Any:
        if isinstance(self.dca, Exception):
            raise self.dca
        return self.dca

    def adjust_entry_price(self, current_order_rate: float, **kwargs: Any) -> float | None:
        return current_order_rate * 1.01


class Chained(Overrides):
    def confirm_trade_entry(self, pair: str, *args: Any, **kwargs: Any) -> bool:
        return super().confirm_trade_entry(pair, *args, **kwargs)

    def custom_stake_amount(self, pair: str, *, proposed_stake: float, **kwargs: Any) -> float:
        return super().custom_stake_amount(pair, proposed_stake=proposed_stake, **kwargs)


SHAPES = [Before, After, Overrides, Chained]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    real = freqtrade.Guard
    monkeypatch.setattr(freqtrade, "Guard", lambda path, bot: real(path, bot, clocks=machine.clock.clocks()))
    machine.publish(image(quarantine()))
    # Freqtrade is not installed where this runs; `make test-bots` has the real one.
    trades = SimpleNamespace(get_open_trades=lambda: [SimpleNamespace(pair="Y/USDT", amount=2.0, is_short=True)])
    monkeypatch.setitem(sys.modules, "freqtrade", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "freqtrade.persistence", SimpleNamespace(Trade=trades))
    return machine


def made(machine: Machine, shape: Callable[[Any], Any] = Before, **words: Any) -> Any:
    strategy = shape(config(**words))
    strategy.guard_path = machine.folder
    return strategy


def confirms(strategy: Any, pair: str = "X/USDT", side: str = "long") -> bool:
    return bool(strategy.confirm_trade_entry(pair, "limit", 1.0, 1.0, "GTC", NOW, None, side))


def adjusted(strategy: Any, pair: str = "X/USDT", least: float | None = 1.0) -> Any:
    trade = SimpleNamespace(pair=pair, is_short=False)
    return strategy.adjust_trade_position(trade=trade, current_time=NOW, min_stake=least, max_stake=100.0)


def staked(strategy: Any, pair: str = "X/USDT", stake: Any = 20.0, least: float | None = 5.0) -> Any:
    return strategy.custom_stake_amount(pair=pair, proposed_stake=stake, min_stake=least, max_stake=1e3, side="long")


@pytest.mark.parametrize("shape", SHAPES)
def test_an_entry_on_a_quarantined_market_is_refused_in_whatever_order_the_bases_stand(machine: Machine, shape: Any) -> None:
    strategy = made(machine, shape)
    assert not confirms(strategy)
    assert confirms(strategy, "Y/USDT")
    assert strategy.confirm_trade_exit("X/USDT")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("runmode", ["backtest", "hyperopt", "plot", "webserver", "util_exchange", "other"])
def test_outside_live_and_dry_run_nothing_is_asked(machine: Machine, shape: Any, runmode: str) -> None:
    strategy = made(machine, shape, runmode=runmode)
    strategy.bot_loop_start(NOW)
    assert confirms(strategy)
    assert staked(strategy) > 0
    assert "_guard_gate" not in vars(strategy)


def test_a_runmode_that_is_not_known_acts(machine: Machine) -> None:
    strategy = made(machine)
    del strategy.config["runmode"]
    assert not confirms(strategy)


def test_each_entry_is_counted_once_with_what_became_of_it(machine: Machine) -> None:
    strategy = made(machine, Overrides)
    strategy.bot_loop_start(NOW)
    gate, said = vars(strategy)["_guard_gate"], []
    gate.guard.count = lambda _exchange, symbol, what: said.append((symbol, what))
    # Freqtrade asks for the stake first, and confirms what is left of it.
    assert staked(strategy) == 0
    assert staked(strategy, "Y/USDT") == 40.0
    assert confirms(strategy, "Y/USDT")
    assert adjusted(strategy) is None
    assert said == [("X/USDT", "seen"), ("X/USDT", "blocked"), ("Y/USDT", "seen"), ("X/USDT", "seen"), ("X/USDT", "blocked")]
    # Counting fails: what guard answered stands.
    gate.guard.count = None
    assert not confirms(strategy)


@pytest.mark.parametrize("stake", [10.0, (10.0, "tag"), (10.0,), float("nan"), "10"])
def test_an_addition_to_a_quarantined_position_is_dropped(machine: Machine, stake: Any) -> None:
    strategy = made(machine, Overrides)
    strategy.dca = stake
    assert adjusted(strategy) is None


@pytest.mark.parametrize("stake", [-10.0, (-10.0, "tag"), None, 0.0, (None, "")])
def test_a_partial_exit_of_a_quarantined_position_passes_untouched(machine: Machine, stake: Any) -> None:
    strategy = made(machine, Overrides)
    strategy.dca = stake
    assert adjusted(strategy) == stake


def test_a_failing_adjustment_of_the_strategy_stays_the_strategys(machine: Machine) -> None:
    strategy = made(machine, Overrides)
    strategy.dca = KeyError("mine")
    with pytest.raises(KeyError, match="mine"):
        adjusted(strategy, "Y/USDT")


def test_probation_shrinks_stakes_once_and_drops_what_falls_below_the_least(machine: Machine) -> None:
    machine.publish(image(quarantine(block=Block.SHRINK)))
    strategy = made(machine, Chained)
    assert staked(strategy) == pytest.approx(10.0)  # 20 by the strategy's own 2, of which a quarter
    assert staked(strategy, least=10.5) == 0.0
    assert staked(strategy, least=None) == pytest.approx(10.0)
    assert staked(strategy, "Y/USDT") == pytest.approx(40.0)
    strategy.dca = (10.0, "tag")
    assert adjusted(strategy) == (2.5, "tag")
    assert adjusted(strategy, least=3.0) is None
    assert confirms(strategy)


def test_a_short_asks_as_a_sale_that_opens(machine: Machine) -> None:
    machine.publish(image(quarantine("sim:P/USDT:USDT"), markets={"sim:P/USDT:USDT": view(), "sim:Q/USDT:USDT": view()}))
    strategy = made(machine, trading_mode="futures")
    assert not confirms(strategy, "P/USDT:USDT", "short")
    assert not confirms(strategy, "P/USDT:USDT", "long")
    assert confirms(strategy, "Q/USDT:USDT", "short")


def test_a_forced_addition_stops_at_the_wallets(machine: Machine) -> None:
    strategy = made(machine)
    strategy.bot_loop_start(NOW)
    strategy.bot_loop_start(NOW)
    assert strategy.wallets.validate_stake_amount(pair="X/USDT", stake_amount=10.0) == 0
    assert strategy.wallets.validate_stake_amount("Y/USDT", 10.0) == 10.0


def test_a_waiting_entry_order_is_cancelled_by_a_block_and_kept_in_silence(machine: Machine) -> None:
    strategy = made(machine, Overrides)
    order = {"trade": SimpleNamespace(is_short=False), "order": None, "current_time": NOW}
    price = {"proposed_rate": 2.0, "current_order_rate": 1.0, "entry_tag": None, "side": "long", **order}
    assert strategy.check_entry_timeout(pair="X/USDT", **order)
    assert not strategy.check_entry_timeout(pair="Y/USDT", **order)
    assert strategy.adjust_entry_price(pair="X/USDT", **price) is None
    assert strategy.adjust_entry_price(pair="Y/USDT", **price) == 1.01
    machine.pass_time(5, beats=False)
    assert not strategy.check_entry_timeout(pair="Y/USDT", **order)
    assert strategy.adjust_entry_price(pair="Y/USDT", **price) == 1.0
    strategy.guard_cancels = False
    assert not strategy.check_entry_timeout(pair="X/USDT", **order)
    assert strategy.adjust_entry_price(pair="X/USDT", **price) == 1.0


def test_a_silent_guard_refuses_entries_and_lets_a_partial_exit_pass(machine: Machine) -> None:
    strategy = made(machine, Overrides)
    assert confirms(strategy, "Y/USDT")
    machine.pass_time(3, beats=False)
    assert not confirms(strategy, "Y/USDT")
    strategy.dca = -3.0
    assert adjusted(strategy, "Y/USDT") == -3.0


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.ALERT])
def test_below_enforce_everything_passes(machine: Machine, mode: Mode) -> None:
    machine.publish(image(quarantine(), mode=mode))
    strategy = made(machine, Overrides)
    assert confirms(strategy)
    assert adjusted(strategy) == 10.0
    machine.pass_time(60, beats=False)
    assert confirms(strategy)


def test_a_strategys_own_loop_runs_after_guards(machine: Machine) -> None:
    class Loops(GuardMixin, Interface):
        looped = 0

        def bot_loop_start(self, current_time: datetime, **kwargs: Any) -> None:
            self.looped += 1

    strategy = made(machine, Loops)
    strategy.bot_loop_start(current_time=NOW + timedelta(seconds=1))
    assert strategy.looped == 1


def test_only_the_way_of_moving_an_order_that_is_in_use_is_wrapped() -> None:
    assert not hasattr(Before.adjust_entry_price, "guard_hook")
    assert hasattr(Overrides.adjust_entry_price, "guard_hook")


@pytest.mark.parametrize(
    ("exchange", "mode", "names", "found"),
    [
        ("binance", "spot", ["binance"], "binance"),
        ("binance", "spot", ["binanceus"], None),
        ("binanceus", "spot", ["binance", "binanceus"], "binanceus"),
        ("binance", "futures", ["binance", "binanceusdm"], "binanceusdm"),
        ("binance", "futures", ["binance"], "binance"),
        ("kucoin", "futures", ["kucoin", "kucoinfutures"], "kucoinfutures"),
        ("gate", "spot", ["gateio"], "gateio"),
        ("Gateio", "spot", ["gate"], "gate"),
        ("okx", "spot", [], None),
    ],
)
def test_the_bots_exchange_is_found_among_guards(exchange: str, mode: str, names: list[str], found: str | None) -> None:
    assert exchange_name({"exchange": {"name": exchange}, "trading_mode": mode}, names) == found
