"""A canary: a made-up danger that must come through feed, rule, quarantine, ledger and outbox to a sink that nobody reads."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

import structlog

from guard.alerts.policy import AlertPolicy, ChannelPolicy
from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.errors import Unavailable
from guard.model import BUY, Channel, Decision, Kind, Level, Market, MarketFacts, ReleaseQuarantine, Status
from guard.model.alert import CANARY
from guard.model.ports import Outcome
from guard.pipeline import Pipeline, Settings
from guard.runtime.inlet import Inlet
from guard.runtime.proof import Stage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from guard.model import Batch, Delivery
    from guard.model.ports import Clock, Notifier
    from guard.runtime.proof import Proof

__all__ = ["Canary", "NullSink"]

_log = structlog.get_logger(__name__)
EVERY_S: Final = 15.0
_FEED_S = 5.0
_LEDGER_S = 10.0
_OUTBOX_S = 10.0
_TRADES = 4
_STEP_US = 15_000_000
_LOOK_US = 60_000
_TTL_US = 3_600_000_000
_SEEN_MAX = 64
_RULE = """
rules:
  canary: {mode: enforce, when: trades(1s) >= 3, level: danger, clear: {for: 1s}, actions: {danger: [alert, quarantine]}}
"""
_MARKET = Market("canary", "CANARY/CANARY")


class NullSink:
    """A `Notifier` that takes what the canary's channel is sent, and hands everything else on.

    Parameters
    ----------
    others
        Carries all other deliveries.
    """

    def __init__(self, others: Notifier) -> None:
        self._others = others
        self._seen: deque[str] = deque(maxlen=_SEEN_MAX)
        self._arrived = asyncio.Event()

    async def send(self, delivery: Delivery) -> Outcome:
        """Try once."""
        if delivery.channel != CANARY:
            return await self._others.send(delivery)
        self._seen.append(delivery.id)
        self._arrived.set()
        return Outcome(is_delivered=True)

    async def wait_for(self, identity: str) -> None:
        """Wait until the delivery with this id has come."""
        while identity not in self._seen:
            self._arrived.clear()
            await self._arrived.wait()


class Canary:
    """Prove every 15 seconds that a danger would be seen, held, written down and told.

    Parameters
    ----------
    proof
        Told of each stage that was passed, and of the one that was not.
    settled
        Puts a decision into the ledger and returns after COMMIT: the committer's own way.
    sink
        The end of the way.
    clock
        The machine's clock.

    Notes
    -----
    A pipeline of its own, of the same classes and with an inlet of its own, watches one market that exists nowhere, by one rule, in
    a time of its own: nothing of it is in what bots, people, recordings or the audit trail see, and nobody's market is disturbed.
    Of its decision only the message enters the ledger, as one row of the outbox of a channel that no guard.yaml can name; such rows
    go after an hour. What a pipeline of its own cannot show, that the engine which watches the real markets goes on, is another
    stage (`Stage.ENGINE`), noted by the heartbeat.

    At most one decision waits for the ledger: while that one is not written, the stages before it are proved all the same.
    """

    def __init__(
        self,
        proof: Proof,
        *,
        settled: Callable[[Decision], Awaitable[int]],
        sink: NullSink,
        clock: Clock,
    ) -> None:
        self._proof = proof
        self._settled = settled
        self._sink = sink
        self._clock = clock
        self._poked = asyncio.Event()
        self._taken: asyncio.Future[Decision] | None = None
        self._writing: asyncio.Future[int] | None = None
        self._number = 0
        self.pipeline = _pipeline()
        self.inlet = Inlet(
            self._take,
            call_soon=lambda function: asyncio.get_running_loop().call_soon(function),
            now_us=clock.now_us,
            monotonic_us=clock.monotonic_us,
        )
        self._at_us = clock.now_us()
        self._row = self.pipeline.open(MarketFacts(_MARKET, streams=frozenset({"trades"})))

    def poke(self) -> None:
        """Fly at once: the process stood still, and what was proved before is old."""
        self._poked.set()

    async def run(self) -> None:
        """Fly every 15 seconds until cancelled."""
        while True:
            self._poked.clear()
            await self.fly()
            await self._wait(self._poked.wait(), EVERY_S)

    async def fly(self) -> None:
        """Go the whole way once, as far as it leads."""
        delivery = await self._decide()
        if delivery is not None and await self._write(delivery):
            await self._wait_for_sink(delivery)

    async def _decide(self) -> Delivery | None:
        """Feed a danger in, note the stages up to the quarantine, and return the message of it."""
        self._taken = asyncio.get_running_loop().create_future()
        try:
            self._feed()
            if not await self._wait(self._taken, _FEED_S):
                self._proof.fail(Stage.FEED, "what was fed in did not reach the pipeline")
                return None
            decision = self._taken.result()
        except Exception as error:  # noqa: BLE001 - that it fails, in whatever way, is what the canary is there to tell
            self._proof.fail(Stage.FEED, f"{type(error).__name__}: {error}")
            return None
        self._proof.note(Stage.FEED)
        return self._judge(decision)

    def _feed(self) -> None:
        self._at_us += _STEP_US
        at_us = self._at_us
        if self._number == 0:
            for status in (Status.LIVE, Status.WARM):
                self._append(Kind.STATUS, at_us - _STEP_US, side=Channel.ALL, key=status)
        for _ in range(_TRADES):
            self._number += 1
            self._append(Kind.TRADE, at_us, price=1.0, amount=1.0, side=BUY, key=self._number)

    def _append(self, kind: Kind, at_us: int, *, price: float = 0.0, amount: float = 0.0, side: int, key: int) -> None:
        self.inlet.append(kind, self._row, at_us=at_us, received_us=at_us, price=price, amount=amount, side=side, key=key)

    def _take(self, batch: Batch) -> None:
        taken = self._taken
        if taken is None or taken.done():
            return
        try:
            # The level of the flight before ends by itself, before the first trade of this one.
            self.pipeline.advance(self._at_us - _LOOK_US)
            first = self.pipeline.process(batch)
            last = self.pipeline.advance(self._at_us + _LOOK_US)
        except Exception as error:  # noqa: BLE001 - handed to who waits
            taken.set_exception(error)
            return
        taken.set_result(
            Decision(
                last.at_us,
                first.verdicts + last.verdicts,
                first.transitions + last.transitions,
                first.deliveries + last.deliveries,
            )
        )

    def _judge(self, decision: Decision) -> Delivery | None:
        if not any(verdict.level is Level.DANGER for verdict in decision.verdicts):
            self._proof.fail(Stage.RULE, "a rule that must speak was silent")
            return None
        self._proof.note(Stage.RULE)
        told = [each for each in decision.deliveries if each.kind == "quarantine"]
        if not decision.transitions or not told:
            self._proof.fail(Stage.QUARANTINE, "a verdict that must hold a market held none, or told nobody")
            return None
        target = decision.transitions[0].quarantine.target
        try:
            self.pipeline.operate(ReleaseQuarantine(target, None, "canary", "guard", grace_us=0), self._at_us + _LOOK_US)
        except Exception as error:  # noqa: BLE001 - as above
            self._proof.fail(Stage.QUARANTINE, f"what is held cannot be released: {error}")
            return None
        self._proof.note(Stage.QUARANTINE)
        now_us = self._clock.now_us()
        return told[0]._replace(created_us=now_us, due_us=now_us, expires_us=now_us + _TTL_US)

    async def _write(self, delivery: Delivery) -> bool:
        if self._writing is not None and not self._writing.done():
            self._proof.fail(Stage.LEDGER, "the ledger has not taken what the canary gave it before")
            return False
        self._writing = asyncio.ensure_future(self._settled(Decision(delivery.created_us, deliveries=(delivery,))))
        if not await self._wait(self._writing, _LEDGER_S):
            self._writing.add_done_callback(_forget)
            self._proof.fail(Stage.LEDGER, f"no COMMIT within {_LEDGER_S:g} s")
            return False
        try:
            self._writing.result()
        except Unavailable as error:
            self._proof.fail(Stage.LEDGER, str(error))
            return False
        self._proof.note(Stage.LEDGER)
        return True

    async def _wait_for_sink(self, delivery: Delivery) -> None:
        if await self._wait(self._sink.wait_for(delivery.id), _OUTBOX_S):
            self._proof.note(Stage.OUTBOX)
        else:
            self._proof.fail(Stage.OUTBOX, f"what the ledger took was not sent within {_OUTBOX_S:g} s")

    async def _wait(self, what: Awaitable[object], seconds: float) -> bool:
        """Wait for something, at most so long, and tell whether it came; a future is left as it is, all else is given up."""
        is_future = isinstance(what, asyncio.Future)
        waited, alarm = asyncio.ensure_future(what), asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({waited, alarm}, return_when=asyncio.FIRST_COMPLETED)
            return waited.done()
        finally:
            alarm.cancel()
            if not is_future:
                waited.cancel()


def _forget(future: asyncio.Future[int]) -> None:
    # Whatever came of it was told by the stage already; asked for, so that asyncio does not call it unobserved.
    if not future.cancelled():
        future.exception()


def _pipeline() -> Pipeline:
    report = Report()
    rules = rules_from_text(_RULE, report)
    assert not report.errors
    policy = AlertPolicy((ChannelPolicy(CANARY, daily_max=10_000),))
    return Pipeline(compile_rules(rules), Settings(alerts=policy))
