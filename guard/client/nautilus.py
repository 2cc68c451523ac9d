"""A NautilusTrader node that asks guard before each entry: its risk engine's and its emulator's endpoints, wrapped."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from guard.client.order_intent import Held, Shape, purpose_of
from guard.client.refusal import words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.client.check import Guard
    from guard.model.clearance import Clearance

__all__ = ["NautilusDesk", "guarded", "market_of"]

_ENDPOINTS: Final = ("RiskEngine.execute", "OrderEmulator.execute")
_EXITS: Final = frozenset({"reduce", "close", "hedge"})
_TIMER: Final = "guard-report"


def guarded(
    node: Any,
    guard: Guard,
    *,
    exchanges: Mapping[str, str] | None = None,
    market: Callable[[Any], tuple[str, str]] | None = None,
    on_shrink: str = "pass",
    report_every_s: float | None = None,
) -> NautilusDesk:
    """Let a node (``TradingNode``, ``BacktestEngine``) ask guard before each order; call it once, before the node runs.

    Parameters
    ----------
    node
        Anything with a ``kernel``.
    guard
        The bot's `Guard`.
    exchanges
        Names in guard.yaml by venue, ``{"BINANCE": "binance"}``. A venue that is not named takes its own name in small letters.
    market
        Tells exchange and symbol of an instrument itself, in place of `exchanges` and `market_of`.
    on_shrink
        What becomes of an entry while a market is on probation: ``pass`` or ``refuse``. An order of NautilusTrader cannot be made
        smaller on its way; a strategy reads ``guard.check(...).max_fraction`` for that.
    report_every_s
        How often the node tells guard what it holds. None: every 30 seconds, never in a backtest.

    Returns
    -------
    NautilusDesk
        Counts what became of orders; ``desk.undo()`` takes guard out again.

    Notes
    -----
    A refused order is denied, as the risk engine itself denies orders: the strategy's ``on_order_denied`` is called with guard's
    reason. Reduce-only orders, orders against an open position of at most its size, sales from a cash account, cancellations and
    changes that increase nothing pass. An order through zero is denied as a whole: close first, by at most what is held.
    """
    if on_shrink not in {"pass", "refuse"}:
        raise ValueError(f"on_shrink is 'pass' or 'refuse', found {on_shrink!r}")
    desk = NautilusDesk(node.kernel, guard, exchanges=exchanges, market=market, on_shrink=on_shrink)
    desk.attach(report_every_s)
    return desk


def market_of(instrument: Any, exchanges: Mapping[str, str] | None = None) -> tuple[str, str]:
    """Return exchange and ccxt symbol of an instrument: ``ETH/USDT`` of a pair, ``ETH/USDT:USDT`` of a perpetual.

    A dated contract gets ccxt's date, ``BTC/USDT:USDT-261225``. Raises AttributeError for an instrument without currencies.
    """
    venue = instrument.id.venue.value
    exchange = (exchanges or {}).get(venue) or venue.lower()
    base = getattr(instrument, "base_currency", None) or instrument.underlying
    symbol = f"{getattr(base, 'code', base)}/{instrument.quote_currency.code}"
    if type(instrument).__name__ == "CurrencyPair":
        return exchange, symbol
    symbol += f":{getattr(instrument, 'settlement_currency', instrument.quote_currency).code}"
    expires = getattr(instrument, "expiration_utc", None)
    return exchange, symbol if expires is None else f"{symbol}-{expires:%y%m%d}"


class NautilusDesk:
    """Stands before the risk engine of one node.

    Attributes
    ----------
    counts
        Orders by what became of them: ``seen`` (entries), ``exits``, ``blocked``, ``bypassed``, ``would_block``.
    problem
        What went wrong when an order was judged, last. Such an order passes only if it is reduce-only.
    """

    def __init__(
        self,
        kernel: Any,
        guard: Guard,
        *,
        exchanges: Mapping[str, str] | None,
        market: Callable[[Any], tuple[str, str]] | None,
        on_shrink: str,
    ) -> None:
        self.counts = dict.fromkeys(("seen", "exits", "blocked", "bypassed", "would_block"), 0)
        self.problem: str | None = None
        self._kernel = kernel
        self._bus = kernel.msgbus
        self._cache = kernel.cache
        self._guard = guard
        self._market = market or (lambda instrument: market_of(instrument, exchanges))
        self._on_shrink = on_shrink
        self._before: dict[str, tuple[Any, Any]] = {}
        guard.report(bot_kind="nautilus")

    def attach(self, report_every_s: float | None) -> None:
        """Take the place of the endpoints.

        Raises ValueError where the node has no such endpoint, ValueError or KeyError of the node's own where it is guarded already.
        """
        engines = dict(zip(_ENDPOINTS, (self._kernel.risk_engine, self._kernel.emulator), strict=True))
        known = self._bus.endpoints()
        missing = [name for name in _ENDPOINTS if name not in known]
        if missing:
            raise ValueError(f"this NautilusTrader has no endpoint {', '.join(missing)}; guard knows the 1.2xx versions, in Python")
        for name, engine in engines.items():
            handler = self._handler(engine.execute)
            self._bus.deregister(endpoint=name, handler=engine.execute)
            self._bus.register(endpoint=name, handler=handler)
            self._before[name] = (engine.execute, handler)
        is_backtest = str(getattr(self._kernel.environment, "value", "")).lower() == "backtest"
        every_s = report_every_s or (None if is_backtest else 30.0)
        if every_s is not None:
            interval = timedelta(seconds=every_s)
            self._kernel.clock.set_timer(_TIMER, interval=interval, callback=self._report)

    def undo(self) -> None:
        """Give the endpoints back. Safe to call twice."""
        for name, (before, mine) in self._before.items():
            self._bus.deregister(endpoint=name, handler=mine)
            self._bus.register(endpoint=name, handler=before)
        self._before.clear()
        if _TIMER in self._kernel.clock.timer_names:
            self._kernel.clock.cancel_timer(_TIMER)

    def _handler(self, forward: Callable[[Any], None]) -> Callable[[Any], None]:
        def execute(command: Any) -> None:
            kind = type(command).__name__
            if kind == "SubmitOrder":
                if (why := self._refusal(command.order, command.order.quantity)) is None:
                    forward(command)
                else:
                    self._deny(command.order, why, command)
            elif kind == "SubmitOrderList":
                self._judge_list(command, forward)
            elif kind == "ModifyOrder":
                self._judge_change(command, forward)
            else:
                forward(command)

        return execute

    def _judge_list(self, command: Any, forward: Callable[[Any], None]) -> None:
        orders = command.order_list.orders
        refused = {order.client_order_id: why for order in orders if (why := self._refusal(order, order.quantity))}
        if not refused:
            forward(command)
            return
        for order in orders:
            # What hangs on a refused entry has nothing to protect.
            why = refused.get(order.client_order_id) or refused.get(order.parent_order_id)
            if why is None:
                forward(self._single(command, order))
            else:
                self._deny(order, why, command)

    def _judge_change(self, command: Any, forward: Callable[[Any], None]) -> None:
        order = self._cache.order(command.client_order_id)
        is_more = order is not None and command.quantity is not None and command.quantity > order.quantity
        why = self._refusal(order, command.quantity) if is_more else None
        if why is None:
            forward(command)
            return
        from nautilus_trader.core.uuid import UUID4  # noqa: PLC0415 - the bot's own library
        from nautilus_trader.model.events import OrderModifyRejected  # noqa: PLC0415 - likewise

        now_ns = self._kernel.clock.timestamp_ns()
        event = OrderModifyRejected(
            trader_id=command.trader_id, strategy_id=command.strategy_id, instrument_id=command.instrument_id,
            client_order_id=command.client_order_id, venue_order_id=order.venue_order_id, account_id=order.account_id,
            reason=why, event_id=UUID4(), ts_event=now_ns, ts_init=now_ns,
        )  # fmt: skip
        self._bus.send(endpoint="ExecEngine.process", msg=event)

    def _refusal(self, order: Any, quantity: Any) -> str | None:
        """Return why an order is refused, None where it may go out."""
        try:
            return self._judge(order, quantity)
        except Exception as error:  # noqa: BLE001 - nothing may reach a node's message bus; an order nobody understands enters
            self.problem = f"{order.instrument_id}: {type(error).__name__}: {error}"
            return None if order.is_reduce_only else f"guard could not judge the order: {self.problem}"

    def _judge(self, order: Any, quantity: Any) -> str | None:
        instrument = self._cache.instrument(order.instrument_id)
        if instrument is None:
            # The risk engine denies what it has no instrument for, in its own words.
            return None
        exchange, symbol = self._market(instrument)
        if self._leaves(order, float(quantity)):
            self._count(exchange, symbol, "exits")
            return None
        clearance = self._guard.check(exchange, symbol, "buy" if order.is_buy else "sell", "open")
        self._count(exchange, symbol, "seen")
        if clearance.would_block and clearance.permitted:
            self._count(exchange, symbol, "bypassed" if clearance.bypassed else "would_block")
        return None if self._may_go(clearance) else self._block(exchange, symbol, clearance)

    def _may_go(self, clearance: Clearance) -> bool:
        return clearance.permitted and (clearance.max_fraction >= 1 or self._on_shrink == "pass")

    def _block(self, exchange: str, symbol: str, clearance: Clearance) -> str:
        self._count(exchange, symbol, "blocked")
        return words_of(f"{exchange}:{symbol}", clearance)

    def _leaves(self, order: Any, quantity: float) -> bool:
        if order.is_reduce_only:
            return True
        account = self._cache.account_for_venue(order.instrument_id.venue)
        is_cash = account is not None and account.is_cash_account
        side = "buy" if order.is_buy else "sell"
        held = self._held(order.instrument_id)
        purpose = purpose_of(Shape(side, None, quantity, {}, has_positions=not is_cash), held)
        return purpose.intent in _EXITS and purpose.leaves is None

    def _held(self, instrument_id: Any) -> Held:
        sizes = [float(position.signed_qty) for position in self._cache.positions_open(instrument_id=instrument_id)]
        return Held(sum(size for size in sizes if size > 0), -sum(size for size in sizes if size < 0))

    def _deny(self, order: Any, why: str, command: Any) -> None:
        from nautilus_trader.core.uuid import UUID4  # noqa: PLC0415 - the bot's own library
        from nautilus_trader.model.events import OrderDenied  # noqa: PLC0415 - likewise

        if not self._cache.order_exists(order.client_order_id):
            self._cache.add_order(order, command.position_id, command.client_id)
        event = OrderDenied(
            trader_id=order.trader_id, strategy_id=order.strategy_id, instrument_id=order.instrument_id,
            client_order_id=order.client_order_id, reason=why, event_id=UUID4(), ts_init=self._kernel.clock.timestamp_ns(),
        )  # fmt: skip
        self._bus.send(endpoint="ExecEngine.process", msg=event)

    def _single(self, command: Any, order: Any) -> Any:
        from nautilus_trader.core.uuid import UUID4  # noqa: PLC0415 - the bot's own library
        from nautilus_trader.execution.messages import SubmitOrder  # noqa: PLC0415 - likewise

        return SubmitOrder(
            trader_id=command.trader_id, strategy_id=command.strategy_id, order=order, command_id=UUID4(), ts_init=command.ts_init,
            position_id=command.position_id, client_id=command.client_id, params=command.params,
        )  # fmt: skip

    def _count(self, exchange: str, symbol: str, what: str) -> None:
        self.counts[what] += 1
        self._guard.count(exchange, symbol, what)

    def _report(self, _event: object) -> None:
        try:
            held: dict[str, float] = {}
            for position in self._cache.positions_open():
                exchange, symbol = self._market(self._cache.instrument(position.instrument_id))
                name = f"{exchange}:{symbol}"
                held[name] = held.get(name, 0.0) + float(position.signed_qty)
            self._guard.report(bot_kind="nautilus", positions=held)
        except Exception as error:  # noqa: BLE001 - a report is worth no node
            self.problem = f"report: {type(error).__name__}: {error}"
