"""What ccxt does in the background: whatever goes wrong there is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard_ccxt.connections.faults import is_expected

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["watch_spawned"]


def watch_spawned(exchange: Any, note: Callable[[str], None]) -> None:
    """Let `exchange` tell how its background work failed, which nobody awaits.

    ccxt fetches the snapshot of a book there, and gives up a stream that was given up already: what it raises then would be an
    error that nobody observes. The stream it was for has a deadline of its own.
    """
    stock = getattr(exchange, "spawn", None)
    if stock is None:
        return

    def spawn(method: Any, *arguments: Any) -> Any:
        future = stock(method, *arguments)
        future.add_done_callback(ended)
        return future

    def ended(future: Any) -> None:
        error = None if future.cancelled() else future.exception()
        if error is not None and not is_expected(error):
            note(f"{exchange.id}: background work of ccxt failed: {type(error).__name__}: {str(error)[:200]}")

    exchange.spawn = spawn
