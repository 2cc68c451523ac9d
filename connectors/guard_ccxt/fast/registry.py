"""Which exchanges have a decoder, by ccxt id; each is imported when it is wanted."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from guard_ccxt.markets.families import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard_ccxt.fast.decoder import Decoder, Desk

__all__ = ["DECODERS", "decoder_of"]

_STOCK: Final = frozenset({"binancecoinm"})  # its frames were not held against stock ccxt yet
# ccxt id -> module of this package and class in it.
DECODERS: Final = {
    member: (name, f"{name.capitalize()}Decoder")
    for name, members in FAMILIES.items()
    for member in members
    if member not in _STOCK
}


def decoder_of(exchange_id: str) -> Callable[[Desk], Decoder] | None:
    """Return what makes the decoder of one connection of an exchange; None where there is none.

    Raises ImportError where msgspec (extra ``fast``) is not installed.
    """
    found = DECODERS.get(exchange_id)
    if found is None:
        return None
    module, name = found
    maker: Callable[[Desk], Decoder] = getattr(import_module(f"guard_ccxt.fast.{module}"), name)
    return maker
