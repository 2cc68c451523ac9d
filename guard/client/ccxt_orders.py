"""Judges the orders of one ccxt exchange: what each is for, what guard says of it, and what is sent then."""

from __future__ import annotations

import inspect
import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.client.order_intent import Held, Purpose, Shape, held_of, purpose_of
from guard.client.refusal import OrderRefused, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.client.check import Guard
    from guard.model.clearance import Clearance

__all__ = ["DERIVATIVES", "CcxtDesk", "Judged", "Method", "default_type", "is_order_method", "method_of"]

DERIVATIVES: Final = frozenset({"swap", "future", "futures", "delivery", "option", "margin", "linear", "inverse", "perpetual"})
"""What ccxt's option defaultType may say of markets where a position may be short."""

_SENDS: Final = re.compile(r"(create|edit|place|submit|replace|amend|modify|open)_(\w+_)?orders?(_with_\w+)?(_ws)?")
_BUILDS: Final = re.compile(r"_(request|helper|data|nonce|appendix|from_parts)(_|$)")
_ADDED: Final = ("stopLossPrice", "takeProfitPrice", "marginMode")
_NAMING: Final = frozenset({"symbol", "orders", "market"})
_COSTS: Final = ("cost", "quoteOrderQty")
_REMEMBERED_MAX: Final = 2_000
_SYMBOLS_MAX: Final = 10_000
_EXITS: Final = frozenset({"reduce", "close", "hedge"})


class Method(NamedTuple):
    """How an order method takes its words: their places by name, and what its own name says."""

    name: str
    places: Mapping[str, int]
    side: str | None
    order_type: str | None
    is_edit: bool
    is_list: bool
    adds: tuple[str, ...]
    reduces: bool


class Judged(NamedTuple):
    """A call as it may be sent, with the orders of a list that guard refused, by their place in it."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    refused: Mapping[int, tuple[Mapping[str, Any], str]]


class _Order(NamedTuple):
    symbol: str
    shape: Shape
    cost: float | None = None
    edits: str | None = None
    is_contract: bool = False


class _Cut(NamedTuple):
    """What may be sent of an order: at most so much, that fraction of it, and only if it cannot open."""

    amount: float | None = None
    fraction: float = 1.0
    must_reduce: bool = False


_WHOLE: Final = _Cut()


def is_order_method(name: str) -> bool:
    """Whether a method of that name places or changes orders.

    Examples
    --------
    >>> [name for name in ("create_order_ws", "create_order_request", "cancel_order", "edit_orders") if is_order_method(name)]
    ['create_order_ws', 'edit_orders']
    """
    return _SENDS.fullmatch(name) is not None and _BUILDS.search(name) is None


def default_type(exchange: Any) -> str:
    """Return which markets an exchange of ccxt trades by default: ``spot``, ``swap``, ..."""
    return str(exchange.options.get("defaultType") or "spot").lower()


def method_of(bound: Callable[..., Any]) -> Method:
    """Read a bound method's signature; a bot's own method that takes anything (``*args``) has that of ccxt's method below it."""
    name = bound.__name__
    places = {each: number for number, each in enumerate(inspect.signature(bound).parameters)}
    for kind in type(getattr(bound, "__self__", None)).__mro__:
        if not _NAMING.isdisjoint(places):
            break
        if callable(below := vars(kind).get(name)):
            places = {each: number - 1 for number, each in enumerate(inspect.signature(below).parameters)}
    words = name.split("_")
    return Method(
        name,
        places,
        side=next((word for word in words if word in {"buy", "sell"}), None),
        order_type=next((word for word in words if word in {"market", "limit"}), None),
        is_edit="symbol" in places and words[0] in {"edit", "amend", "modify", "replace"},
        is_list="orders" in places,
        adds=tuple(each for each in _ADDED if each in places),
        reduces="reduce_only" in name,
    )


