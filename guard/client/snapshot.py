"""Follow the snapshot file: map it read-only, notice what changes, and say what is wrong in a sentence that helps."""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.client.layout import (
    HEADER_BYTES,
    HOW_TO_REWRITE,
    HOW_TO_UPDATE,
    MAGIC,
    READABLE_VERSIONS,
    SLOT_BYTES_MAX,
    VERSION,
    State,
    Word,
    boot_id_words,
    checksum,
    slot_at,
    slot_word,
    top_bytes,
)
from guard.client.packing import Overwritten, split
from guard.client.payload import Snapshot, decode, unpacked
from guard.client.places import how_to_let_in

if TYPE_CHECKING:
    from guard.client.clock import Clocks

__all__ = ["Mapping", "Sight", "SnapshotFollower", "SnapshotUnusable", "read_snapshot"]

_LOADS_MAX = 32
# The first part of most payloads fits into this; what is longer takes a second read.
_FIRST_BYTES = 32 * 1024
_REOPEN_NS = 50_000_000
_LOOK_NS = 500_000_000


class SnapshotUnusable(Exception):
    """The file cannot be used; the text says why and what to do."""


class Mapping:
    """One opened snapshot file. `words` is its live header; payloads are read with `pread`, which no truncation can kill.

    Raises SnapshotUnusable where the file is missing, unreadable, damaged or of a layout this client does not read.
    """

    __slots__ = ("_buckets", "_file", "bytes_min", "descriptor", "identity", "path", "slot_bytes", "words")

    def __init__(self, path: str) -> None:
        self._file = -1
        self.path = path
        self._buckets: dict[int, tuple[int, int, dict[str, list[Any]]]] = {}
        self._file = self.descriptor = _open(path)
        status = os.fstat(self._file)
        self.identity = (status.st_dev, status.st_ino)
        if status.st_size < HEADER_BYTES:
            raise SnapshotUnusable(_truncated(path, status.st_size, HEADER_BYTES))
        try:
            view = mmap.mmap(self._file, HEADER_BYTES, prot=mmap.PROT_READ)
        except (OSError, ValueError) as error:
            raise SnapshotUnusable(
                f"{path} cannot be mapped ({error}); put the state folder on a local disk (GUARD_STATE) and restart `guard run`"
            ) from error
        self.words = memoryview(view).cast("Q")
        self._verify(view[: len(MAGIC)], status.st_size)

    def __del__(self) -> None:
        # Another thread may still read `words`; the mapping goes when its last reader does.
        if self._file >= 0:
            os.close(self._file)

    def _verify(self, magic: bytes, size: int) -> None:
        if magic != MAGIC:
            raise SnapshotUnusable(f"{self.path} is not a snapshot of guard; move it away (`mv`) and {HOW_TO_REWRITE}")
        version = self.words[Word.VERSION]
        if version not in READABLE_VERSIONS:
            raise SnapshotUnusable(
                f"{self.path} has layout {version}, this client reads {sorted(READABLE_VERSIONS)}; "
                + (HOW_TO_UPDATE if version > VERSION else "run `pip install --upgrade trading-guard` where guard runs")
            )
        self.slot_bytes = self.words[Word.SLOT_BYTES]
        expected = HEADER_BYTES + 2 * self.slot_bytes
        if not 0 < self.slot_bytes <= SLOT_BYTES_MAX or size < expected:
            raise SnapshotUnusable(_truncated(self.path, size, expected))
        self.bytes_min = expected

    @property
    def is_whole(self) -> bool:
        """Whether the file still has its bytes. Asked before the header is touched: reading behind a file's end kills a process."""
        return os.lseek(self._file, 0, os.SEEK_END) >= self.bytes_min

    @property
    def is_in_place(self) -> bool:
        """Whether this file is still the one under its name."""
        try:
            status = os.stat(self.path)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self.identity

    def load(self, before: Snapshot | None = None) -> tuple[int, Snapshot | None]:
        """Return the newest generation and what it says; generation 0 and None where nothing was published yet.

        `before`, of the same file, spares reading again what has not changed. A writer may flip while this reads: the checksum and
        the slot's own generation tell, and it reads again. Raises SnapshotUnusable for a payload that stays damaged.
        """
        words = self.words
        problem = "its checksum does not fit"
        for _ in range(_LOADS_MAX):
            generation = words[Word.GENERATION]
            if generation == 0:
                return 0, None
            places = slot_word(generation)
            length, crc = words[places.length], words[places.crc]
            if words[places.generation] != generation or length > self.slot_bytes:
                continue
            at = slot_at(generation, self.slot_bytes)
            top = self._top(at, length)
            if top is None or checksum(top, generation) != crc:
                continue
            try:
                return generation, self._read(top, at, before)
            except ValueError as error:
                problem = str(error)
                break
        raise SnapshotUnusable(f"{self.path} is damaged: {problem}; {HOW_TO_REWRITE}")

    def whole(self) -> tuple[int, Snapshot | None]:
        """Return the same with all markets read, so that no later publication can take them away. Raises SnapshotUnusable."""
        for _ in range(_LOADS_MAX):
            generation, snapshot = self.load()
            if snapshot is None:
                return generation, None
            try:
                return generation, snapshot._replace(markets=dict(snapshot.markets))
            except Overwritten:
                # Publications overtook this read.
                continue
        raise SnapshotUnusable(f"{self.path} is damaged: the checksum of its markets does not fit; {HOW_TO_REWRITE}")

    def _top(self, at: int, length: int) -> bytes | None:
        # Layout 1 had no parts: its checksum covers all.
        wanted = min(length, _FIRST_BYTES) if self.words[Word.VERSION] > 1 else length
        content = os.pread(self._file, wanted, at)
        end = min(top_bytes(content), length)
        if wanted < end:
            content += os.pread(self._file, end - wanted, at + wanted)
        return content[:end] if len(content) >= end else None

    def _read(self, top: bytes, at: int, before: Snapshot | None) -> Snapshot:
        if self.words[Word.VERSION] == 1:
            return decode(top)
        return unpacked(
            split(top), lambda start, length: os.pread(self._file, min(length, self.slot_bytes), at + start), self._buckets, before
        )


