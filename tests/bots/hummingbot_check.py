"""Hummingbot's published source: the names that guard wraps are there, and its real orchestrator obeys.

The package is not built (its connectors are C++, its dependencies many). The real source of the orchestrator, of its actions
and of its shared types runs here; executors, connectors and the database are empty stand-ins. So nothing here trades: it shows
that a refused action creates no executor and that everything else arrives.
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.util
import sys
import tempfile
import types
from decimal import Decimal
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from client.images import Machine, image, quarantine, view

from guard.client.hummingbot import ADDS, guarded

REAL = {
    "hummingbot.strategy_v2.executors.executor_orchestrator",
    "hummingbot.strategy_v2.executors.data_types",
    "hummingbot.strategy_v2.models.executor_actions",
    "hummingbot.strategy_v2.models.base",
    "hummingbot.core.data_type.common",
}
X, XP, Y = "kucoin:X/USDT", "kucoin:X/USDT:USDT", "kucoin:Y/USDT"


class Published(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads the modules in REAL from the source and anything else of Hummingbot as a module of empty classes."""

    def __init__(self, source: Path) -> None:
        self.source = source

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        del path, target
        if name in REAL:
            return importlib.util.spec_from_file_location(name, self.source / f"{name.replace('.', '/')}.py")
        return importlib.util.spec_from_loader(name, self, is_package=True) if name.startswith("hummingbot") else None

    def create_module(self, spec: Any) -> types.ModuleType:
        module = types.ModuleType(spec.name)
        made: dict[str, type] = {}
        module.__getattr__ = lambda name: made.setdefault(name, type(name, (Empty,), {})) if name[0] != "_" else _missing(name)  # type: ignore[method-assign]
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        module.__path__ = []


class Empty:
    """A class of Hummingbot that does nothing."""

    def __init__(self, *_: object, **words: object) -> None:
        self.__dict__.update(words)
        self.placed: list[str] = []

    @classmethod
    def get_instance(cls) -> Empty:
        return cls()

    def get_all_executors(self) -> list[object]:
        return []

    get_all_positions = get_all_executors

    def start(self) -> None:
        """Begin nothing."""

    def create_dca_order(self, level: int) -> None:
        self.placed.append(f"level {level}")

    def create_order(self, timestamp: float) -> None:
        self.placed.append(f"slice at {timestamp}")


def _missing(name: str) -> Any:
    raise AttributeError(name)