class CcxtDesk:
    """What `guarded` leaves on an exchange as ``guard_desk``.

    Parameters
    ----------
    refused
        The class of errors that a refused order raises.

    Attributes
    ----------
    exchange
        The exchange.
    counts
        Orders by what became of them: ``seen`` (entries), ``exits``, ``blocked``, ``cut``, ``bypassed``, ``would_block``.
    problem
        What went wrong when an order was judged, last; None where nothing did. Such an order is judged by market and side alone.
    """

    def __init__(
        self,
        exchange: Any,
        guard: Guard,
        *,
        name: str | None,
        positions: Mapping[str, Any] | Callable[[str], Any] | None,
        on_shrink: str,
        refused: type[OrderRefused],
    ) -> None:
        self.replaced: dict[str, Any] = {}
        self.counts = dict.fromkeys(("seen", "exits", "blocked", "cut", "bypassed", "would_block"), 0)
        self.problem: str | None = None
        self.exchange = exchange
        self._guard = guard
        self._name = name or exchange.id
        self._positions = positions
        self._on_shrink = on_shrink
        self._refused = refused
        self._last_held: OrderedDict[str, Held] = OrderedDict()
        self._amounts: OrderedDict[str, float] = OrderedDict()
        guard.report(bot_kind="ccxt")

    def judge(self, method: Method, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Judged:
        """Return the call as it may be sent. Raises `OrderRefused` where nothing of it may."""
        if method.is_list:
            return self._judge_list(method, args, kwargs)
        get = _reader(method, args, kwargs)
        if not isinstance(get("symbol"), str):
            return Judged(args, kwargs, {})
        params = get("params")
        params = params if isinstance(params, dict) else {}
        order = self._order(method, get, params)
        cut = self._cut(order)
        changes: dict[str, Any] = {}
        if "guardIntent" in params:
            params = changes["params"] = {key: value for key, value in params.items() if key != "guardIntent"}
        if cut is not _WHOLE:
            self._count(order.symbol, "cut")
            changes.update(_cut_words(cut, {each: get(each) for each in ("amount", "cost")}, params))
        return _changed(method, args, kwargs, changes)

    def settled(self, judged: Judged, found: Any) -> Any:
        """Return what a call returned, refused orders of a list in their places, and remember the amounts of orders."""
        for each in found if isinstance(found, list) else (found,):
            if isinstance(each, dict) and isinstance(each.get("id"), str) and isinstance(each.get("amount"), (int, float)):
                self._amounts[each["id"]] = float(each["amount"])
                while len(self._amounts) > _REMEMBERED_MAX:
                    self._amounts.popitem(last=False)
        if not judged.refused or not isinstance(found, list):
            return found
        whole = list(found)
        for place, (order, why) in judged.refused.items():
            whole.insert(min(place, len(whole)), _rejected(order, why))
        return whole

    def _judge_list(self, method: Method, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Judged:
        orders = _reader(method, args, kwargs)("orders")
        if not isinstance(orders, (list, tuple)):
            return Judged(args, kwargs, {})
        sent, refused, last = [], {}, None
        for place, order in enumerate(orders):
            try:
                sent.append(self._judge_one(method, order))
            except OrderRefused as error:
                refused[place], last = (order, str(error)), error
        if last is not None and not sent:
            raise last
        return _changed(method, args, kwargs, {"orders": sent}, refused)

    def _judge_one(self, method: Method, order: Any) -> Any:
        if not isinstance(order, dict) or not isinstance(order.get("symbol"), str):
            return order
        one = method._replace(is_edit=order.get("id") is not None and not method.name.startswith("create"))
        given = order.get("params")
        params: dict[str, Any] = given if isinstance(given, dict) else {}
        cut = self._cut(self._order(one, order.get, params))
        if "guardIntent" in params:
            params = {key: value for key, value in params.items() if key != "guardIntent"}
            order = {**order, "params": params}
        if cut is _WHOLE:
            return order
        self._count(order["symbol"], "cut")
        return {**order, **_cut_words(cut, {"amount": order.get("amount"), "cost": order.get("cost")}, params)}

    def _order(self, method: Method, get: Callable[[str], Any], params: Mapping[str, Any]) -> _Order:
        market, symbol = self._market(get("symbol"))
        if method.adds or method.reduces:
            added = {name: value for name in method.adds if (value := get(name)) is not None}
            params = {**params, **added, **({"reduceOnly": True} if method.reduces else {})}
        shape = Shape(
            side=get("side") or method.side,
            order_type=get("type") or method.order_type,
            amount=_number(get("amount")),
            params=params,
            has_positions=self._has_positions(market, symbol, params),
        )
        edits = str(get("id") or get("clientOrderId") or params.get("clientOrderId") or "") if method.is_edit else None
        is_contract = ":" in symbol if market is None else not market.get("spot")
        return _Order(symbol, shape, _number(get("cost")), edits, is_contract)

    def _market(self, symbol: str) -> tuple[Any, str]:
        """Return ccxt's market and its unified symbol; bots may write the exchange's own."""
        exchange = self.exchange
        if exchange.markets:
            try:
                market = exchange.market(symbol)
                return market, str(market["symbol"])
            except Exception:  # noqa: BLE001 - ccxt will say itself what it does not know
                return None, symbol
        return None, symbol

    def _has_positions(self, market: Any, symbol: str, params: Mapping[str, Any]) -> bool:
        if not market.get("spot") if market else ":" in symbol or default_type(self.exchange) in DERIVATIVES:
            return True
        mode = params.get("marginMode") or params.get("tdMode")
        if mode is not None or params.get("margin"):
            return str(mode or "cross").lower() not in {"cash", "spot", "none"}
        return "sideEffectType" in params or default_type(self.exchange) == "margin"

    def _cut(self, order: _Order) -> _Cut:
        """Return how much of an order may be sent. Raises `OrderRefused` where nothing may."""
        try:
            purpose = purpose_of(order.shape, self._held(order.symbol) if order.shape.has_positions else None)
            grows = order.edits is None or self._grows(order)
        except Exception as error:  # noqa: BLE001 - what a bot hands over may be anything; market and side still tell
            self.problem = f"{order.symbol}: {type(error).__name__}: {error}"
            purpose, grows = Purpose("close" if order.shape.side == "sell" and not order.shape.has_positions else "open"), True
        leaves_whole = purpose.intent in _EXITS and purpose.leaves is None
        if not grows or (leaves_whole and purpose.is_bound):
            self._count(order.symbol, "exits")
            return _WHOLE
        if leaves_whole:
            return self._protection(order)
        intent = "open" if purpose.leaves is not None else purpose.intent
        clearance = self._guard.check(self._name, order.symbol, order.shape.side, intent)
        self._count(order.symbol, "seen")
        if clearance.would_block and clearance.permitted:
            self._count(order.symbol, "bypassed" if clearance.bypassed else "would_block")
        if not clearance.permitted or (clearance.max_fraction < 1 and self._on_shrink == "refuse"):
            if purpose.leaves is not None:
                # An order through zero: what closes goes out, what would open the other side does not.
                return _Cut(amount=purpose.leaves)
            raise self._refusal(order.symbol, clearance)
        if clearance.max_fraction < 1 and self._on_shrink == "cut":
            return _Cut(fraction=clearance.max_fraction)
        return _WHOLE

    def _protection(self, order: _Order) -> _Cut:
        """Return how a stop loss or take profit may be sent that comes before its position: where guard refuses, as reduce-only."""
        clearance = self._guard.check(self._name, order.symbol, order.shape.side, "open")
        if clearance.permitted:
            self._count(order.symbol, "exits")
            return _WHOLE
        if not order.is_contract:
            # Spot exchanges drop the mark in silence: there it would be an entry.
            raise self._refusal(order.symbol, clearance)
        return _Cut(must_reduce=True)

    def _refusal(self, symbol: str, clearance: Clearance) -> OrderRefused:
        self._count(symbol, "blocked")
        market = f"{self._name}:{symbol}"
        return self._refused(words_of(market, clearance)).about(market, clearance)

    def _count(self, symbol: str, what: str) -> None:
        self.counts[what] += 1
        self._guard.count(self._name, symbol, what)

    def _held(self, symbol: str) -> Held | None:
        """Return what is held; what was last known where the bot's function fails, None where that is nothing."""
        positions = self._positions
        if positions is None:
            return None
        try:
            held = held_of(positions(symbol) if callable(positions) else positions.get(symbol))
        except Exception as error:  # noqa: BLE001 - a bot's own function
            self.problem = f"positions({symbol!r}): {type(error).__name__}: {error}"
            return self._last_held.get(symbol)
        self._last_held[symbol] = held
        if len(self._last_held) > _SYMBOLS_MAX:
            self._last_held.popitem(last=False)
        return held

    def _grows(self, order: _Order) -> bool:
        """Whether an edit asks for more than the order had; one of an unknown size may."""
        wanted = order.shape.amount
        if wanted is None and order.cost is None:
            return False
        had = self._amounts.get(order.edits or "")
        if had is None:
            cached = self.exchange.orders
            known = cached.get(order.edits) if isinstance(cached, dict) else None
            had = _number(known.get("amount")) if isinstance(known, dict) else None
        return had is None or wanted is None or wanted > had * (1 + 1e-9)


def _reader(method: Method, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[[str], Any]:
    places, given = method.places, len(args)

    def word(name: str) -> Any:
        place = places.get(name)
        return args[place] if place is not None and place < given else kwargs.get(name)

    if "symbol" in places:
        return word

    # A function of its own: one that called itself would be garbage in a circle, and ten orders in a thousand would wait for its
    # collection.
    def get(name: str) -> Any:
        if name != "symbol":
            return word(name)
        market = word("market")
        return market.get("symbol") if isinstance(market, dict) else None

    return get


def _changed(
    method: Method,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    changes: Mapping[str, Any],
    refused: Mapping[int, tuple[Mapping[str, Any], str]] | None = None,
) -> Judged:
    if not changes:
        return Judged(args, kwargs, refused or {})
    by_place, by_name = list(args), dict(kwargs)
    for name, value in changes.items():
        place = method.places.get(name)
        if place is not None and place < len(by_place):
            by_place[place] = value
        elif name in by_name or name == "params":
            by_name[name] = value
    return Judged(tuple(by_place), by_name, refused or {})


def _cut_words(cut: _Cut, words: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the words of an order that a cut changes."""
    if cut.must_reduce:
        return {"params": {**params, "reduceOnly": True}}
    changed: dict[str, Any] = {}
    for name, value in words.items():
        found = _number(value)
        if found is not None:
            changed[name] = found * cut.fraction if cut.amount is None else min(found, cut.amount)
    costs = {name: found * cut.fraction for name in _COSTS if (found := _number(params.get(name))) is not None}
    if costs:
        changed["params"] = {**params, **costs}
    return changed


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


def _rejected(order: Mapping[str, Any], why: str) -> dict[str, Any]:
    """Return an order as ccxt shows one that the exchange refused."""
    given = {name: order.get(name) for name in ("symbol", "type", "side", "amount", "price")}
    nothing = {
        "id": None,
        "clientOrderId": None,
        "timestamp": None,
        "datetime": None,
        "filled": 0.0,
        "remaining": order.get("amount"),
    }
    rest: dict[str, Any] = {"cost": 0.0, "average": None, "fee": None, "fees": [], "trades": []}
    return {**nothing, **given, **rest, "status": "rejected", "info": {"guard": why}}
