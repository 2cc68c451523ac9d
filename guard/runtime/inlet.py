"""Where connectors put their rows: flushed once per turn of the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.model import Batch

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Inlet"]


class Inlet:
    """Collects rows and hands all that arrived in one turn of the loop to `take`.

    Parameters
    ----------
    take
        Processes a batch, which is cleared afterwards.
    call_soon
        Runs a function in the next turn of the loop.
    capacity
        Rows held at most, > 0; a full batch is handed over at once.
    """

    def __init__(self, take: Callable[[Batch], None], *, call_soon: Callable[[Callable[[], None]], object], capacity: int) -> None:
        self.received = 0
        self._take = take
        self._call_soon = call_soon
        self._batch = Batch(capacity)
        self._is_scheduled = False

    def append(
        self,
        kind: int,
        market: int,
        *,
        at_us: int,
        received_us: int,
        price: float = 0.0,
        amount: float = 0.0,
        side: int = 0,
        key: int = 0,
        flags: int = 0,
    ) -> None:
        """Take one row; the columns are described at `guard.model.Kind`."""
        batch = self._batch
        if batch.is_full:
            self.flush()
        batch.append(
            kind,
            market,
            at_us=at_us,
            received_us=received_us,
            price=price,
            amount=amount,
            side=side,
            key=key,
            flags=flags,
        )
        self.received += 1
        if not self._is_scheduled:
            self._is_scheduled = True
            self._call_soon(self.flush)

    def flush(self) -> None:
        """Hand over what is here."""
        self._is_scheduled = False
        if len(self._batch):
            try:
                self._take(self._batch)
            finally:
                self._batch.clear()
