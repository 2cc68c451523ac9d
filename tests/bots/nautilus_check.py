"""The real NautilusTrader: entries on a blocked market are denied with guard's reason, everything that leaves goes through.

It runs in an environment of its own (``make test-bots-nautilus``) and prints one line a case.
"""

from __future__ import annotations

import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import nautilus_trader
from client.images import Machine, image, quarantine, view
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, RiskEngineConfig
from nautilus_trader.model.currencies import BTC, ETH, USDT
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide, OrderStatus, TriggerType
from nautilus_trader.model.identifiers import Venue
from nautilus_trader.model.objects import Money
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

from guard.client.nautilus import guarded, market_of
from guard.model import Block, IsolationState, Mode

BINANCE = Venue("BINANCE")
SPOT = TestInstrumentProvider.ethusdt_binance()
PERP = TestInstrumentProvider.ethusdt_perp_binance()
FREE = TestInstrumentProvider.btcusdt_binance()
X, XP, Y = "binance:ETH/USDT", "binance:ETH/USDT:USDT", "binance:BTC/USDT"


class Story(Strategy):
    """Plays one step a quote."""

    def __init__(self, steps: list[Any]) -> None:
        super().__init__()
        self.steps, self.denied, self.modify_rejected, self.updated = steps, [], [], []
        self.at = 0

    def on_start(self) -> None:
        for instrument in (SPOT, PERP, FREE):
            if self.cache.instrument(instrument.id) is not None:
                self.subscribe_quote_ticks(instrument.id)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        if tick.instrument_id in {SPOT.id, PERP.id} and self.at < len(self.steps):
            self.at += 1
            self.steps[self.at - 1](self)

    def on_order_denied(self, event: Any) -> None:
        self.denied.append(event)

    def on_order_updated(self, event: Any) -> None:
        self.updated.append(event)

    def on_order_modify_rejected(self, event: Any) -> None:
        self.modify_rejected.append(event)

    def market(self, instrument: Any, side: OrderSide, size: float, **words: Any) -> Any:
        order = self.order_factory.market(instrument.id, side, instrument.make_qty(Decimal(str(size))), **words)
        self.submit_order(order)
        return order

    def limit(self, instrument: Any, side: OrderSide, size: float, price: float, **words: Any) -> Any:
        quantity, at = instrument.make_qty(Decimal(str(size))), instrument.make_price(price)
        order = self.order_factory.limit(instrument.id, side, quantity, at, **words)
        self.submit_order(order)
        return order


class Stage:
    """A backtest of one account beside a real snapshot."""

    def __init__(
        self, machine: Machine, *, account: AccountType, oms: OmsType = OmsType.NETTING, wrapped: bool = True, **how: Any
    ) -> None:
        self.machine = machine
        self.engine = BacktestEngine(
            BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), risk_engine=RiskEngineConfig())
        )
        is_cash = account is AccountType.CASH
        money = [Money(1_000_000, USDT), *([Money(100, ETH), Money(10, BTC)] if is_cash else [])]
        self.engine.add_venue(BINANCE, oms, account, money, base_currency=None)
        self.instruments = [SPOT, FREE] if is_cash else [PERP]
        for instrument in self.instruments:
            self.engine.add_instrument(instrument)
        self.desk = guarded(self.engine, machine.guard(), **how) if wrapped else None

    def play(self, *steps: Any) -> Story:
        story = Story(list(steps))
        self.engine.add_strategy(story)
        ticks = []
        for number in range(len(steps) + 3):
            for instrument in self.instruments:
                bid = 1_000.0
                ticks.append(
                    QuoteTick(
                        instrument.id, instrument.make_price(bid), instrument.make_price(bid + 1), instrument.make_qty(50),
                        instrument.make_qty(50), (number + 1) * 10**9, (number + 1) * 10**9,
                    )
                )  # fmt: skip
        self.engine.add_data(ticks, sort=True)
        self.engine.run()
        assert story.at == len(steps), f"only {story.at} of {len(steps)} steps were played"
        return story


