"""The asset behind an exchange's own spelling: one coin is one coin, however many of it a contract counts."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NO_ALIASES", "RENAMED", "asset_in", "asset_of", "symbol_in"]

NO_ALIASES: Final[Mapping[str, str]] = {}

RENAMED: Final[Mapping[str, str]] = {
    "DODOX": "DODO",
    "KBONK": "BONK",
    "KDOGS": "DOGS",
    "KFLOKI": "FLOKI",
    "KLUNC": "LUNC",
    "KNEIRO": "NEIRO",
    "KPEPE": "PEPE",
    "KSHIB": "SHIB",
}
"""Spellings that no pattern tells: an X behind a name (Binance's contract on DODO), a K before it (Hyperliquid's thousands).

Only what is known stands here. AVA and AVAX, BEAM and BEAMX are different coins, and IMX, DYDX and FLUX end in X by themselves;
what else is one asset is said under ``aliases`` in guard.yaml.
"""

# Thousands and more, before a name of two characters at least (1000X is a coin); 1M before three (1MT is one).
_COUNTED: Final = re.compile(r"(?:10{3,7}(?=[A-Z][A-Z0-9])|1M(?=[A-Z][A-Z0-9]{2})|k(?=[A-Z][A-Z0-9]{2}))([A-Z][A-Z0-9]*)\Z")


@lru_cache(maxsize=16_384)
def asset_of(base: str) -> str:
    """Return the asset that `base` counts: ``PEPE`` for ``1000PEPE``; any other name is itself.

    Examples
    --------
    >>> [asset_of(base) for base in ("1000PEPE", "1000000MOG", "1MBABYDOGE", "kPEPE", "DODOX")]
    ['PEPE', 'MOG', 'BABYDOGE', 'PEPE', 'DODO']
    >>> [asset_of(base) for base in ("AVAX", "IMX", "1INCH", "1000X", "1MT", "KAVA", "100")]
    ['AVAX', 'IMX', '1INCH', '1000X', '1MT', 'KAVA', '100']
    """
    counted = _COUNTED.match(base)
    return RENAMED.get(base, base) if counted is None else counted[1]


def asset_in(exchange: str, base: str, aliases: Mapping[str, str] = NO_ALIASES) -> str:
    """Return the asset of `base` on an exchange; `aliases` (``binance:BEAMX`` or ``BEAMX`` -> ``BEAM``) win over what is built in.

    Examples
    --------
    >>> asset_in("binance", "BEAMX", {"binance:BEAMX": "BEAM"}), asset_in("gate", "BEAMX", {"binance:BEAMX": "BEAM"})
    ('BEAM', 'BEAMX')
    """
    if aliases:
        found = aliases.get(f"{exchange}:{base}") or aliases.get(base)
        if found is not None:
            return found
    return asset_of(base)


def symbol_in(exchange: str, symbol: str, aliases: Mapping[str, str] = NO_ALIASES) -> str:
    """Return `symbol` with its asset in place of its base: a spot market and a contract stay two symbols.

    Examples
    --------
    >>> symbol_in("binance", "1000PEPE/USDT:USDT"), symbol_in("okx", "PEPE/USDT")
    ('PEPE/USDT:USDT', 'PEPE/USDT')
    """
    base, slash, rest = symbol.partition("/")
    return f"{asset_in(exchange, base, aliases)}{slash}{rest}"
