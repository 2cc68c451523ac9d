"""A ccxt exchange that asks guard before each entry: `guarded(exchange, guard)`, for sync, async and pro classes."""

from __future__ import annotations

import inspect
import sys
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from guard.client.ccxt_orders import DERIVATIVES, CcxtDesk, Method, default_type, is_order_method, method_of
from guard.client.refusal import OrderRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.client.check import Guard

__all__ = ["OrderRefused", "guarded", "order_methods", "unguarded"]

_E = TypeVar("_E")
_DESK: Final = "guard_desk"
_ON_SHRINK: Final = ("cut", "pass", "refuse")


class _Inside:
    """A call of an order method that runs: what it calls itself was judged with it."""

    __slots__ = ("is_running",)

    def __init__(self) -> None:
        self.is_running = True


def guarded(
    exchange: _E,
    guard: Guard,
    *,
    name: str | None = None,
    positions: Mapping[str, Any] | Callable[[str], Any] | None = None,
    intents: str | None = None,
    on_shrink: str = "cut",
) -> _E:
    """Let a ccxt exchange ask guard before each order, and return the same exchange.

    Parameters
    ----------
    exchange
        An exchange of ``ccxt``, ``ccxt.async_support`` or ``ccxt.pro``. It stays the object it is: class, options and everything
        that sends no order are untouched.
    guard
        The bot's `Guard`.
    name
        The exchange's name in guard.yaml. None takes ccxt's id.
    positions
        What is held, for margin and derivatives: a mapping by unified symbol, or a function of it. A value is a signed amount in
        the units of an order (contracts on derivatives), ``{"long": a, "short": b}``, or what ``fetch_positions`` gives. It is
        called for each such order, so it must answer from memory.
    intents
        ``explicit`` instead of positions: each order that leaves a position says so, by ``reduceOnly`` or by
        ``params={"guardIntent": "close"}``.
    on_shrink
        What becomes of an entry while a market is on probation: ``cut`` its amount to the fraction that guard allows, ``pass`` or
        ``refuse`` it.

    Raises
    ------
    ValueError
        For an exchange of derivatives with neither `positions` nor `intents`, one that is guarded already, an unknown word.
    TypeError
        For something that is no ccxt exchange.

    Notes
    -----
    A refused order raises `OrderRefused`, which is also the ``InvalidOrder`` of the exchange's own ccxt: bots give such an order up
    and go on. Nothing was sent then. Orders that leave a position, cancellations and edits that increase nothing always pass.
    ccxt's implicit methods (``exchange.private_post_order``) send what they are told: guard does not see them.
    """
    kind = type(exchange)
    _check_words(exchange, kind, positions, intents, on_shrink)
    desk = CcxtDesk(exchange, guard, name=name, positions=positions, on_shrink=on_shrink, refused=_error_of(kind))
    inside: ContextVar[_Inside | None] = ContextVar("guard_inside", default=None)
    for method in order_methods(kind):
        judged = _judged(getattr(exchange, method), method_of(getattr(exchange, method)), desk, inside)
        for alias in (method, _camel(method)):
            desk.replaced[alias] = vars(exchange).get(alias)
            setattr(exchange, alias, judged)
    setattr(exchange, _DESK, desk)
    return exchange


def unguarded(exchange: _E) -> _E:
    """Undo `guarded` and return the same exchange; one that is not guarded stays as it is."""
    desk = vars(exchange).pop(_DESK, None)
    for name, before in () if desk is None else desk.replaced.items():
        if before is None:
            delattr(exchange, name)
        else:
            setattr(exchange, name, before)
    return exchange


def order_methods(kind: type) -> list[str]:
    """Return the methods of a ccxt class that place or change orders, in ccxt's underscore names."""
    return [name for name in dir(kind) if is_order_method(name) and callable(getattr(kind, name))]


class _Call(NamedTuple):
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def _judged(send: Callable[..., Any], method: Method, desk: CcxtDesk, inside: ContextVar[_Inside | None]) -> Callable[..., Any]:
    @wraps(send)
    def call(*args: Any, **kwargs: Any) -> Any:
        outer = inside.get()
        if outer is not None and outer.is_running:
            return send(*args, **kwargs)
        if not desk.exchange.markets:
            # ccxt would do so itself in a moment; only then is a symbol's market known.
            try:
                desk.exchange.load_markets()
            except Exception as error:  # noqa: BLE001 - sending raises it again, in ccxt's own words
                desk.problem = f"load_markets: {error!r}"
        verdict = desk.judge(method, args, kwargs)
        mine = _Inside()
        token = inside.set(mine)
        try:
            return desk.settled(verdict, send(*verdict.args, **verdict.kwargs))
        finally:
            mine.is_running = False
            inside.reset(token)

    @wraps(send)
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        outer = inside.get()
        if outer is not None and outer.is_running:
            return await send(*args, **kwargs)
        if not desk.exchange.markets:
            try:
                await desk.exchange.load_markets()
            except Exception as error:  # noqa: BLE001 - sending raises it again, in ccxt's own words
                desk.problem = f"load_markets: {error!r}"
        verdict = desk.judge(method, args, kwargs)
        mine = _Inside()
        token = inside.set(mine)
        try:
            return desk.settled(verdict, await send(*verdict.args, **verdict.kwargs))
        finally:
            mine.is_running = False
            inside.reset(token)

    return call_async if inspect.iscoroutinefunction(send) else call


def _check_words(exchange: Any, kind: type, positions: object, intents: str | None, on_shrink: str) -> None:
    """Raise for what `guarded` does not take."""
    if _errors_of(kind) is None:
        raise TypeError(f"guarded() takes a ccxt exchange, found {kind.__module__}.{kind.__qualname__}")
    if _DESK in vars(exchange):
        raise ValueError(f"{kind.__name__} is guarded already; unguarded(exchange) undoes it")
    if intents not in {None, "explicit"}:
        raise ValueError(f"intents is None or 'explicit', found {intents!r}")
    if on_shrink not in _ON_SHRINK:
        raise ValueError(f"on_shrink is one of {', '.join(_ON_SHRINK)}, found {on_shrink!r}")
    if positions is None and intents is None and (why := _why_positions(exchange)):
        raise ValueError(
            f"{kind.__name__} {why}: there, only the position tells an exit from an entry. Say what is held, "
            "guarded(exchange, guard, positions=lambda symbol: held[symbol]), or promise that each exit says so itself "
            "(reduceOnly, or params={'guardIntent': 'close'}): guarded(exchange, guard, intents='explicit')"
        )


def _errors_of(kind: type) -> Any:
    """Return the module of errors of the ccxt that a class belongs to, wherever that was installed; None where it is none."""
    for base in kind.__mro__:
        package, dot, _ = base.__module__.partition(".base.exchange")
        errors = sys.modules.get(f"{package}.base.errors")
        if dot and hasattr(errors, "InvalidOrder"):
            return errors
    return None


def _error_of(kind: type) -> type[OrderRefused]:
    return type("OrderRefused", (OrderRefused, _errors_of(kind).InvalidOrder), {"__module__": OrderRefused.__module__})


def _why_positions(exchange: Any) -> str | None:
    """Return why an exchange needs positions; None where it trades spot."""
    default = default_type(exchange)
    if default in DERIVATIVES:
        return f"trades {default} (options['defaultType'])"
    return None if exchange.has.get("spot") is not False else "has no spot markets"


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in others)
