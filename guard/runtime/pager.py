"""The way past the outbox: for the trouble that stops the outbox itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from guard.alerts.orders import ACTION_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from guard.model import Delivery
    from guard.model.ports import Clock, Outcome

__all__ = ["Pager"]

_log = structlog.get_logger(__name__)
_PAUSE_FIRST_S, _PAUSE_MAX_S = 1.0, 60.0
_PAGES_MAX = 100


class Pager:
    """Sends messages at once, and again until they arrive, expire, or `stop` leaves them to the outbox.

    Parameters
    ----------
    notify
        Sends one message once.
    clock
        The machine's clock.
    arrived
        Told of each message that was delivered, so that the outbox does not send it once more.

    Notes
    -----
    A failed attempt waits 1 s, then twice as long each time up to a minute. At most 100 messages are under way; one more is logged
    and left to the outbox, as is every action: it waits until the ledger has it.
    """

    def __init__(
        self, notify: Callable[[Delivery], Coroutine[None, None, Outcome]], clock: Clock, arrived: Callable[[Delivery], None]
    ) -> None:
        self._notify = notify
        self._clock = clock
        self._arrived = arrived
        self._tasks: set[asyncio.Task[None]] = set()

    def page(self, deliveries: Iterable[Delivery]) -> None:
        """Begin to send."""
        for delivery in deliveries:
            if delivery.kind in ACTION_KINDS:
                continue
            if len(self._tasks) >= _PAGES_MAX:
                _log.error("too many messages past the outbox", delivery=delivery.id)
                return
            task = asyncio.create_task(self._send(delivery), name=f"page {delivery.id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def drain(self, deadline_s: float) -> None:
        """Wait at most `deadline_s` until all is sent."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=deadline_s)

    def stop(self) -> None:
        """Give up what has not arrived."""
        for task in self._tasks:
            task.cancel()

    async def _send(self, delivery: Delivery) -> None:
        pause_s = _PAUSE_FIRST_S
        while self._clock.now_us() < delivery.expires_us:
            error = await self._try(delivery)
            if error is None:
                self._arrived(delivery)
                return
            _log.error("a message could not be sent past the outbox", delivery=delivery.id, channel=delivery.channel, error=error)
            await self._clock.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)

    async def _try(self, delivery: Delivery) -> str | None:
        """Return what went wrong, None where it was delivered."""
        try:
            outcome = await self._notify(delivery)
        except Exception as error:  # noqa: BLE001 - a third party's notifier may break its contract; it is logged and tried again
            return f"{type(error).__name__}: {error}"
        return None if outcome.is_delivered else outcome.error or "refused without a word"
