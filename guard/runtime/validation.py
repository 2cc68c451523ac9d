"""Read each publication back as a bot would: from the file, through the client's own code, in another thread."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.client.clock import MACHINE
from guard.client.snapshot import Mapping, SnapshotUnusable
from guard.model import IsolationState
from guard.model.validation import Failed, IsolationStep, Validated

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.client.payload import Snapshot
    from guard.model import Image
    from guard.model.ports import Clock
    from guard.runtime.publish import SnapshotPublisher

__all__ = ["Validation", "ValidationHealth"]

_READ_S = 5.0
_PAUSE_FIRST_S, _PAUSE_MAX_S = 0.05, 5.0
_DOUBLINGS_MAX = 7
_NAMED_MAX = 3
# What a reader of the file must find of one block.
_Block = tuple[str, str, str, str, int]


class ValidationHealth(NamedTuple):
    """How reading back fared: `done` publications, the last and the longest time from publication to proof, failures by step."""

    seq: int
    done: int
    last_us: int
    max_us: int
    failed: dict[str, int]


class _Expected(NamedTuple):
    epoch: int
    seq: int
    durable: bool
    generation: int
    blocks: frozenset[_Block]
    at_us: int


class Validation:
    """Prove that readers find every block that was published.

    Parameters
    ----------
    publisher
        Whose file is read.
    clock
        The machine's clock.
    tell
        Given each `Validated` and each `Failed`; the latter repeats, with a pause of 50 ms to 5 s, until a reading is right.

    Notes
    -----
    A publication that adds, changes or takes away blocks is read back with `guard.client.snapshot`, through a descriptor of its
    own, in a thread of its own: a disk that hangs delays the proof, not the loop. Several publications before a reading are proved
    together, for the newest holds them all. `published` costs one comparison where nothing changed.
    """

    def __init__(self, publisher: SnapshotPublisher, clock: Clock, tell: Callable[[Validated | Failed], object]) -> None:
        self._publisher = publisher
        self._clock = clock
        self._tell = tell
        self._expected: _Expected | None = None
        self._proved: _Expected | None = None
        self._asked = asyncio.Event()
        self._reader: ThreadPoolExecutor | None = None
        self._reading: asyncio.Future[tuple[int, Snapshot | None]] | None = None
        self._done = self._last_us = self._max_us = 0
        self._failures: dict[str, int] = {}

    @property
    def health(self) -> ValidationHealth:
        """The counters as they stand."""
        seq = -1 if self._proved is None else self._proved.seq
        return ValidationHealth(seq, self._done, self._last_us, self._max_us, dict(self._failures))

    def published(self, image: Image, *, epoch: int, seq: int, durable: bool) -> None:
        """Take what was just published; it is read back where its blocks are others than those that were proved last."""
        blocks = frozenset(
            (each.id, str(each.target), str(each.state), str(each.block), each.until_us)
            for each in image.blocks
            if each.state is not IsolationState.NORMAL
        )
        is_news = self._expected is None or (self._expected.blocks, self._expected.durable) != (blocks, durable)
        at_us = self._clock.monotonic_us() if is_news or self._expected is None else self._expected.at_us
        self._expected = _Expected(epoch, seq, durable, self._publisher.generation, blocks, at_us)
        if is_news:
            self._asked.set()

    def ask(self) -> None:
        """Read back what was published last, though nothing changed."""
        self._asked.set()

    def count(self, step: IsolationStep) -> None:
        """Count a step that failed elsewhere."""
        self._failures[step] = self._failures.get(step, 0) + 1

    async def run(self) -> None:
        """Read back until cancelled."""
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="read back")
        try:
            while True:
                await self._asked.wait()
                self._asked.clear()
                await self._prove()
        finally:
            self._reader.shutdown(wait=False, cancel_futures=True)

    async def _prove(self) -> None:
        attempts = 0
        while (failed := await self._failure()) is not None:
            attempts += 1
            self.count(failed.step)
            self._tell(failed._replace(attempts=attempts))
            await self._clock.sleep(min(_PAUSE_MAX_S, _PAUSE_FIRST_S * 2 ** min(attempts, _DOUBLINGS_MAX)))

    async def _failure(self) -> Failed | None:
        """Read once, tell of a proof, and return what was wrong."""
        asked = self._expected
        try:
            generation, snapshot = await self._read()
        except (SnapshotUnusable, OSError, TimeoutError) as error:
            return Failed(IsolationStep.READ_BACK, str(error) or f"no answer within {_READ_S:g} s")
        newest = self._expected
        if asked is None or newest is None:
            return None
        if generation < asked.generation:
            return Failed(IsolationStep.MISMATCH, f"the file holds state {generation}, published was state {asked.generation}")
        expected = {asked.generation: asked, newest.generation: newest}.get(generation)
        if expected is None:
            # Published twice while it was read: the next reading decides.
            self._asked.set()
            return None
        wrong = _difference(expected, generation, snapshot)
        if wrong is not None:
            return Failed(IsolationStep.MISMATCH, wrong)
        self._proved = expected
        self._done += 1
        self._last_us = self._clock.monotonic_us() - expected.at_us
        self._max_us = max(self._max_us, self._last_us)
        self._tell(Validated(expected.seq, self._last_us))
        return None

    async def _read(self) -> tuple[int, Snapshot | None]:
        # One that still hangs is waited for, not joined by more.
        if self._reading is None or self._reading.done():
            assert self._reader is not None
            loop = asyncio.get_running_loop()
            self._reading = loop.run_in_executor(self._reader, _load, str(self._publisher.path))
        reading = self._reading
        alarm = asyncio.ensure_future(self._clock.sleep(_READ_S))
        both: set[asyncio.Future[Any]] = {reading, alarm}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            alarm.cancel()
        if not reading.done():
            raise TimeoutError
        self._reading = None
        return reading.result()


def _load(path: str) -> tuple[int, Snapshot | None]:
    return Mapping(path).load()


def _difference(expected: _Expected, generation: int, snapshot: Snapshot | None) -> str | None:
    if snapshot is None:
        return "the file says that nothing was published"
    told = (snapshot.epoch, snapshot.seq, snapshot.durable)
    if told != (expected.epoch, expected.seq, expected.durable) or generation != expected.generation:
        return (
            f"the file holds state {generation} of epoch {snapshot.epoch}, entry {snapshot.seq}, durable {snapshot.durable}; "
            f"published was state {expected.generation} of epoch {expected.epoch}, entry {expected.seq}, durable {expected.durable}"
        )
    if MACHINE.boot_id and snapshot.boot_id and snapshot.boot_id != MACHINE.boot_id:
        return "the file carries the clock of another run of the machine"
    found = frozenset((each.id, str(each.target), str(each.state), str(each.block), each.until_us) for each in snapshot.blocks)
    if found == expected.blocks:
        return None
    missing = sorted(target for _, target, *_ in expected.blocks - found)
    more = sorted(target for _, target, *_ in found - expected.blocks)
    named = ", ".join((missing or more)[:_NAMED_MAX])
    return f"{len(missing)} published blocks are not in the file as they were published, {len(more)} others are: {named}"
