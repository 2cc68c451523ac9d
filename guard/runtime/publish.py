"""Write the snapshot that bots read: the idle slot first, then one store that flips."""

from __future__ import annotations

import mmap
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guard.client.clock import MACHINE
from guard.client.layout import (
    FILE_NAME,
    HEADER_BYTES,
    LEASE_NS,
    MAGIC,
    SLOT_BYTES_MAX,
    VERSION,
    State,
    Word,
    boot_id_words,
    checksum,
    slot_at,
    slot_word,
)
from guard.client.packing import pack
from guard.client.payload import decode, document
from guard.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.model.decision import Image
    from guard.model.ports import Clock

__all__ = ["CannotPublish", "SnapshotPublisher"]

_SLOT_BYTES_MIN = 256 * 1024
_FILE_MODE = 0o640
_FOLDER_MODE = 0o750
_GENERATION_MAX = 1 << 62


def _nobody() -> None:
    """Hear nothing."""


class CannotPublish(StateError):
    """A state did not get into the file, or the file not to its name: bots keep the state before. Another attempt may do better."""


class SnapshotPublisher:
    """Publish states of guard to the bots of this machine.

    Parameters
    ----------
    folder
        The snapshot folder; it exists. The file in it has mode 0640.
    clock
        Its boot clock must be the one bots read (`guard.runtime.clock.SystemClock`).
    group
        Name or number of the group that may read, None keeps the folder's.
    lease_ns
        How long a heartbeat is good for, > 0.

    Notes
    -----
    One writer a folder: the state folder's lock sees to it, and `publish` refuses where another one has written meanwhile. What a
    killed guard left stays readable until the first `publish` here: bots go on seeing its blocks, and `beat` does nothing before,
    so that no old "allowed" comes to life again. A state that does not fit makes a larger file, renamed over the old one.

    The file is made by the first `publish` and takes its disk then: a full disk later disturbs neither heartbeat nor publication.
    Raises StateError where a file is there that cannot be given to `group`.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        clock: Clock,
        *,
        group: str | int | None = None,
        lease_ns: int = LEASE_NS,
        boot_id: str = MACHINE.boot_id,
    ) -> None:
        self._path = Path(folder) / FILE_NAME
        self._clock = clock
        self._group = group
        self._lease_ns = lease_ns
        self._boot_id = boot_id
        self._payload = b""
        self._said: Mapping[str, Any] = {}
        self._file = -1
        self._memory: mmap.mmap | None = None
        self._words = memoryview(bytes(HEADER_BYTES)).cast("Q")
        self._slot_bytes = 0
        self._generation = 0
        self._is_live = False
        self._is_renewed = False
        # Told after each publication; must be cheap and never raise.
        self.on_published: Callable[[], None] = _nobody
        file = self._adopt()
        if file is not None:
            self._map(file)

    @property
    def path(self) -> Path:
        """The snapshot file."""
        return self._path

    @property
    def generation(self) -> int:
        """How often was published, over all guards that wrote this file."""
        return self._generation

    @property
    def said(self) -> Mapping[str, Any]:
        """What was published last, empty where nothing was yet by this writer."""
        return self._said

    @property
    def silent_us(self) -> int | None:
        """How long ago the last heartbeat was written, None where none was."""
        try:
            beat_ns: int = self._words[Word.HEARTBEAT] if self._is_live and self._is_in_place() else 0
        except StateError:
            return None
        return self._clock.monotonic_us() - beat_ns // 1000 if beat_ns else None

    @property
    def lease_us(self) -> int:
        """How long a heartbeat is good for."""
        return self._lease_ns // 1000

    def publish(self, image: Image, *, epoch: int, seq: int, durable: bool) -> None:
        """Make `image` what the next `check` sees.

        The first call of a writer does not prove life yet: call `beat` too. Raises StateError where another guard has written
        here, where the state is larger than 64 MiB, or where a larger file finds no room; bots then keep the state before.
        """
        said = document(
            image,
            epoch=epoch,
            seq=seq,
            durable=durable,
            wall_us=self._clock.now_us(),
            boot_ns=self._clock.monotonic_us() * 1000,
            boot_id=self._boot_id,
        )
        self._put(said, pack(said))

    def _put(self, said: Mapping[str, Any], payload: bytes) -> None:
        if not self._is_in_place() or len(payload) > self._slot_bytes or self._is_renewed:
            self._replace(payload)
            self._is_renewed = False
        elif self._words[Word.GENERATION] != self._generation:
            raise StateError(f"{self._path}: another guard has published here; this one must not go on")
        else:
            self._fill(self._file, self._words, payload, self._generation + 1)
            self._announce()
            self._words[Word.GENERATION] = self._generation = self._generation + 1
        self._payload = payload
        self._said = said
        self._is_live = True
        self.on_published()

    def relay(self, content: Mapping[str, Any]) -> None:
        """Make what a guard elsewhere published what the next `check` sees; `content` lacks the clocks, which are this machine's.

        Ends stay as far away as they are for that guard where the clock's wall time is that guard's. Raises StateError like
        `publish`, ValueError for what no client could read.
        """
        moments = {
            "at_us": self._clock.now_us(),
            "wall_us": self._clock.now_us(),
            "boot_ns": self._clock.monotonic_us() * 1000,
            "boot_id": self._boot_id,
        }
        said = {**content, **moments}
        try:
            payload = pack(said)
            decode(payload)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"not a state of guard: {type(error).__name__} {error}") from error
        self._put(said, payload)

    def renew(self) -> None:
        """Let the next `publish` make a fresh file: readers of this one are sent there, and what is wrong with it stays behind."""
        self._is_renewed = True

    def hush(self) -> None:
        """Take the proof of life back at once: markets without a block look unknown until the next `beat`."""
        if self._is_live and self._is_in_place():
            self._words[Word.HEARTBEAT] = 0

    def beat(self, *, age_us: int = 0) -> None:
        """Prove that guard lives; call it every 250 ms, where the loop turned and streams and engine are live.

        `age_us` is how old the proof is already, for one that came over a network.

        Writes the file anew if somebody deleted or cut it, its folder included. Raises StateError like `publish`.
        """
        if not self._is_live:
            return
        if not self._is_in_place():
            self._replace(self._payload)
            self._is_live = True
        self._words[Word.HEARTBEAT] = max(1, self._clock.monotonic_us() - age_us) * 1000

    def stop(self) -> None:
        """Tell bots that guard was stopped, and let go of the file. Blocks in it stand until their end. Safe to call twice."""
        if self._file < 0:
            return
        try:
            if self._is_live and self._is_in_place():
                self._words[Word.STATE] = State.STOPPED
                self._words[Word.HEARTBEAT] = 0
        except StateError:
            # The file under this name is another guard's; ours has no reader left.
            pass
        finally:
            self._release()

    def _adopt(self) -> int | None:
        """Open the file that an earlier guard left, if it is one of this layout."""
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            if _is_adoptable(file):
                self._permit(file)
                return file
        except StateError:
            os.close(file)
            raise
        os.close(file)
        return None

    def _is_in_place(self) -> bool:
        """Tell whether the mapped file is whole and under its name: a store behind a file's end would kill this process."""
        if self._file < 0:
            return False
        mine = os.fstat(self._file)
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        if (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
            raise StateError(f"{self._path}: another guard has put its file here; this one must not go on")
        return mine.st_size == HEADER_BYTES + 2 * self._slot_bytes

    def _create(self, slot_bytes: int, *, generation: int) -> int:
        file = -1
        try:
            with suppress(FileNotFoundError):
                self._new_path.unlink()
            if self._is_live and not self._path.parent.is_dir():
                # Somebody deleted the folder while guard runs; bots find the file again by its name.
                self._path.parent.mkdir()
                self._path.parent.chmod(_FOLDER_MODE)
            file = os.open(self._new_path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            header = bytearray(HEADER_BYTES)
            header[: len(MAGIC)] = MAGIC
            words = memoryview(header).cast("Q")
            words[Word.VERSION] = VERSION
            words[Word.GENERATION] = generation
            words[Word.SLOT_BYTES] = slot_bytes
            content = bytes(header) + bytes(2 * slot_bytes)
            written = 0
            while written < len(content):
                written += os.pwrite(file, memoryview(content)[written:], written)
            self._permit(file)
        except (OSError, StateError) as error:
            if file >= 0:
                os.close(file)
            if isinstance(error, StateError):
                raise
            raise CannotPublish(f"{self._new_path} cannot be made: {error.strerror}") from error
        return file

    @property
    def _new_path(self) -> Path:
        return self._path.with_name(f".{FILE_NAME}.new")

    def _permit(self, file: int) -> None:
        try:
            if self._group is not None:
                shutil.chown(file, group=self._group)
            else:
                # Whoever gave the folder to a group meant the file. A group that is not guard's cannot be given: its bots say so.
                with suppress(PermissionError):
                    os.fchown(file, -1, self._path.parent.stat().st_gid)
            os.fchmod(file, _FILE_MODE)
        except (LookupError, OSError) as error:
            raise StateError(f"{self._path} cannot be given to group {self._group!r}: {error}") from error

    def _put_in_place(self) -> None:
        try:
            self._new_path.replace(self._path)
        except OSError as error:
            raise CannotPublish(f"{self._path} cannot be put in place: {error.strerror}") from error

    def _map(self, file: int) -> None:
        self._file = file
        self._memory = mmap.mmap(file, HEADER_BYTES)
        self._words = memoryview(self._memory).cast("Q")
        self._slot_bytes = self._words[Word.SLOT_BYTES]
        self._generation = self._words[Word.GENERATION]

    def _release(self) -> None:
        self._words.release()
        if self._memory is not None:
            self._memory.close()
        if self._file >= 0:
            os.close(self._file)
        self._file = -1
        self._is_live = False

    def _fill(self, file: int, words: memoryview, payload: bytes, generation: int) -> None:
        places = slot_word(generation)
        try:
            if os.pwrite(file, payload, slot_at(generation, words[Word.SLOT_BYTES])) != len(payload):
                raise CannotPublish(f"{self._path} took a part of the state only; is the disk full?")
        except OSError as error:
            raise CannotPublish(f"{self._path} cannot be written: {error.strerror}") from error
        words[places.generation] = generation
        words[places.length] = len(payload)
        words[places.crc] = checksum(payload, generation)

    def _announce(self) -> None:
        if self._is_live:
            return
        # The heartbeat of the guard before is gone before its file is called running again.
        words = self._words
        words[Word.HEARTBEAT] = 0
        words[Word.LEASE] = self._lease_ns
        words[Word.BOOT_ID], words[Word.BOOT_ID + 1] = boot_id_words(self._boot_id)
        words[Word.STATE] = State.RUNNING

    def _replace(self, payload: bytes) -> None:
        """Put a new file with `payload` under the name; the old one, if it is whole, sends its readers there."""
        if len(payload) > SLOT_BYTES_MAX:
            raise CannotPublish(
                f"the state has {len(payload)} bytes, at most {SLOT_BYTES_MAX} can be published; watch fewer markets"
            )
        slot_bytes = min(max(_SLOT_BYTES_MIN, 1 << (2 * len(payload) - 1).bit_length()), SLOT_BYTES_MAX)
        is_old_whole = self._is_in_place()
        heartbeat = self._words[Word.HEARTBEAT] if is_old_whole and self._is_live else 0
        generation = self._generation + 1
        file = self._create(slot_bytes, generation=generation)
        try:
            with mmap.mmap(file, HEADER_BYTES) as memory, memoryview(memory) as view, view.cast("Q") as words:
                self._fill(file, words, payload, generation)
                words[Word.LEASE] = self._lease_ns
                words[Word.BOOT_ID], words[Word.BOOT_ID + 1] = boot_id_words(self._boot_id)
                words[Word.HEARTBEAT] = heartbeat
                words[Word.STATE] = State.RUNNING
            self._put_in_place()
        except StateError:
            os.close(file)
            raise
        if is_old_whole:
            self._words[Word.STATE] = State.RETIRED
            self._words[Word.HEARTBEAT] = 0
        self._release()
        self._map(file)


def _is_adoptable(file: int) -> bool:
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_size < HEADER_BYTES:
        return False
    header = os.pread(file, HEADER_BYTES, 0)
    words = memoryview(header).cast("Q")
    slot_bytes: int = words[Word.SLOT_BYTES]
    return (
        header.startswith(MAGIC)
        and words[Word.VERSION] == VERSION
        and words[Word.STATE] != State.RETIRED
        and words[Word.GENERATION] < _GENERATION_MAX
        and 0 < slot_bytes <= SLOT_BYTES_MAX
        and status.st_size == HEADER_BYTES + 2 * slot_bytes
    )
