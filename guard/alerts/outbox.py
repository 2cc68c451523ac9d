"""Deliveries leave the ledger here: one worker a channel, at least once, never forgotten silently."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from guard.alerts.backoff import Breaker, backoff_us
from guard.model import DeliveryState
from guard.model.alert import CANARY
from guard.model.ports import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from guard.model import Delivery
    from guard.model.ports import Clock, Notifier, Random, Store

__all__ = ["ChannelHealth", "Outbox"]

_IDLE_US = 5_000_000
_RETRY_AFTER_MAX_US = 3_600_000_000
_ERROR_MAX = 500
_OUTPUT_MAX = 200

_log = structlog.get_logger(__name__)


class ChannelHealth(NamedTuple):
    """How a channel fares since the start. `is_failing`: three or more failures in a row; `error` is the last one."""

    is_failing: bool
    delivered: int
    failed: int
    dead: int
    error: str


class _Channel:
    """What a worker knows of its channel."""

    def __init__(self, name: str) -> None:
        self.name = name
        # The lane of an action says itself what it is: webhook:my_bot.
        self.label = name if ":" in name else f"alert channel {name}"
        self.word = "order" if ":" in name else "alert"
        self.wake = asyncio.Event()
        self.breaker = Breaker()
        self.next_us: int | None = None
        self.delivered = 0
        self.failed = 0
        self.dead = 0
        self.error = ""


class Outbox:
    """Takes due deliveries from the store, sends them, and records how it went.

    Parameters
    ----------
    store, notifier
        Where deliveries come from and what carries them.
    channels
        Names of the channels; each has a worker, so a hanging one delays no other.
    clock, random
        The machine's clock and chance for jitter.
    report
        Called with a line for a person when a channel begins to fail, is well again, or a delivery dies.

    Notes
    -----
    A delivery is settled only after its send: a crash in between sends it once more, with the same id in its title. A send that
    succeeded is never repeated because settling failed; settling is retried instead. Failures wait 2 s to 5 min with jitter, or as
    long as the channel asks; what cannot be delivered before `expires_us`, or ended for good, becomes ``dead``, stays in the ledger
    and is counted.
    """

    def __init__(  # noqa: PLR0917 - each argument is of its own type, in the order of the docstring
        self,
        store: Store,
        notifier: Notifier,
        channels: Sequence[str],
        clock: Clock,
        random: Random,
        report: Callable[[str], None],
    ) -> None:
        self._store = store
        self._notifier = notifier
        self._clock = clock
        self._random = random
        self._report = report
        self._channels = {name: _Channel(name) for name in channels}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._is_draining = False
        self._is_started = False
        self._arrived: set[str] = set()

    def start(self) -> None:
        """Start the workers; what the ledger still holds is sent first."""
        self._is_started = True
        for channel in self._channels.values():
            self._tasks[channel.name] = asyncio.create_task(self._supervise(channel), name=f"outbox {channel.name}")

    def add(self, channels: Iterable[str]) -> None:
        """Serve further channels; those that are served already go on."""
        for name in channels:
            if name not in self._channels:
                channel = self._channels[name] = _Channel(name)
                if self._is_started and not self._is_draining:
                    self._tasks[name] = asyncio.create_task(self._supervise(channel), name=f"outbox {name}")

    def wake(self) -> None:
        """Look for new deliveries at once; call it after each commit."""
        for channel in self._channels.values():
            channel.wake.set()

    def arrived(self, delivery: Delivery) -> None:
        """Note that somebody else delivered this one: its row is settled without another send."""
        self._arrived.add(delivery.id)

    async def drain(self, deadline_s: float) -> int:
        """Send what is due, stop the workers after `deadline_s` seconds at most, and return how many deliveries stay pending."""
        self._is_draining = True
        self.wake()
        if self._tasks:
            alarm = asyncio.ensure_future(self._clock.sleep(deadline_s))
            everyone = asyncio.gather(*self._tasks.values(), return_exceptions=True)
            both: set[asyncio.Future[Any]] = {alarm, everyone}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in (alarm, *self._tasks.values()):
                task.cancel()
            await asyncio.gather(alarm, everyone, return_exceptions=True)
            self._tasks.clear()
        return sum(states.get(DeliveryState.PENDING, 0) for states in (await self.counts()).values())

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Return deliveries by channel and state, as the ledger has them; a channel without any is there, empty."""
        counts = {**{name: {} for name in self._channels}, **await self._store.outbox()}
        return {name: states for name, states in counts.items() if name != CANARY}

    def health(self) -> Mapping[str, ChannelHealth]:
        """Return how each channel fares."""
        return {
            each.name: ChannelHealth(each.breaker.is_failing, each.delivered, each.failed, each.dead, each.error)
            for each in self._channels.values()
            if each.name != CANARY
        }

    async def _supervise(self, channel: _Channel) -> None:
        """Keep a worker alive: a failing store or a bug in between is logged and tried again, never the end of alerting."""
        failures = 0
        while not self._is_draining or failures == 0:
            try:
                await self._work(channel)
            except Exception as error:  # noqa: BLE001 - the supervisor of a worker
                failures += 1
                channel.error = f"{type(error).__name__}: {error}"[:_ERROR_MAX]
                _log.exception("outbox worker failed", channel=channel.name, failures=failures)
                if failures == 1:
                    self._report(f"{channel.label}: the outbox cannot work, it tries again: {channel.error}")
                await self._clock.sleep(backoff_us(failures, self._random) / 1_000_000)
            else:
                return

    async def _work(self, channel: _Channel) -> None:
        """Send while something is due; ends only when draining finds nothing more to do."""
        while True:
            channel.wake.clear()
            now_us = self._clock.now_us()
            delivery = None if now_us < channel.breaker.open_until_us else await self._store.due(channel.name, now_us=now_us)
            if delivery is not None:
                await self._deliver(channel, delivery)
            elif self._is_draining:
                return
            else:
                await self._rest(channel, now_us)

    async def _rest(self, channel: _Channel, now_us: int) -> None:
        """Wait for a commit, the end of the channel's pause, the next retry, or 5 s: others may have written to the ledger."""
        until_us = now_us + _IDLE_US
        if channel.next_us is not None and channel.next_us > now_us:
            until_us = min(until_us, channel.next_us)
        if channel.breaker.open_until_us > now_us:
            until_us = channel.breaker.open_until_us
        alarm = asyncio.ensure_future(self._clock.sleep((until_us - now_us) / 1_000_000))
        woken = asyncio.ensure_future(channel.wake.wait())
        try:
            await asyncio.wait({alarm, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            alarm.cancel()
            woken.cancel()
            await asyncio.gather(alarm, woken, return_exceptions=True)

    async def _deliver(self, channel: _Channel, delivery: Delivery) -> None:
        if delivery.id in self._arrived:
            await self._delivered(channel, delivery, "")
            self._arrived.discard(delivery.id)
            return
        if self._clock.now_us() >= delivery.expires_us:
            await self._bury(channel, delivery, delivery.error or "expired before it could be sent")
            return
        outcome = await self._send(delivery)
        if outcome.is_delivered:
            await self._delivered(channel, delivery, outcome.output)
        else:
            await self._failed(channel, delivery, outcome)

    async def _send(self, delivery: Delivery) -> Outcome:
        try:
            return await self._notifier.send(delivery)
        except Exception as error:  # noqa: BLE001 - a third party's notifier may break its contract
            _log.exception("notifier raised", channel=delivery.channel, delivery=delivery.id)
            return Outcome(is_delivered=False, error=f"{type(error).__name__}: {error}")

    async def _delivered(self, channel: _Channel, delivery: Delivery, output: str) -> None:
        if channel.breaker.is_failing:
            self._report(f"{channel.label} delivers again after {channel.breaker.failures} failures")
        channel.breaker = Breaker()
        channel.delivered += 1
        channel.error = ""
        done = delivery._replace(attempts=delivery.attempts + 1, error="", output=output[:_OUTPUT_MAX])
        await self._settle(done._replace(state=DeliveryState.DELIVERED))
        _log.debug(f"{channel.word} delivered", channel=channel.name, delivery=delivery.id, attempts=delivery.attempts + 1)

    async def _failed(self, channel: _Channel, delivery: Delivery, outcome: Outcome) -> None:
        now_us = self._clock.now_us()
        attempts = delivery.attempts + 1
        asked_us = min(int((outcome.retry_after_s or 0) * 1_000_000), _RETRY_AFTER_MAX_US)
        was_failing = channel.breaker.is_failing
        if outcome.is_final:
            # It answers, if only to refuse: what comes next need not wait.
            channel.breaker = channel.breaker._replace(failures=channel.breaker.failures + 1)
        else:
            channel.breaker = channel.breaker.failed(now_us=now_us, retry_after_us=asked_us, random=self._random)
        channel.failed += 1
        channel.error = outcome.error[:_ERROR_MAX]
        _log.warning(
            f"{channel.word} not delivered", channel=channel.name, delivery=delivery.id, attempts=attempts, error=channel.error
        )
        if channel.breaker.is_failing and not was_failing:
            self._report(f"{channel.label} does not deliver ({channel.breaker.failures} failures): {channel.error}")
        due_us = now_us + max(backoff_us(attempts, self._random), asked_us)
        failed = delivery._replace(attempts=attempts, due_us=due_us, error=channel.error)
        if outcome.is_final or due_us >= delivery.expires_us:
            await self._bury(channel, failed, channel.error)
        else:
            channel.next_us = due_us if channel.next_us is None or channel.next_us <= now_us else min(channel.next_us, due_us)
            await self._settle(failed)

    async def _bury(self, channel: _Channel, delivery: Delivery, error: str) -> None:
        channel.dead += 1
        await self._settle(delivery._replace(state=DeliveryState.DEAD, error=error[:_ERROR_MAX]))
        _log.error(f"{channel.word} dead", channel=channel.name, delivery=delivery.id, attempts=delivery.attempts, error=error)
        self._report(f"{channel.word} {delivery.id} did not get through {channel.name} in {delivery.attempts} attempts: {error}")

    async def _settle(self, delivery: Delivery) -> None:
        """Record what happened; a failing ledger is tried again, for sending twice would be worse."""
        failures = 0
        while True:
            try:
                await self._store.settle(delivery)
            except Exception as error:  # noqa: BLE001 - whatever the ledger raises, the send has happened
                failures += 1
                _log.exception("delivery not settled", delivery=delivery.id, failures=failures)
                if failures == 1:
                    self._report(f"the ledger does not record alert {delivery.id}, guard tries again: {error}")
                await self._clock.sleep(backoff_us(failures, self._random) / 1_000_000)
            else:
                return