def read_snapshot(path: str) -> Snapshot | None:
    """Return what the file at `path` says now, None where nothing was published yet. Raises SnapshotUnusable."""
    return Mapping(path).whole()[1]


class Sight(NamedTuple):
    """What one look saw, all of one moment.

    `snapshot` is the newest state that could be read, of whatever age; `mapping` and `generation` belong to it, None and 0 where
    the file cannot be used. `proof_ns` is when guard last proved to live, on this process's boot clock; None where that cannot be
    told. `is_foreign`: guard's boot clock is not this process's. `problem` is None where guard lives.
    """

    mapping: Mapping | None
    generation: int
    snapshot: Snapshot | None
    now_ns: int
    proof_ns: int | None
    lease_ns: int
    is_foreign: bool
    problem: str | None

    @property
    def is_fresh(self) -> bool:
        """Whether guard proved to live within its lease."""
        return self.problem is None

    @property
    def age_ms(self) -> float | None:
        """How long ago guard last proved to live."""
        return None if self.proof_ns is None else (self.now_ns - self.proof_ns) / 1e6


class SnapshotFollower:
    """The newest state that a guard published, and whether that guard is alive.

    Parameters
    ----------
    path
        The snapshot file.
    clocks
        The machine's clocks.

    Notes
    -----
    Threads may share it without a lock (a lock could be held at a fork, and a bot would hang): whatever belongs together is
    replaced in one store, nothing is changed in place.

    Where the boot clocks of guard and reader cannot be compared (another run of the machine, another time namespace), only the
    reader's own observation counts: a heartbeat that was still the old one at a moment t is younger than t.
    """

    __slots__ = (
        "_boot_words", "_clocks", "_contradicted", "_last", "_look_ns", "_mapping", "_path", "_problem", "_reopen_ns", "_seen",
    )  # fmt: skip

    def __init__(self, path: str, clocks: Clocks) -> None:
        self._path = path
        self._clocks = clocks
        self._boot_words = boot_id_words(clocks.boot_id)
        self._mapping: Mapping | None = None
        self._last: tuple[Mapping | None, int, Snapshot | None] = (None, 0, None)
        self._look_ns = self._reopen_ns = 0
        self._seen = _Seen(0, 0, None)
        self._contradicted: Mapping | None = None
        self._problem = f"{path} was not looked at yet"

    def look(self) -> Sight:
        """Look at the file: never raises for what may be wrong with it, and never forgets what it read."""
        now_ns = self._clocks.boot_ns()
        try:
            mapping = self._current(now_ns)
            generation, snapshot = self._reload(mapping)
        except (SnapshotUnusable, OSError) as error:
            self._mapping = None
            self._problem = str(error)
            return Sight(None, 0, self._last[2], now_ns, None, 0, is_foreign=False, problem=self._problem)
        now_ns, age_ns, is_foreign = self._age(mapping, now_ns)
        lease_ns = mapping.words[Word.LEASE]
        problem = self._silence(mapping, snapshot, generation) or _lateness(age_ns, lease_ns, is_foreign=is_foreign)
        proof_ns = None if age_ns is None else now_ns - age_ns
        return Sight(mapping, generation, snapshot, now_ns, proof_ns, lease_ns, is_foreign, problem)

    def _current(self, now_ns: int) -> Mapping:
        mapping = self._mapping
        is_due = now_ns >= self._look_ns
        if is_due:
            self._look_ns = now_ns + _LOOK_NS
        if mapping is None:
            if now_ns < self._reopen_ns:
                raise SnapshotUnusable(self._problem)
        elif not mapping.is_whole:
            self._reopen_ns = now_ns + _REOPEN_NS
            raise SnapshotUnusable(f"{self._path} was cut short; {HOW_TO_REWRITE}")
        elif mapping.words[Word.STATE] != State.RETIRED and not (is_due and not mapping.is_in_place):
            return mapping
        self._reopen_ns = now_ns + _REOPEN_NS
        mapping = Mapping(self._path)
        self._seen = _Seen(0, 0, None)
        self._mapping = mapping
        return mapping

    def _reload(self, mapping: Mapping) -> tuple[int, Snapshot | None]:
        of, generation, snapshot = self._last
        if of is mapping and generation and generation == mapping.words[Word.GENERATION]:
            return generation, snapshot
        generation, newer = mapping.load(snapshot if of is mapping else None)
        if newer is None:
            return 0, snapshot
        self._last = (mapping, generation, newer)
        return generation, newer

    def _silence(self, mapping: Mapping, snapshot: Snapshot | None, generation: int) -> str | None:
        state = mapping.words[Word.STATE]
        if snapshot is None or generation == 0 or state == State.FRESH:
            return f"the guard at {self._path} has published nothing yet; wait, or look at `guard status`"
        if state != State.RUNNING or not snapshot.is_running:
            return "guard was stopped; start it with `guard run`"
        return None

    def _age(self, mapping: Mapping, before_ns: int) -> tuple[int, int | None, bool]:
        """Return a moment, how old the heartbeat was then, and whether it carries a foreign clock."""
        beat = mapping.words[Word.HEARTBEAT]
        after_ns = self._clocks.boot_ns()
        if beat == 0:
            return after_ns, None, False
        seen = self._seen
        moved_ns = seen.at_ns if seen.beat not in {0, beat} else seen.moved_ns
        self._seen = _Seen(beat, before_ns, moved_ns)
        observed_ns = None if moved_ns is None else after_ns - moved_ns
        is_foreign = self._is_foreign(mapping, after_ns - beat, observed_ns)
        return after_ns, observed_ns if is_foreign else after_ns - beat, is_foreign

    def _is_foreign(self, mapping: Mapping, direct_ns: int, observed_ns: int | None) -> bool:
        words = mapping.words
        named = (words[Word.BOOT_ID], words[Word.BOOT_ID + 1])
        if any(named) and any(self._boot_words) and named != self._boot_words:
            return True
        # Once a contradiction was seen it stands: a dead guard's heartbeat "from the future" must not come of age later.
        lease_ns = words[Word.LEASE]
        if direct_ns < 0 or (direct_ns > lease_ns and observed_ns is not None and observed_ns <= lease_ns):
            self._contradicted = mapping
        return self._contradicted is mapping


