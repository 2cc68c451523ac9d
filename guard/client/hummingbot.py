"""A Hummingbot V2 strategy that asks guard before an executor is created and before a running one adds to its position."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from guard.client.refusal import words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.client.check import Guard

__all__ = ["ADDS", "HummingbotDesk", "guarded", "market_of"]

ADDS: Final[Mapping[str, str]] = {
    "dca_executor": "create_dca_order",
    "grid_executor": "adjust_and_place_open_order",
    "twap_executor": "create_order",
}
"""The method of a running executor that places one more entry, by the executor's type. Each returns nothing and is asked again."""

_ONE_WAY: Final = frozenset({"order_executor", "twap_executor"})
"""Executors that trade in one direction and end. Every other kind that sells spot buys it back: as a whole it opens."""

_PERPETUAL: Final = "_perpetual"
_CREATE: Final = "CreateExecutorAction"
_TOLD_MAX: Final = 1_000

_log = logging.getLogger(__name__)


def guarded(strategy: Any, guard: Guard, *, exchanges: Mapping[str, str] | None = None) -> HummingbotDesk:
    """Let a strategy (``StrategyV2Base``) ask guard; call it at the end of its ``__init__`` or once it has started.

    Parameters
    ----------
    strategy
        A strategy with an ``executor_orchestrator``. Of one without controllers, ``buy`` and ``sell`` ask as well.
    guard
        The bot's `Guard`.
    exchanges
        Names in guard.yaml by connector, ``{"gate_io": "gate", "binance_perpetual": "binance"}``. A connector that is not named
        takes its own name, without ``_perpetual``.

    Returns
    -------
    HummingbotDesk
        Counts what became of it; ``desk.report()`` from ``on_tick`` tells guard what is held.

    Notes
    -----
    A refused ``CreateExecutorAction`` is dropped and logged once a market and block; the controller asks again on its next round.
    Everything else passes: actions that stop or store, orders with ``PositionAction.CLOSE``, spot sales, and each order that
    a running executor places to leave. Spot sales are those of order and TWAP executors and of ``sell``: a position, DCA or grid
    executor that sells spot buys it back in the end, so that it counts as an entry. An executor with two legs is refused where
    either leg's market is.
    """
    return HummingbotDesk(strategy, guard, exchanges or {})


def market_of(connector: str, trading_pair: str, exchanges: Mapping[str, str]) -> tuple[str, str]:
    """Return exchange and ccxt symbol of a connector's trading pair.

    Examples
    --------
    >>> market_of("kucoin", "PEPE-USDT", {}), market_of("binance_perpetual", "BTC-USDT", {})
    (('kucoin', 'PEPE/USDT'), ('binance', 'BTC/USDT:USDT'))
    """
    is_perpetual = _PERPETUAL in connector
    exchange = exchanges.get(connector) or connector.partition(_PERPETUAL)[0]
    base, _, quote = trading_pair.rpartition("-")
    symbol = f"{base}/{quote}"
    return exchange, f"{symbol}:{quote}" if is_perpetual else symbol


