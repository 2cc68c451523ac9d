"""The heartbeat that proves work: which stages were seen to work in the last 30 seconds, and a file that says so to others."""

from __future__ import annotations

import json
import os
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from guard.model.ports import Clock

__all__ = ["HeartbeatFile", "HeartbeatUnreadable", "Proof", "Stage", "Told", "read_heartbeat"]

GOOD_US: Final = 30_000_000
_FILE_BYTES: Final = 4096
_ERROR_MAX: Final = 200
_VERSION: Final = 1


class Stage(StrEnum):
    """What must work. ENGINE is the engine of the real markets; FEED to OUTBOX are passed by the canary."""

    ENGINE = "engine"
    FEED = "feed"
    RULE = "rule"
    QUARANTINE = "quarantine"
    LEDGER = "ledger"
    OUTBOX = "outbox"


# Without these no danger is seen: bots must not take silence of the rules for peace. Of the others the ledger shows as not
# durable, and the outbox concerns people only.
_PROTECTS: Final = (Stage.ENGINE, Stage.FEED, Stage.RULE, Stage.QUARANTINE)


class Proof:
    """When each stage was last seen to work.

    Parameters
    ----------
    clock
        The machine's clock.
    is_flown
        Whether a canary flies; without one only the engine is a stage.
    """

    def __init__(self, clock: Clock, *, is_flown: bool = False) -> None:
        self._clock = clock
        self._started_us = clock.monotonic_us()
        self._seen: dict[Stage, int] = {}
        self._errors: dict[Stage, str] = {}
        self.failures: dict[Stage, int] = {}
        self.stages: tuple[Stage, ...] = tuple(Stage) if is_flown else (Stage.ENGINE,)

    def note(self, stage: Stage) -> None:
        """Take that a stage was seen to work now."""
        self._seen[stage] = self._clock.monotonic_us()
        self._errors.pop(stage, None)

    def fail(self, stage: Stage, error: str) -> None:
        """Take that a stage was seen not to work."""
        self._errors[stage] = error[:_ERROR_MAX]
        self.failures[stage] = self.failures.get(stage, 0) + 1

    def forgive(self, stood_us: int) -> None:
        """Take that the whole process stood still for so long: no stage could be seen meanwhile."""
        self._started_us += stood_us
        now_us = self._clock.monotonic_us()
        self._seen = {stage: min(now_us - 1, seen_us + stood_us) for stage, seen_us in self._seen.items()}

    def is_seen_since(self, stage: Stage, since_us: int) -> bool:
        """Whether a stage was seen to work at or after a moment of the boot clock."""
        return self._seen.get(stage, -1) >= since_us

    def fly(self) -> None:
        """From now on a canary passes all stages."""
        self.stages = tuple(Stage)

    @property
    def proved_us(self) -> int | None:
        """Since when, on the boot clock, each stage was seen at least once: the oldest of the newest sights; None before that."""
        if any(stage not in self._seen for stage in self.stages):
            return None
        return min(self._seen[stage] for stage in self.stages)

    @property
    def missing(self) -> tuple[Stage, ...]:
        """The stages that were not seen to work in the last 30 seconds."""
        now_us = self._clock.monotonic_us()
        return tuple(stage for stage in self.stages if now_us - self._seen.get(stage, now_us - GOOD_US - 1) > GOOD_US)

    @property
    def is_whole(self) -> bool:
        """Whether all that must work was seen to work in the last 30 seconds."""
        return not self.missing

    @property
    def protects(self) -> bool:
        """Whether dangers are still seen and held, as far as can be told; the first 30 seconds of a run are trusted."""
        now_us = self._clock.monotonic_us()
        return all(now_us - self._seen.get(stage, self._started_us) <= GOOD_US for stage in _PROTECTS if stage in self.stages)

    def errors(self) -> Mapping[Stage, str]:
        """Return what is wrong with the stages that failed when they were last tried."""
        return dict(self._errors)

    def record(self) -> dict[str, Any]:
        """Return the stages as JSON-able values: how long ago each was seen to work, and what is wrong with it."""
        now_us = self._clock.monotonic_us()
        ages = {stage: None if stage not in self._seen else round((now_us - self._seen[stage]) / 1e6, 1) for stage in self.stages}
        return {
            str(stage): {"age_s": age, "problem": self._errors.get(stage), "failures": self.failures.get(stage, 0)}
            for stage, age in ages.items()
        }


class Told(NamedTuple):
    """What a guard told in its heartbeat file.

    `proved_us` is when all stages were last proved (wall time, None before the first proof), `proved_boot_ns` the same on the boot
    clock of the machine's run `boot_id`; `beat` counts proofs: a reader that cannot compare clocks sees it move. `state` is
    ``starting``, ``running`` or ``stopped``, `missing` the stages that are not proved, `document` all of it.
    """

    state: str
    beat: int
    proved_us: int | None
    proved_boot_ns: int | None
    boot_id: str
    missing: tuple[str, ...]
    document: Mapping[str, Any]


class HeartbeatUnreadable(Exception):
    """The file cannot be read or is no heartbeat; the text says why."""


class HeartbeatFile:
    """Write the heartbeat file, in place and of fixed size: a full disk does not stop it.

    Parameters
    ----------
    path
        The file; made with mode 0640, as the folder it stands in permits.

    Notes
    -----
    A file that cannot be written is told by `problem`, and nothing else happens: who waits for the heartbeat sees that it stopped.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.problem: str | None = None

    def write(self, document: Mapping[str, Any]) -> None:
        """Say what is true now."""
        text = json.dumps({"version": _VERSION, **document}, separators=(",", ":"))
        line = f"{crc32(text.encode()):08x} {text}".encode()
        if len(line) >= _FILE_BYTES:
            self.problem = f"the heartbeat has {len(line)} bytes, room is for {_FILE_BYTES - 1}"
            return
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o640)
            try:
                os.pwrite(file, line.ljust(_FILE_BYTES - 1) + b"\n", 0)
            finally:
                os.close(file)
        except OSError as error:
            self.problem = f"{self._path} cannot be written: {error.strerror}"
        else:
            self.problem = None


def read_heartbeat(path: Path) -> Told:
    """Return what the heartbeat file says. Raises HeartbeatUnreadable."""
    problem = "is no heartbeat"
    for _ in range(3):
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                line = os.pread(file, _FILE_BYTES, 0)
            finally:
                os.close(file)
        except OSError as error:
            raise HeartbeatUnreadable(f"{path} cannot be read: {error.strerror}") from error
        mark, _, text = line.rstrip().partition(b" ")
        # A writer may have been halfway: its next attempt is whole.
        if mark == b"%08x" % crc32(text):
            return _told(path, text)
        problem = "is damaged, or no heartbeat of guard"
    raise HeartbeatUnreadable(f"{path} {problem}")


def _told(path: Path, text: bytes) -> Told:
    try:
        document = json.loads(text)
        proved_us, proved_boot_ns = document["proved_us"], document["proved_boot_ns"]
        return Told(
            str(document["state"]),
            int(document["beat"]),
            None if proved_us is None else int(proved_us),
            None if proved_boot_ns is None else int(proved_boot_ns),
            str(document["boot_id"]),
            tuple(map(str, document["missing"])),
            document,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise HeartbeatUnreadable(f"{path} is no heartbeat of this guard: {error!r}") from error