def blocked(machine: Machine, *, mode: Mode = Mode.ENFORCE, **how: Any) -> None:
    held = [quarantine(name, identity=f"{number:012x}", **how) for number, name in enumerate((X, XP))]
    machine.publish(image(*held, mode=mode, markets={X: view(), XP: view(), Y: view()}))
    machine.pass_time(1)


def free(machine: Machine) -> None:
    machine.publish(image(markets={X: view(), XP: view(), Y: view()}))
    machine.pass_time(1)


def is_denied(order: Any) -> bool:
    return bool(order.status == OrderStatus.DENIED)


def check_names(_machine: Machine) -> None:
    assert market_of(SPOT) == ("binance", "ETH/USDT")
    assert market_of(PERP, {"BINANCE": "binance_perp"}) == ("binance_perp", "ETH/USDT:USDT")


def check_control_without_guard_fills(machine: Machine) -> None:
    blocked(machine)
    orders: list[Any] = []
    story = Stage(machine, account=AccountType.CASH, wrapped=False).play(lambda s: orders.append(s.market(SPOT, OrderSide.BUY, 1)))
    assert orders[0].status == OrderStatus.FILLED, orders[0].status
    assert not story.denied


def check_spot_entry_is_denied_and_the_rest_trades(machine: Machine) -> None:
    blocked(machine)
    orders: dict[str, Any] = {}
    stage = Stage(machine, account=AccountType.CASH)
    story = stage.play(
        lambda s: orders.update(buy=s.market(SPOT, OrderSide.BUY, 1)),
        lambda s: orders.update(limit=s.limit(SPOT, OrderSide.BUY, 1, 990)),
        lambda s: orders.update(sell=s.market(SPOT, OrderSide.SELL, 1)),
        lambda s: orders.update(other=s.market(FREE, OrderSide.BUY, 0.1)),
        lambda s: orders.update(emulated=s.limit(SPOT, OrderSide.BUY, 1, 1_100, emulation_trigger=TriggerType.BID_ASK)),
    )
    assert [is_denied(orders[name]) for name in ("buy", "limit", "sell", "other", "emulated")] == [True, True, False, False, True]
    assert orders["sell"].status == orders["other"].status == OrderStatus.FILLED
    assert "guard refused an entry on binance:ETH/USDT: up 9 % (pump_dump)" in story.denied[0].reason, story.denied[0].reason
    assert stage.desk is not None
    assert stage.desk.counts == {"seen": 4, "exits": 1, "blocked": 3, "cut": 0, "bypassed": 0, "would_block": 0}, stage.desk.counts


def check_perpetual_exits_pass_by_position(machine: Machine) -> None:
    free(machine)
    orders: dict[str, Any] = {}
    story = Stage(machine, account=AccountType.MARGIN).play(
        lambda s: orders.update(open=s.market(PERP, OrderSide.BUY, 5)),
        lambda s: (blocked(machine), orders.update(more=s.market(PERP, OrderSide.BUY, 1))),
        lambda s: orders.update(part=s.market(PERP, OrderSide.SELL, 1)),
        lambda s: orders.update(reduce=s.market(PERP, OrderSide.SELL, 1, reduce_only=True)),
        lambda s: orders.update(flip=s.market(PERP, OrderSide.SELL, 9)),
        lambda s: s.close_all_positions(PERP.id),
        lambda s: orders.update(short=s.market(PERP, OrderSide.SELL, 1)),
    )
    assert [is_denied(orders[name]) for name in ("open", "more", "part", "reduce", "flip", "short")] == [
        False, True, False, False, False, True,
    ]  # fmt: skip
    assert (orders["flip"].status, float(orders["flip"].quantity)) == (OrderStatus.FILLED, 3.0)
    assert story.portfolio.is_flat(PERP.id)


