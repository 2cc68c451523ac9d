"""From decisions to the ledger: group commit, retries, and what may be shown meanwhile."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Protocol

import structlog

from guard.errors import Unavailable
from guard.quarantine import VisibleBlocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guard.model import Decision, Delivery, Quarantine
    from guard.model.ports import Clock, Random, Store

__all__ = ["CommitHealth", "Committer", "Publish"]

_log = structlog.get_logger(__name__)
_PAUSE_FIRST_S = 0.05
_PAUSE_MAX_S = 5.0
_DOUBLINGS_MAX = 10
# A decision costs some 0.1 ms of the loop's time to write out as JSON; the group stays far below a heartbeat.
_GROUP_MAX = 256


class Publish(Protocol):
    """Writes the state that bots see."""

    def __call__(self, seq: int, *, durable: bool, decisions: int) -> None:
        """Publish; `decisions` more are in the ledger since the last call. `Committer.blocks` tells what may be shown."""
        ...


class CommitHealth(NamedTuple):
    """How the ledger fares.

    `waiting` decisions are not in the ledger yet; `committed` are; `failures` counts attempts that failed, `refused` decisions
    that found no room. `outage_since_us` is when the present run of failures began (wall time), None while all is well.
    """

    seq: int
    waiting: int
    committed: int
    failures: int
    refused: int
    outage_since_us: int | None


class Committer:
    """Put decisions into the ledger in the order in which they were made, then let the world see them.

    Parameters
    ----------
    store
        The ledger, open.
    publish
        Called after each COMMIT, and (with ``durable=False``) when decisions have to be shown that could not be written.
    clock, random
        Time and chance, for the back-off.
    epoch, seq, held
        What `Store.open` returned: the epoch to write under, the sequence number and the quarantines so far.
    on_committed
        Given the deliveries of each COMMIT that has any, to wake those who send them.
    on_outage
        Told once when the ledger cannot be written, with the reason, and None once it can again.
    capacity
        Decisions that may wait, > 0.
    slow_s
        How long a COMMIT may take before what waits is shown as not durable, seconds, > 0.

    Notes
    -----
    All that waits, up to 256 decisions, goes into one transaction. After COMMIT, in this order: publish, answer operators,
    `on_committed`. A failed attempt is repeated after a pause of at most 5 seconds, for ever; blocks among what waits are shown at
    once, as not durable, while releases and operators wait. StateError means that another guard took the ledger: nothing is
    published any more, everybody who waits gets the error, and `run` raises it.

    Decisions are never merged nor dropped: each carries transitions that the trail must tell. Where even `capacity` is used up,
    `submit` raises Unavailable, which ends the process that decides: bots then see a guard that is silent, and people are paged
    by that, instead of a guard that looks alive and forgets.
    """

    def __init__(
        self,
        store: Store,
        publish: Publish,
        clock: Clock,
        random: Random,
        *,
        epoch: int,
        on_committed: Callable[[tuple[Delivery, ...]], None],
        on_outage: Callable[[str | None], None],
        seq: int = 0,
        held: Iterable[Quarantine] = (),
        capacity: int = 10_000,
        slow_s: float = 0.25,
    ) -> None:
        self._store = store
        self._epoch = epoch
        self._publish = publish
        self._clock = clock
        self._random = random
        self._on_committed = on_committed
        self._on_outage = on_outage
        self._capacity = capacity
        self._slow_s = slow_s
        self._visible = VisibleBlocks(held)
        self._waiting: deque[tuple[Decision, asyncio.Future[int] | None]] = deque()
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._ended: BaseException | None = None
        self._shown = 0
        self._seq = seq
        self._committed = 0
        self._failures = 0
        self._refused = 0
        self._outage_since_us: int | None = None

    @property
    def health(self) -> CommitHealth:
        """The counters as they stand."""
        return CommitHealth(self._seq, len(self._waiting), self._committed, self._failures, self._refused, self._outage_since_us)

    def blocks(self) -> tuple[Quarantine, ...]:
        """Return what bots may see held: all that is committed, tightened by what is shown as not durable."""
        shown = islice(self._waiting, self._shown)
        return self._visible.show([transition for decision, _ in shown for transition in decision.transitions])

    def submit(self, decision: Decision) -> None:
        """Take a decision; never blocks.

        Raises Unavailable where `capacity` decisions wait, StateError once another guard took the ledger.
        """
        self._take(decision, None)

    def make_sure_of_room(self) -> None:
        """Ask before deciding what need not be decided. Raises what `submit` would."""
        if self._ended is not None:
            raise self._ended
        if len(self._waiting) >= self._capacity:
            self._refused += 1
            raise Unavailable(
                f"{len(self._waiting)} decisions wait for the ledger, no more are allowed; see why it cannot be written"
            )

    async def settled(self, decision: Decision) -> int:
        """Take a decision and return its sequence number after COMMIT. Raises what made that impossible."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._take(decision, future)
        return await future

    async def run(self) -> None:
        """Commit until cancelled. Raises StateError where another guard took the ledger."""
        try:
            while True:
                await self._arrived.wait()
                await self._commit_all()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._ended = error
            self._refuse_waiting(error)
            raise

    async def drain(self, deadline_s: float) -> int:
        """Wait until nothing waits, at most `deadline_s`, and return how many decisions are left; `run` has to run meanwhile.

        Operators whose decision is left get Unavailable.
        """
        idle, alarm = asyncio.ensure_future(self._idle.wait()), asyncio.ensure_future(self._clock.sleep(deadline_s))
        try:
            await asyncio.wait({idle, alarm}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            idle.cancel()
            alarm.cancel()
        if self._waiting:
            _log.error("decisions are not in the ledger", left=len(self._waiting))
            self._refuse_waiting(Unavailable(f"guard stops and the ledger could not be written within {deadline_s:g} s"))
        return len(self._waiting)

    def _take(self, decision: Decision, future: asyncio.Future[int] | None) -> None:
        self.make_sure_of_room()
        self._waiting.append((decision, future))
        self._idle.clear()
        self._arrived.set()

    async def _commit_all(self) -> None:
        doublings = 0
        while self._waiting:
            count = min(len(self._waiting), _GROUP_MAX)
            try:
                seq = await self._attempt(count)
            except Unavailable as error:
                self._note_failure(error)
                pause_s = min(_PAUSE_MAX_S, _PAUSE_FIRST_S * 2**doublings) * (0.5 + 0.5 * self._random.random())
                doublings = min(doublings + 1, _DOUBLINGS_MAX)
                await self._pause(pause_s)
            else:
                doublings = 0
                self._note_success()
                self._settle(count, seq)
        self._arrived.clear()
        self._idle.set()

    async def _attempt(self, count: int) -> int:
        decisions = [decision for decision, _ in islice(self._waiting, count)]
        commit = asyncio.ensure_future(self._store.commit(decisions, epoch=self._epoch))
        alarm = asyncio.ensure_future(self._clock.sleep(self._slow_s))
        try:
            await asyncio.wait({commit, alarm}, return_when=asyncio.FIRST_COMPLETED)
            await self._show_until(commit)
        except asyncio.CancelledError:
            # COMMIT is in the database's hands; had it succeeded unnoticed, another attempt would write the decisions twice.
            alarm.cancel()
            alarm = asyncio.ensure_future(self._clock.sleep(_PAUSE_MAX_S))
            await asyncio.wait({commit, alarm}, return_when=asyncio.FIRST_COMPLETED)
            if commit.done() and commit.exception() is None:
                self._settle(count, commit.result())
            raise
        finally:
            alarm.cancel()
        return commit.result()

    async def _pause(self, seconds: float) -> None:
        alarm = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await self._show_until(alarm)
        finally:
            alarm.cancel()

    async def _show_until(self, end: asyncio.Future[None] | asyncio.Future[int]) -> None:
        """Wait for `end`; meanwhile show what waits, and what arrives, as not durable."""
        while not end.done():
            self._show()
            self._arrived.clear()
            arrival = asyncio.ensure_future(self._arrived.wait())
            try:
                await asyncio.wait({end, arrival}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                arrival.cancel()

    def _show(self) -> None:
        if self._shown < len(self._waiting):
            self._shown = len(self._waiting)
            self._publish(self._seq, durable=False, decisions=0)

    def _settle(self, count: int, seq: int) -> None:
        done = [self._waiting.popleft() for _ in range(count)]
        self._seq = seq
        self._committed += count
        self._shown = max(0, self._shown - count)
        self._visible.commit(transition for decision, _ in done for transition in decision.transitions)
        try:
            self._publish(seq, durable=True, decisions=count)
            if self._shown:
                self._publish(seq, durable=False, decisions=0)
        finally:
            for _, future in done:
                if future is not None and not future.done():
                    future.set_result(seq)
            deliveries = tuple(delivery for decision, _ in done for delivery in decision.deliveries)
            if deliveries:
                self._on_committed(deliveries)

    def _note_failure(self, error: Unavailable) -> None:
        self._failures += 1
        self._show()
        if self._outage_since_us is None:
            self._outage_since_us = self._clock.now_us()
            _log.error("the ledger cannot be written", reason=str(error))
            self._on_outage(str(error))

    def _note_success(self) -> None:
        if self._outage_since_us is not None:
            self._outage_since_us = None
            _log.warning("the ledger is written again")
            self._on_outage(None)

    def _refuse_waiting(self, error: BaseException) -> None:
        for _, future in self._waiting:
            if future is not None and not future.done():
                future.set_exception(error)
