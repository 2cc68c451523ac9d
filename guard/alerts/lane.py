"""One channel's thread: a send that hangs holds up nobody else, and its late success still counts."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from guard.model.ports import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.model import Delivery

__all__ = ["Lane"]

_LATE_MAX = 100


class Lane:
    """Runs one blocking `attempt` at a time in a daemon thread of its own, and waits for it at most `deadline_s` seconds.

    Notes
    -----
    A thread cannot be stopped. While one hangs, other deliveries are refused at once, and the same delivery waits for the same
    attempt; when a send succeeds after its deadline, the next try of that delivery is answered without sending again.
    """

    def __init__(self, name: str, attempt: Callable[[Delivery], Outcome], *, deadline_s: float) -> None:
        self._name = name
        self._attempt = attempt
        self._deadline_s = deadline_s
        self._running: tuple[str, asyncio.Event] | None = None
        self._finished: dict[str, Outcome] = {}

    async def send(self, delivery: Delivery) -> Outcome:
        """Try once; a passed deadline is an outcome, not an error."""
        if self._running is None and delivery.id not in self._finished:
            self._start(delivery)
        if self._running is not None and self._running[0] == delivery.id:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._deadline_s):
                    await self._running[1].wait()
        elif delivery.id not in self._finished:
            return Outcome(is_delivered=False, error="an earlier message still hangs in this channel")
        late = Outcome(is_delivered=False, error=f"no answer within {self._deadline_s:g} s")
        return self._finished.pop(delivery.id, late)

    def _start(self, delivery: Delivery) -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        self._running = (delivery.id, done)

        def finish(outcome: Outcome) -> None:
            self._running = None
            self._finished[delivery.id] = outcome
            if len(self._finished) > _LATE_MAX:
                del self._finished[next(iter(self._finished))]
            done.set()

        def work() -> None:
            outcome = self._attempt(delivery)
            # A loop that has closed meanwhile waits for nothing.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(finish, outcome)

        threading.Thread(target=work, name=f"guard-alert-{self._name}", daemon=True).start()
