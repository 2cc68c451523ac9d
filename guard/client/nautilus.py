"""A NautilusTrader node that asks guard before each entry: its risk engine's and its emulator's endpoints, wrapped."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.client.order_intent import Held, Purpose, Shape, purpose_of
from guard.client.refusal import words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.client.check import Guard

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
        What becomes of an entry while a market is on probation: ``pass`` or ``refuse``. An entry is not made smaller on its way; a
        strategy reads ``guard.check(...).max_fraction`` for that.
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
    changes that increase nothing pass. Of an order through zero the part that closes goes out: the order's quantity becomes what is
    held, which the strategy learns from ``on_order_updated``; what hangs on such an order is denied.
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


class _Refused(NamedTuple):
    """Why an order is refused, and the quantity of it that leaves a position and may go out nevertheless."""

    why: str
    leaves: Any = None


class NautilusDesk:
    """Stands before the risk engine of one node.

    Attributes
    ----------
    counts
        Orders by what became of them: ``seen`` (entries), ``exits``, ``blocked``, ``cut``, ``bypassed``, ``would_block``.
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
        self.counts = dict.fromkeys(("seen", "exits", "blocked", "cut", "bypassed", "would_block"), 0)
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
                refused = self._refusal(command.order, command.order.quantity)
                if refused is None or self._reduced(command.order, refused):
                    forward(command)
                else:
                    self._deny(command.order, refused.why, command)
            elif kind == "SubmitOrderList":
                self._judge_list(command, forward)
            elif kind == "ModifyOrder":
                self._judge_change(command, forward)
            else:
                forward(command)

        return execute

    def _judge_list(self, command: Any, forward: Callable[[Any], None]) -> None:
        orders = command.order_list.orders
        refused = {order.client_order_id: found for order in orders if (found := self._refusal(order, order.quantity))}
        if not refused:
            forward(command)
            return
        for order in orders:
            # What hangs on a refused entry has nothing to protect.
            own, of_parent = refused.get(order.client_order_id), refused.get(order.parent_order_id)
            found = own or of_parent
            if found is None or (of_parent is None and self._reduced(order, found)):
                forward(self._single(command, order))
            else:
                self._deny(order, found.why, command)

    def _judge_change(self, command: Any, forward: Callable[[Any], None]) -> None:
        order = self._cache.order(command.client_order_id)
        is_more = order is not None and command.quantity is not None and command.quantity > order.quantity
        refused = self._refusal(order, command.quantity) if is_more else None
        if refused is None:
            forward(command)
            return
        from nautilus_trader.core.uuid import UUID4  # noqa: PLC0415 - the bot's own library
        from nautilus_trader.model.events import OrderModifyRejected  # noqa: PLC0415 - likewise

        now_ns = self._kernel.clock.timestamp_ns()
        event = OrderModifyRejected(
            trader_id=command.trader_id, strategy_id=command.strategy_id, instrument_id=command.instrument_id,
            client_order_id=command.client_order_id, venue_order_id=order.venue_order_id, account_id=order.account_id,
            reason=refused.why, event_id=UUID4(), ts_event=now_ns, ts_init=now_ns,
        )  # fmt: skip
        self._bus.send(endpoint="ExecEngine.process", msg=event)

    def _refusal(self, order: Any, quantity: Any) -> _Refused | None:
        """Return why an order is refused, None where it may go out."""
        try:
            return self._judge(order, quantity)
        except Exception as error:  # noqa: BLE001 - nothing may reach a node's message bus; an order nobody understands enters
            self.problem = f"{order.instrument_id}: {type(error).__name__}: {error}"
            return None if order.is_reduce_only else _Refused(f"guard could not judge the order: {self.problem}")

    def _judge(self, order: Any, quantity: Any) -> _Refused | None:
        instrument = self._cache.instrument(order.instrument_id)
        if instrument is None:
            # The risk engine denies what it has no instrument for, in its own words.
            return None
        exchange, symbol = self._market(instrument)
        price = self._price(order)
        purpose = self._purpose(order, float(quantity) / price)
        if purpose.intent in _EXITS and purpose.leaves is None:
            self._count(exchange, symbol, "exits")
            return None
        clearance = self._guard.check(exchange, symbol, "buy" if order.is_buy else "sell", "open")
        self._count(exchange, symbol, "seen")
        if clearance.would_block and clearance.permitted:
            self._count(exchange, symbol, "bypassed" if clearance.bypassed else "would_block")
        if clearance.permitted and (clearance.max_fraction >= 1 or self._on_shrink == "pass"):
            return None
        leaves = purpose.leaves
        self._count(exchange, symbol, "blocked" if leaves is None else "cut")
        why = words_of(f"{exchange}:{symbol}", clearance)
        return _Refused(why) if leaves is None else _Refused(why, instrument.make_qty(leaves * price))

    def _price(self, order: Any) -> float:
        """Return what one of the instrument is in the units of the order's quantity: 1, or a price where that is in money."""
        if not order.is_quote_quantity:
            return 1.0
        quote, trade = self._cache.quote_tick(order.instrument_id), self._cache.trade_tick(order.instrument_id)
        if quote is not None:
            return float(quote.ask_price if order.is_buy else quote.bid_price)
        if trade is None:
            raise ValueError("no price of a quantity in money")
        return float(trade.price)

    def _purpose(self, order: Any, amount: float) -> Purpose:
        if order.is_reduce_only:
            return Purpose("reduce")
        account = self._cache.account_for_venue(order.instrument_id.venue)
        is_cash = account is not None and account.is_cash_account
        side = "buy" if order.is_buy else "sell"
        return purpose_of(Shape(side, None, amount, {}, has_positions=not is_cash), self._held(order.instrument_id))

    def _held(self, instrument_id: Any) -> Held:
        sizes = [float(position.signed_qty) for position in self._cache.positions_open(instrument_id=instrument_id)]
        return Held(sum(size for size in sizes if size > 0), -sum(size for size in sizes if size < 0))

    def _reduced(self, order: Any, refused: _Refused) -> bool:
        """Make an order through zero one that closes; False where nothing of it does."""
        if refused.leaves is None:
            return False
        from nautilus_trader.core.uuid import UUID4  # noqa: PLC0415 - the bot's own library
        from nautilus_trader.model.events import OrderUpdated  # noqa: PLC0415 - likewise

        now_ns = self._kernel.clock.timestamp_ns()
        # So does the node's own emulator change an order that no exchange has seen.
        event = OrderUpdated(
            trader_id=order.trader_id, strategy_id=order.strategy_id, instrument_id=order.instrument_id,
            client_order_id=order.client_order_id, venue_order_id=None, account_id=None, quantity=refused.leaves, price=None,
            trigger_price=None, event_id=UUID4(), ts_event=now_ns, ts_init=now_ns,
        )  # fmt: skip
        self._bus.send(endpoint="ExecEngine.process", msg=event)
        return bool(order.quantity == refused.leaves)

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
