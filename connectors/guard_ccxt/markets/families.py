"""Exchanges of ccxt that are one exchange under several ids: same frames, same REST, same habits."""

from __future__ import annotations

from typing import Final

__all__ = ["FAMILIES", "family_of"]

FAMILIES: Final = {
    "binance": ("binance", "binancecoinm", "binanceus", "binanceusdm"),
    "bybit": ("bybit", "bybiteu", "bybitid"),
    "gate": ("gate", "gateeu"),
    "kucoin": ("kucoin", "kucoinfutures"),
    "okx": ("okx", "myokx", "okxus"),
}
_FAMILY: Final = {member: name for name, members in FAMILIES.items() for member in members}


def family_of(exchange_id: str) -> str:
    """Return the first id of an exchange's family; its own where it has none.

    Examples
    --------
    >>> family_of("okxus"), family_of("kraken")
    ('okx', 'kraken')
    """
    return _FAMILY.get(exchange_id, exchange_id)
