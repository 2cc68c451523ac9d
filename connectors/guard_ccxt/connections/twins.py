"""Markets that an exchange streams under another name: Coinbase answers a subscription of BTC/USDC with BTC/USD."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.model import Channel
    from guard_ccxt.stream.subscription import Subscription

__all__ = ["Twins", "twins_of", "whole"]


def twins_of(exchange: Any, subscriptions: Mapping[tuple[Channel, str], Subscription]) -> Twins | None:
    """Return what finds twins on an exchange; None where ccxt knows of none: its class has no ``try_resolve_usdc``."""
    return Twins(subscriptions) if hasattr(exchange, "try_resolve_usdc") else None


class Twins:
    """Finds who else wants what came for a symbol.

    Parameters
    ----------
    subscriptions
        Those of the tap, which come and go.

    Notes
    -----
    ccxt says that the two are aliases, and wakes who waits for the one whenever the other comes, "sometimes". So a market that ever
    came under its own name has no twin.
    """

    def __init__(self, subscriptions: Mapping[tuple[Channel, str], Subscription]) -> None:
        self._subscriptions = subscriptions
        self._named: set[tuple[Channel, str]] = set()

    def of(self, channel: Channel, symbol: str) -> Subscription | None:
        """Return the subscription of the twin of `symbol`, which just came; None where it has none or nobody watches it."""
        if symbol.endswith("/USDC"):
            if (channel, symbol) in self._subscriptions:
                self._named.add((channel, symbol))
            return None
        twin = channel, f"{symbol}C"
        return self._subscriptions.get(twin) if symbol.endswith("/USD") and twin not in self._named else None


def whole(_: Any) -> None:
    """Say that what changed in a side is not known: whoever came before has taken note of it."""