def check_order_through_zero_closes_and_opens_nothing(machine: Machine) -> None:
    free(machine)
    orders: dict[str, Any] = {}
    stage = Stage(machine, account=AccountType.MARGIN)
    story = stage.play(
        lambda s: s.market(PERP, OrderSide.SELL, 4),
        lambda s: (blocked(machine), orders.update(limit=s.limit(PERP, OrderSide.BUY, 10, 1_100))),
        lambda s: orders.update(again=s.limit(PERP, OrderSide.BUY, 10, 1_100)),
        lambda s: (free(machine), s.market(PERP, OrderSide.BUY, 5)),
        lambda s: (blocked(machine), orders.update(money=s.market(PERP, OrderSide.SELL, 9_000, quote_quantity=True))),
        lambda s: (free(machine), s.market(PERP, OrderSide.BUY, 2)),
        lambda s: (blocked(machine), orders.update(part=s.market(PERP, OrderSide.SELL, 1_000, quote_quantity=True))),
        lambda s: orders.update(emulated=s.limit(PERP, OrderSide.SELL, 7, 900, emulation_trigger=TriggerType.BID_ASK)),
    )
    last = [story.cache.order(order.client_order_id) for order in orders.values()]
    filled, denied = OrderStatus.FILLED, OrderStatus.DENIED
    assert [order.status for order in last] == [filled, denied, filled, filled, filled], last
    assert [float(order.quantity) for order in last if order.status == filled] == [4.0, 5.0, 1.0, 1.0], last
    assert [float(event.quantity) for event in story.updated] == [4.0, 5_000.0, 1.0], story.updated
    assert story.portfolio.is_flat(PERP.id)
    assert stage.desk is not None
    assert (stage.desk.counts["cut"], stage.desk.counts["blocked"], stage.desk.problem) == (3, 1, None), stage.desk.counts


def check_bracket_through_zero_closes_without_what_hangs_on_it(machine: Machine) -> None:
    free(machine)
    kept: list[Any] = []

    def bracket(story: Story) -> None:
        blocked(machine)
        made = story.order_factory.bracket(
            instrument_id=PERP.id, order_side=OrderSide.SELL, quantity=PERP.make_qty(5),
            sl_trigger_price=PERP.make_price(1_200), tp_price=PERP.make_price(800),
        )  # fmt: skip
        kept.extend(made.orders)
        story.submit_order_list(made)

    story = Stage(machine, account=AccountType.MARGIN).play(lambda s: s.market(PERP, OrderSide.BUY, 2), bracket)
    assert [order.status for order in kept] == [OrderStatus.FILLED, OrderStatus.DENIED, OrderStatus.DENIED], kept
    assert story.portfolio.is_flat(PERP.id)
    assert not story.cache.orders_open()


def check_hedged_account_closes_both_sides(machine: Machine) -> None:
    free(machine)
    orders: dict[str, Any] = {}
    story = Stage(machine, account=AccountType.MARGIN, oms=OmsType.HEDGING).play(
        lambda s: s.market(PERP, OrderSide.BUY, 2),
        lambda s: s.market(PERP, OrderSide.SELL, 3),
        lambda s: (blocked(machine), s.close_all_positions(PERP.id)),
        lambda s: orders.update(buy=s.market(PERP, OrderSide.BUY, 1)),
    )
    assert is_denied(orders["buy"])
    assert not story.cache.positions_open()


def check_bracket_is_denied_whole_and_single_exits_of_a_list_go_out(machine: Machine) -> None:
    free(machine)
    kept: dict[str, Any] = {}

    def bracket(story: Story) -> None:
        made = story.order_factory.bracket(
            instrument_id=PERP.id, order_side=OrderSide.BUY, quantity=PERP.make_qty(1),
            sl_trigger_price=PERP.make_price(900), tp_price=PERP.make_price(1_200),
        )  # fmt: skip
        kept["bracket"] = made.orders
        story.submit_order_list(made)

    def mixed(story: Story) -> None:
        factory = story.order_factory
        made = factory.create_list([
            factory.market(PERP.id, OrderSide.BUY, PERP.make_qty(1)),
            factory.market(PERP.id, OrderSide.SELL, PERP.make_qty(1), reduce_only=True),
        ])  # fmt: skip
        kept["mixed"] = made.orders
        story.submit_order_list(made)

    Stage(machine, account=AccountType.MARGIN).play(
        lambda s: s.market(PERP, OrderSide.BUY, 2), lambda s: (blocked(machine), bracket(s)), mixed
    )
    assert [is_denied(order) for order in kept["bracket"]] == [True, True, True], kept["bracket"]
    assert [is_denied(order) for order in kept["mixed"]] == [True, False], kept["mixed"]
    assert kept["mixed"][1].status == OrderStatus.FILLED


