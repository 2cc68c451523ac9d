"""One stream of the blocklist to many readers: what changes, when it changes, and a beat while guard lives."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from guard.api.blocklist import change
from guard.client.layout import VERSION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from guard.api.blocklist import Blocklist, Listed
    from guard.model.ports import Clock

__all__ = ["BEAT_S", "RESYNC", "Reader", "Stream"]

BEAT_S: Final = 1.0
# How often the list is compared at most: commits come in bursts.
_SPACING_S: Final = 0.02
_WAITING_MAX: Final = 32
_KEPT_MAX: Final = 256
_KEPT_BYTES_MAX: Final = 4 * 1024 * 1024
RESYNC: Final = b"event: resync\ndata: {}\n\n"


class Reader:
    """One reader: what waits for it, at most 32 pieces; one more and it is cut with a resync marker."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self.is_cut = False

    def put(self, piece: bytes) -> None:
        """Let `piece` wait; never blocks."""
        if self.is_cut:
            return
        if len(self._waiting) >= _WAITING_MAX:
            self.cut()
            return
        self._waiting.append(piece)
        self._arrived.set()

    def cut(self) -> None:
        """End the stream: what waits is dropped, the reader is told to begin anew."""
        self._waiting.clear()
        self._waiting.append(RESYNC)
        self.is_cut = True
        self._arrived.set()

    async def take(self) -> bytes:
        """Return all that waits as one piece, as soon as there is any."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        pieces = b"".join(self._waiting)
        self._waiting.clear()
        return pieces


class Stream:
    """Follows the blocklist for its readers.

    Parameters
    ----------
    blocklist
        What is followed.
    clock
        Paces the beat; its times go with it.
    readers_max
        How many may read, > 0.

    Notes
    -----
    An event's id is ``epoch.seq.step``: the ledger's entry, and the number of the event in this run of guard. A reader that comes
    back with an id whose successors are still known (the last 256) is sent those, any other the whole state. Beats are sent while
    guard proves to live: whoever hears none for the lease must take the state for unknown.
    """

    def __init__(self, blocklist: Blocklist, clock: Clock, *, readers_max: int) -> None:
        self._blocklist = blocklist
        self._clock = clock
        self._readers_max = readers_max
        self._readers: set[Reader] = set()
        self._kept: deque[tuple[int, bytes]] = deque()
        self._kept_bytes = 0
        self._last: Listed | None = None
        self._step = 0
        self._published = asyncio.Event()
        self.cut = 0

    @property
    def readers(self) -> int:
        """How many read now."""
        return len(self._readers)

    @property
    def is_full(self) -> bool:
        """Whether one more would be too many."""
        return len(self._readers) >= self._readers_max

    def published(self) -> None:
        """Note that a state was published; cheap, and nothing is done where nobody reads."""
        if self._readers:
            self._published.set()

    async def run(self) -> None:
        """Send what changes, and the beat, until cancelled."""
        beat = asyncio.create_task(self._beat(), name="http beat")
        try:
            while True:
                await self._published.wait()
                self._published.clear()
                self._tell()
                await self._clock.sleep(_SPACING_S)
        finally:
            beat.cancel()
            with suppress(asyncio.CancelledError):
                await beat

    async def serve(self, last_id: str | None, write: Callable[[bytes], Awaitable[None]], is_permitted: Callable[[], bool]) -> None:
        """Write the stream to one reader until it goes away, falls behind, or is no longer permitted."""
        reader = Reader()
        self._tell()
        for piece in self._beginning(last_id):
            reader.put(piece)
        reader.put(self._beat_line())
        self._readers.add(reader)
        try:
            while not reader.is_cut:
                await write(await reader.take())
                if not is_permitted():
                    await write(RESYNC)
                    return
            self.cut += 1
            with suppress(IndexError):
                await write(await reader.take())
        finally:
            self._readers.discard(reader)

    def close(self) -> None:
        """Send every reader away."""
        for reader in self._readers:
            reader.cut()

    def _beginning(self, last_id: str | None) -> list[bytes]:
        assert self._last is not None
        step = _step_of(last_id, self._last.epoch)
        first = self._kept[0][0] if self._kept else self._step + 1
        if step is not None and first - 1 <= step <= self._step and step > 0:
            return [event for number, event in self._kept if number > step] or [b": nothing new\n\n"]
        return [self._event("state", {"layout": VERSION, "digest": self._last.digest, "content": self._last.content}, self._last)]

    def _tell(self) -> None:
        """Send what changed since the last time."""
        listed = self._blocklist.current()
        old = self._last
        if listed is None or (old is not None and old.digest == listed.digest):
            return
        self._last = listed
        self._step += 1
        if old is None:
            return
        event = self._event("change", {"digest": listed.digest, **change(old.content, listed.content)}, listed)
        self._keep(event)
        for reader in self._readers:
            reader.put(event)

    def _keep(self, event: bytes) -> None:
        self._kept.append((self._step, event))
        self._kept_bytes += len(event)
        while self._kept and (len(self._kept) > _KEPT_MAX or self._kept_bytes > _KEPT_BYTES_MAX):
            self._kept_bytes -= len(self._kept.popleft()[1])

    def _event(self, kind: str, data: dict[str, Any], listed: Listed) -> bytes:
        document = json.dumps({"epoch": listed.epoch, "seq": listed.seq, **data}, separators=(",", ":"), allow_nan=False)
        return f"event: {kind}\nid: {listed.epoch}.{listed.seq}.{self._step}\ndata: {document}\n\n".encode()

    async def _beat(self) -> None:
        while True:
            await self._clock.sleep(BEAT_S)
            if self._readers and self._blocklist.is_fresh:
                # What was published is told before the beat that vouches for it.
                self._tell()
                line = self._beat_line()
                for reader in tuple(self._readers):
                    reader.put(line)

    def _beat_line(self) -> bytes:
        assert self._last is not None
        moment = f"{self._clock.monotonic_us()} {self._clock.now_us()}"
        return f": beat {moment} {self._step} {self._last.digest[:32]} {self._blocklist.silent_us}\n\n".encode()


def _step_of(last_id: str | None, epoch: int) -> int | None:
    parts = (last_id or "").split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts):  # noqa: PLR2004 - epoch, seq, step
        return None
    return int(parts[2]) if int(parts[0]) == epoch else None
