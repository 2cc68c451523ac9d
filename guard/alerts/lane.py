"""One channel's threads: a send that hangs holds up nobody else, and its late success still counts."""

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
    """Runs a blocking `attempt` in a daemon thread of its own, and waits for it at most `deadline_s` seconds.

    Notes
    -----
    A thread cannot be stopped. While `hanging_max` of them hang, other deliveries are refused at once, and the same delivery waits
    for the same attempt; when a send succeeds after its deadline, the next try of that delivery is answered without sending again.
    """

    def __init__(self, name: str, attempt: Callable[[Delivery], Outcome], *, deadline_s: float, hanging_max: int = 1) -> None:
        self._name = name
        self._attempt = attempt
        self._deadline_s = deadline_s
        self._hanging_max = hanging_max
        self._running: dict[str, asyncio.Event] = {}
        self._finished: dict[str, Outcome] = {}

    @property
    def running(self) -> int:
        """How many threads run now; all of them hang where no `send` waits."""
        return len(self._running)

    def knows(self, delivery: Delivery) -> bool:
        """Whether an attempt of this delivery runs, or has ended too late."""
        return delivery.id in self._running or delivery.id in self._finished

    async def send(self, delivery: Delivery, *, deadline_s: float | None = None) -> Outcome:
        """Try once, within a deadline of its own where one is given; a passed deadline is an outcome, not an error."""
        deadline_s = self._deadline_s if deadline_s is None else deadline_s
        if not self.knows(delivery):
            if len(self._running) >= self._hanging_max:
                few = "an earlier message still hangs" if self._hanging_max == 1 else f"{len(self._running)} attempts still hang"
                return Outcome(is_delivered=False, error=f"{few} in this channel")
            self._start(delivery)
        if delivery.id in self._running:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(deadline_s):
                    await self._running[delivery.id].wait()
        late = Outcome(is_delivered=False, error=f"no answer within {deadline_s:g} s")
        return self._finished.pop(delivery.id, late)

    def _start(self, delivery: Delivery) -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        self._running[delivery.id] = done

        def finish(outcome: Outcome) -> None:
            self._running.pop(delivery.id, None)
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