class _Seen(NamedTuple):
    # The last heartbeat, when it was looked at, and the last moment at which the one before it was still there.
    beat: int
    at_ns: int
    moved_ns: int | None


def _lateness(age_ns: int | None, lease_ns: int, *, is_foreign: bool) -> str | None:
    if age_ns is not None and age_ns <= lease_ns:
        return None
    if is_foreign:
        return (
            "the heartbeat of guard carries another clock than this process (another start of the machine, or a time namespace) "
            "and was not seen to move lately; start guard if it is down, and check at least once a second"
        )
    if age_ns is None:
        return "guard has not begun to answer yet; wait, or look at `guard status`"
    return (
        f"no heartbeat of guard for {age_ns / 1e9:.1f} s (allowed {lease_ns / 1e9:g} s): it hangs or was killed; "
        "look at `guard status`, then restart `guard run`"
    )


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise SnapshotUnusable(
            f"no guard has published at {path}; start `guard run` there, or set GUARD_STATE to the state folder of the guard"
        ) from error
    except PermissionError as error:
        raise SnapshotUnusable(
            f"{path} cannot be read by user {os.geteuid()} ({error.strerror}); let it, as its owner or root: `{_mending(path)}`"
        ) from error
    except OSError as error:
        raise SnapshotUnusable(f"{path} cannot be read ({error.strerror}); look at `guard status`") from error


def _mending(path: str) -> str:
    try:
        return how_to_let_in(path)
    except OSError:
        # It changes at this very moment.
        return "guard status"


def _truncated(path: str, size: int, expected: int) -> str:
    return f"{path} has {size} bytes, at least {expected} are expected; {HOW_TO_REWRITE}"
