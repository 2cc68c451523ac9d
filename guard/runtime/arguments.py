"""Arguments of the operator's requests, taken apart or refused with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

from guard.dsl.problems import meant
from guard.errors import OperationRefused
from guard.model import Market, Target, TargetKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["duration_of", "is_whole", "market_of", "near_target", "target_of", "text_of"]

_UNITS_US = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000}


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value of JSON is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def duration_of(arguments: Mapping[str, Any], *, days_max: int) -> int:
    """Return the argument `for_us` in microseconds, more than none and at most `days_max` days. Raises OperationRefused."""
    for_us = arguments.get("for_us")
    if is_whole(for_us) and 0 < for_us <= days_max * _UNITS_US["d"]:
        return for_us
    raise OperationRefused(f"for must be longer than 0 and at most {days_max}d, found {_said(for_us)}")


def _said(for_us: object) -> str:
    if not is_whole(for_us):
        return repr(for_us)
    for unit, unit_us in _UNITS_US.items():
        if for_us % unit_us == 0:
            return f"{for_us // unit_us}{unit}"
    return f"{for_us} microseconds"


def text_of(arguments: Mapping[str, Any], name: str) -> str:
    """Return an argument's text. Raises OperationRefused where there is none."""
    text = arguments.get(name)
    if not isinstance(text, str) or not text.strip():
        raise OperationRefused(f"{name} must be given")
    # A shell hands on what is no text as lone surrogates, which neither ledger nor snapshot could write.
    return text.strip()[:500].encode(errors="replace").decode()


def market_of(arguments: Mapping[str, Any]) -> Market:
    """Return the argument `market`. Raises OperationRefused."""
    try:
        return Market.parse(text_of(arguments, "market"))
    except ValueError as error:
        raise OperationRefused(str(error)) from error


def target_of(arguments: Mapping[str, Any]) -> Target:
    """Return the argument `target`. Raises OperationRefused."""
    text = text_of(arguments, "target")
    kind, colon, name = text.partition(":")
    if colon and kind in set(TargetKind) and name:
        target = Target(TargetKind(kind), name)
        if target.misspelt:
            raise OperationRefused(target.misspelt)
        return target
    try:
        return Target(TargetKind.MARKET, str(Market.parse(text)))
    except ValueError as error:
        raise OperationRefused(f"{error}; or symbol:PEPE/USDT, base:PEPE, exchange:binance") from error


def near_target(target: Target, markets: Iterable[Market]) -> str:
    """Return what was probably meant by a target that none of `markets` is part of, empty where nothing is close."""
    kind = "" if target.kind is TargetKind.MARKET else f"{target.kind}:"
    names = {
        TargetKind.MARKET: [str(market) for market in markets],
        TargetKind.SYMBOL: [market.symbol for market in markets],
        TargetKind.BASE: [market.base for market in markets],
    }.get(target.kind, [])
    near = meant(target.name, names)
    return f"{kind}{near}" if near else ""