def functions(source: Path, module: str) -> dict[str, list[str]]:
    """Return the names of the arguments of each function and method of a module, by ``Class.method``."""
    found = {}
    for node in ast.parse((source / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            for each in node.body:
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
                    found[f"{node.name}.{each.name}"] = [word.arg for word in each.args.args]
    return found


def fields(source: Path, module: str) -> dict[str, set[str]]:
    """Return the annotated names of each class of a module."""
    tree = ast.parse((source / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return {node.name: {each.target.id for each in node.body if isinstance(each, ast.AnnAssign)} for node in classes}


def check_names_that_guard_wraps_are_published(source: Path) -> None:
    executors = "hummingbot.strategy_v2.executors"
    orchestrator = functions(source, f"{executors}.executor_orchestrator")
    assert orchestrator["ExecutorOrchestrator.execute_action"] == ["self", "action"]
    text = (source / "hummingbot/strategy_v2/executors/executor_orchestrator.py").read_text(encoding="utf-8")
    assert "self.execute_action(action)" in text, "execute_actions goes another way"
    strategy = functions(source, "hummingbot.strategy.strategy_v2_base")
    for side in ("buy", "sell"):
        assert strategy[f"StrategyV2Base.{side}"] == [
            "self", "connector_name", "trading_pair", "amount", "order_type", "price", "position_action",
        ]  # fmt: skip
    for kind, method in ADDS.items():
        name = "".join(word.upper() if word in {"dca", "twap"} else word.title() for word in kind.split("_"))
        assert f"{name}.{method}" in functions(source, f"{executors}.{kind}.{kind}"), (kind, method)
    for kind in ("position", "dca", "grid", "order", "twap", "lp"):
        [config] = [
            found for name, found in fields(source, f"{executors}.{kind}_executor.data_types").items() if "ExecutorConfig" in name
        ]
        assert {"connector_name", "trading_pair", "side"} <= config, kind
    for kind in ("arbitrage", "xemm"):
        [config] = [
            found for name, found in fields(source, f"{executors}.{kind}_executor.data_types").items() if "ExecutorConfig" in name
        ]
        assert {"buying_market", "selling_market"} <= config, kind
    mapped = {line.split('"')[1] for line in text.split("_executor_mapping = {")[1].split("}")[0].splitlines() if '"' in line}
    assert mapped == {"position_executor", "grid_executor", "dca_executor", "arbitrage_executor", "twap_executor", "xemm_executor",
                      "order_executor", "lp_executor"}, mapped  # fmt: skip


def check_one_way_executors_never_turn_and_position_executors_do(source: Path) -> None:
    """Why a TWAP that sells spot is an exit and a position executor that sells spot is not."""
    folder = source / "hummingbot/strategy_v2/executors"
    twap = (folder / "twap_executor/twap_executor.py").read_text(encoding="utf-8")
    assert twap.count("self.place_order(") == 1, "a TWAP executor has a second way to trade"
    assert "side=self.config.side" in twap
    position = (folder / "position_executor/position_executor.py").read_text(encoding="utf-8")
    assert "side=self.close_order_side" in position
    assert "return TradeType.BUY if self.config.side == TradeType.SELL else TradeType.SELL" in position


def check_kill_switch_is_a_field_that_may_change(source: Path) -> None:
    text = (source / "hummingbot/strategy_v2/controllers/controller_base.py").read_text(encoding="utf-8")
    [line] = [line for line in text.splitlines() if "manual_kill_switch" in line]
    assert "is_updatable" in line
    assert "True" in line
    strategy = (source / "hummingbot/strategy/strategy_v2_base.py").read_text(encoding="utf-8")
    assert "config_update_interval: int = 10" in strategy


def check_real_orchestrator_obeys(source: Path) -> None:
    del source
    from hummingbot.core.data_type.common import PositionAction, TradeType
    from hummingbot.strategy_v2.executors.data_types import ConnectorPair, ExecutorConfigBase
    from hummingbot.strategy_v2.executors.executor_orchestrator import ExecutorOrchestrator
    from hummingbot.strategy_v2.models.executor_actions import CreateExecutorAction, StopExecutorAction

    class Config(ExecutorConfigBase):
        type: str = "position_executor"
        connector_name: str = "kucoin"
        trading_pair: str = "X-USDT"
        side: TradeType = TradeType.BUY

    class OrderExecutorConfig(Config):
        type: str = "order_executor"
        position_action: PositionAction = PositionAction.OPEN

    class Pairs(ExecutorConfigBase):
        type: str = "xemm_executor"
        buying_market: ConnectorPair
        selling_market: ConnectorPair

    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder))
        held = [quarantine(name, identity=f"{number:012x}") for number, name in enumerate((X, XP))]
        watched = {X: view(), XP: view(), Y: view()}
        machine.publish(image(*held, markets=watched))
        sold: list[tuple[Any, ...]] = []
        strategy = types.SimpleNamespace(
            controllers={"main": object()}, markets={}, buy=lambda *a, **_: sold.append(a), sell=lambda *a, **_: sold.append(a)
        )
        strategy.executor_orchestrator = orchestrator = ExecutorOrchestrator(strategy)
        desk = guarded(strategy, machine.guard())

        def made(config: Any) -> bool:
            before = len(orchestrator.active_executors["main"])
            orchestrator.execute_actions([CreateExecutorAction(controller_id="main", executor_config=config)])
            return len(orchestrator.active_executors["main"]) > before

        assert not made(Config(timestamp=1))
        assert not made(Config(timestamp=1, side=TradeType.SELL)), "a position executor that sells buys back"
        assert not made(Config(timestamp=1, connector_name="kucoin_perpetual", side=TradeType.SELL))
        assert made(Config(timestamp=1, trading_pair="Y-USDT"))
        assert made(OrderExecutorConfig(timestamp=1, side=TradeType.SELL))
        assert not made(Config(timestamp=1, type="twap_executor"))
        assert not made(Config(timestamp=1, type="twap_executor", connector_name="kucoin_perpetual", side=TradeType.SELL))
        assert made(Config(timestamp=1, type="twap_executor", side=TradeType.SELL)), "it sells what is held, and ends"
        orchestrator.active_executors["main"][-1].create_order(timestamp=1)
        assert orchestrator.active_executors["main"][-1].placed == ["slice at 1"]
        assert made(OrderExecutorConfig(timestamp=1, connector_name="kucoin_perpetual", position_action=PositionAction.CLOSE))
        assert not made(OrderExecutorConfig(timestamp=1, connector_name="kucoin_perpetual", side=TradeType.SELL))
        leg, other = (ConnectorPair(connector_name="kucoin", trading_pair=pair) for pair in ("X-USDT", "Y-USDT"))
        assert not made(Pairs(timestamp=1, buying_market=other, selling_market=leg))
        assert made(Pairs(timestamp=1, buying_market=other, selling_market=other))
        orchestrator.execute_action(StopExecutorAction(controller_id="main", executor_id="none"))
        # A DCA executor that runs adds nothing while its market is blocked, and goes on after.
        machine.publish(image(markets=watched))
        machine.pass_time(1)
        assert made(Config(timestamp=1, type="dca_executor"))
        executor = orchestrator.active_executors["main"][-1]
        executor.create_dca_order(level=0)
        machine.publish(image(*held, markets=watched))
        machine.pass_time(1)
        executor.create_dca_order(level=1)
        machine.publish(image(markets=watched))
        machine.pass_time(1)
        executor.create_dca_order(level=2)
        assert executor.placed == ["level 0", "level 2"], executor.placed
        assert desk.problem is None, desk.problem
        # A script without controllers: its own orders.
        machine.publish(image(*held, markets=watched))
        machine.pass_time(1)
        script = types.SimpleNamespace(controllers={}, markets={}, buy=strategy.buy, sell=strategy.sell)
        script.executor_orchestrator = ExecutorOrchestrator(script)
        guarded(script, machine.guard())
        one = Decimal(1)
        assert script.buy("kucoin", "X-USDT", one, None) == ""
        assert script.sell("kucoin_perpetual", "X-USDT", one, None, one, PositionAction.OPEN) == ""
        script.sell("kucoin", "X-USDT", one, None)
        script.buy("kucoin_perpetual", "X-USDT", one, None, position_action=PositionAction.CLOSE)
        assert [call[:2] for call in sold] == [("kucoin", "X-USDT"), ("kucoin_perpetual", "X-USDT")]
        machine.publisher.stop()


def main() -> int:
    source = Path(sys.argv[1])
    sys.meta_path.insert(0, Published(source))
    wrong = 0
    checks = [(name, check) for name, check in globals().items() if name.startswith("check_")]
    for name, check in checks:
        try:
            check(source)
            print("ok  ", name)
        except Exception as error:
            wrong += 1
            print("FAIL", name, f"{type(error).__name__}: {error}")
    version = (source / "hummingbot" / "VERSION").read_text(encoding="utf-8").strip()
    print(
        f"hummingbot {version}: {len(checks) - wrong} of {len(checks)} cases hold; source and orchestrator only, no trading was run"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