class HummingbotDesk:
    """Stands before a strategy's orchestrator.

    Attributes
    ----------
    counts
        What became of executors and orders: ``seen``, ``exits``, ``blocked``, ``bypassed``, ``would_block``.
    problem
        What went wrong when an action was judged, last. Such an action is dropped.
    """

    def __init__(self, strategy: Any, guard: Guard, exchanges: Mapping[str, str]) -> None:
        self.counts = dict.fromkeys(("seen", "exits", "blocked", "bypassed", "would_block"), 0)
        self.problem: str | None = None
        self._strategy = strategy
        self._guard = guard
        self._exchanges = exchanges
        self._told: set[str] = set()
        guard.report(bot_kind="hummingbot")
        orchestrator = strategy.executor_orchestrator
        if "execute_action" in vars(orchestrator):
            raise ValueError("this strategy is guarded already")
        self._execute = orchestrator.execute_action
        self._orchestrator = orchestrator
        orchestrator.execute_action = self._action
        if not getattr(strategy, "controllers", None):
            for side in ("buy", "sell"):
                setattr(strategy, side, self._order(side, getattr(strategy, side)))

    def report(self) -> None:
        """Tell guard what the strategy's controllers hold; cheap enough for each tick, sent every ten seconds."""
        held: dict[str, float] = {}
        try:
            for positions in list(self._orchestrator.positions_held.values()):
                for position in positions:
                    name = ":".join(market_of(position.connector_name, position.trading_pair, self._exchanges))
                    held[name] = held.get(name, 0.0) + float(position.net_amount_base)
        except Exception as error:  # noqa: BLE001 - a report is worth no tick
            self.problem = f"report: {type(error).__name__}: {error}"
            return
        self._guard.report(bot_kind="hummingbot", positions=held)

    def _action(self, action: Any) -> None:
        if type(action).__name__ != _CREATE:
            self._execute(action)
            return
        try:
            config = action.executor_config
            may_go = self._may_create(config)
        except Exception as error:  # noqa: BLE001 - an action that nobody understands may enter
            self.problem = f"{type(error).__name__}: {error}"
            _log.exception("guard could not judge an executor; it is not created")
            return
        if not may_go:
            return
        self._execute(action)
        executors = self._orchestrator.active_executors.get(action.controller_id) or ()
        adds = ADDS.get(config.type)
        if adds is not None and executors and executors[-1].config is config:
            self._limit(executors[-1], adds)

    def _may_create(self, config: Any) -> bool:
        if getattr(getattr(config, "position_action", None), "name", "") == "CLOSE":
            self._count(*self._market(config), "exits")
            return True
        legs = [leg for name in ("buying_market", "selling_market") if (leg := getattr(config, name, None)) is not None]
        if legs:
            # Both legs are one trade: it opens on each, and half of it is worse than none.
            return all(self._may_enter(leg, "buy") for leg in legs)
        return self._may_enter(config, _side(config))

    def _may_enter(self, config: Any, side: str | None) -> bool:
        exchange, symbol = self._market(config)
        intent = None if getattr(config, "type", "") in _ONE_WAY else "open"
        if intent is None and side == "sell" and ":" not in symbol:
            self._count(exchange, symbol, "exits")
            return True
        clearance = self._guard.check(exchange, symbol, side, intent)
        self._count(exchange, symbol, "seen")
        if clearance.permitted:
            if clearance.would_block:
                self._count(exchange, symbol, "bypassed" if clearance.bypassed else "would_block")
            return True
        self._count(exchange, symbol, "blocked")
        key = f"{exchange}:{symbol} {clearance.quarantine_id or clearance.reason}"
        if key not in self._told and len(self._told) < _TOLD_MAX:
            self._told.add(key)
            _log.warning("%s", words_of(f"{exchange}:{symbol}", clearance))
        return False

    def _market(self, config: Any) -> tuple[str, str]:
        return market_of(config.connector_name, config.trading_pair, self._exchanges)

    def _limit(self, executor: Any, adds: str) -> None:
        place = getattr(executor, adds)

        def place_if_permitted(*args: Any, **kwargs: Any) -> Any:
            return place(*args, **kwargs) if self._may_enter(executor.config, _side(executor.config)) else None

        setattr(executor, adds, place_if_permitted)

    def _order(self, side: str, send: Callable[..., Any]) -> Callable[..., Any]:
        def order(connector_name: str, trading_pair: str, *args: Any, **kwargs: Any) -> Any:
            # amount, order_type, price, position_action
            action = kwargs.get("position_action", args[3] if len(args) > 3 else None)  # noqa: PLR2004 - the fourth of these
            exchange, symbol = market_of(connector_name, trading_pair, self._exchanges)
            closes = getattr(action, "name", "") == "CLOSE" or (side == "sell" and ":" not in symbol)
            if closes:
                self._count(exchange, symbol, "exits")
                return send(connector_name, trading_pair, *args, **kwargs)
            clearance = self._guard.check(exchange, symbol, side, "open")
            self._count(exchange, symbol, "seen" if clearance.permitted else "blocked")
            if clearance.permitted:
                return send(connector_name, trading_pair, *args, **kwargs)
            _log.warning("%s", words_of(f"{exchange}:{symbol}", clearance))
            return ""

        return order

    def _count(self, exchange: str, symbol: str, what: str) -> None:
        self.counts[what] += 1
        self._guard.count(exchange, symbol, what)


def _side(config: Any) -> str | None:
    name = getattr(getattr(config, "side", None), "name", "").lower()
    return name if name in {"buy", "sell"} else None
