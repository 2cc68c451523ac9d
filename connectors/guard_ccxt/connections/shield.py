"""What ccxt is given so that a book that cannot be synchronised fails alone."""

from __future__ import annotations

from typing import Any

__all__ = ["Shielded", "Stuck"]


class Stuck(list[Any]):
    """The deltas of a book that could not be synchronised: ccxt asks for a snapshot whenever it has counted a few of them."""

    def __len__(self) -> int:
        return 1 << 30

    def append(self, delta: Any) -> None:
        """Forget the delta."""


class Shielded:
    """A ccxt client as ccxt's synchronisation of a book sees it: what it does on failure ends the book alone."""

    url = None

    def __init__(self, client: Any) -> None:
        self.resolve, self.reject = client.resolve, client.reject
        self.error: BaseException | None = None

    async def close(self) -> None:
        """Close nothing."""