def check_change_that_grows_is_rejected_and_one_that_does_not_is_made(machine: Machine) -> None:
    free(machine)
    orders: dict[str, Any] = {}

    def change(size: float | None, price: float | None) -> Any:
        def step(story: Story) -> None:
            quantity = None if size is None else SPOT.make_qty(size)
            story.modify_order(orders["limit"], quantity, None if price is None else SPOT.make_price(price))

        return step

    story = Stage(machine, account=AccountType.CASH).play(
        lambda s: orders.update(limit=s.limit(SPOT, OrderSide.BUY, 2, 900)),
        lambda s: (blocked(machine), change(3, None)(s)),
        change(1, 890),
        lambda s: s.cancel_order(orders["limit"]),
    )
    assert len(story.modify_rejected) == 1
    assert "guard refused" in story.modify_rejected[0].reason
    assert (float(orders["limit"].quantity), float(orders["limit"].price)) == (1.0, 890.0)
    assert orders["limit"].status == OrderStatus.CANCELED


def check_observe_mode_and_probation(machine: Machine) -> None:
    blocked(machine, mode=Mode.OBSERVE)
    orders: list[Any] = []
    stage = Stage(machine, account=AccountType.CASH)
    stage.play(lambda s: orders.append(s.market(SPOT, OrderSide.BUY, 1)))
    assert orders[0].status == OrderStatus.FILLED
    assert stage.desk is not None
    assert stage.desk.counts["would_block"] == 1
    blocked(machine, state=IsolationState.PROBATION, block=Block.SHRINK)
    for word, is_refused in (("pass", False), ("refuse", True)):
        Stage(machine, account=AccountType.CASH, on_shrink=word).play(lambda s: orders.append(s.market(SPOT, OrderSide.BUY, 1)))
        assert is_denied(orders[-1]) is is_refused


def check_guard_gone_refuses_entries_and_passes_exits(machine: Machine) -> None:
    free(machine)
    machine.pass_time(60, beats=False)
    orders: dict[str, Any] = {}
    story = Stage(machine, account=AccountType.CASH).play(
        lambda s: orders.update(buy=s.market(SPOT, OrderSide.BUY, 1)),
        lambda s: orders.update(sell=s.market(SPOT, OrderSide.SELL, 1)),
    )
    assert (is_denied(orders["buy"]), orders["sell"].status) == (True, OrderStatus.FILLED)
    assert "guard_silent" in story.denied[0].reason


def check_undo_and_the_report(machine: Machine) -> None:
    import json
    import socket

    from guard.client.reports import SOCKET_NAME

    free(machine)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.bind(str(machine.folder / "snapshot" / SOCKET_NAME))
        door.settimeout(2)
        stage = Stage(machine, account=AccountType.MARGIN, report_every_s=1.0)
        stage.play(
            lambda s: s.market(PERP, OrderSide.BUY, 2),
            lambda _: machine.pass_time(11),
            lambda _: machine.pass_time(11),
            lambda _: None,
        )
        said = [json.loads(door.recv(9_000)) for _ in range(4)]
        assert {"binance:ETH/USDT:USDT": 2.0} in [each.get("positions") for each in said], said
        assert said[-1]["kind"] == "nautilus"
    assert stage.desk is not None
    try:
        guarded(stage.engine, machine.guard())
    except (KeyError, ValueError):
        pass
    else:
        raise AssertionError("a node can be guarded twice")
    stage.desk.undo()
    stage.desk.undo()


def main() -> int:
    checks = {name: check for name, check in globals().items() if name.startswith("check_")}
    wrong = 0
    for name, check in checks.items():
        with tempfile.TemporaryDirectory() as folder:
            machine = Machine(Path(folder))
            try:
                check(machine)
                print("ok  ", name)
            except Exception as error:
                wrong += 1
                print("FAIL", name, f"{type(error).__name__}: {error}")
            finally:
                machine.publisher.stop()
    print(f"nautilus_trader {nautilus_trader.__version__}: {len(checks) - wrong} of {len(checks)} cases hold")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
