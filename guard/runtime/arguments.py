"""Arguments of the operator's requests, taken apart or refused with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

from guard.errors import OperationRefused
from guard.model import Market, Target, TargetKind

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["is_whole", "market_of", "target_of", "text_of"]


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value of JSON is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


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
        return Target(TargetKind(kind), name)
    try:
        return Target(TargetKind.MARKET, str(Market.parse(text)))
    except ValueError as error:
        raise OperationRefused(f"{error}; or symbol:PEPE/USDT, base:PEPE, exchange:binance") from error
