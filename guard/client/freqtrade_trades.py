"""What a Freqtrade strategy's trades and stakes tell: the side, and how much of a stake may be spent."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final, TypeAlias

__all__ = ["grows", "limited", "open_sides", "side_of"]

_Value: TypeAlias = Any
_LONG: Final = ("long",)


def side_of(trade: _Value) -> str:
    """Return ``long`` or ``short``."""
    return "short" if getattr(trade, "is_short", False) else "long"


def open_sides(pair: _Value) -> tuple[str, ...]:
    """Return the sides on which `pair` is open in this bot, none where it is not. Raises whatever Freqtrade's database raises.

    A pair of the spot market has one side, and nothing is looked up.
    """
    if ":" not in str(pair):
        return _LONG
    trades = import_module("freqtrade.persistence").Trade.get_open_trades()
    return tuple(sorted({side_of(trade) for trade in trades if trade.pair == pair}))


def grows(stake: _Value) -> bool:
    """Whether an adjustment adds to a position; what cannot be compared does."""
    try:
        return not stake <= 0
    except TypeError:
        return True


def limited(stake: _Value, fraction: float, least: _Value) -> _Value:
    """Return what of a stake may be spent; 0.0 where that is less than the exchange takes, for Freqtrade would raise it."""
    if fraction >= 1.0 or not stake:
        return stake
    try:
        spent = float(stake) * fraction
        return spent if spent > 0.0 and (least is None or spent >= float(least)) else 0.0
    except (TypeError, ValueError):
        return 0.0
