"""Guard watching itself: may bots be told that it lives, does it prove that it works, and did they get what was decided."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import structlog

from guard.client.clock import MACHINE
from guard.model import Level
from guard.model.moments import stamp
from guard.model.validation import Failed, Fallback, IsolationStep, Validated
from guard.runtime.proof import GOOD_US, Proof, Stage
from guard.runtime.publish import CannotPublish
from guard.runtime.validation import Validation

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.model import Delivery, Image
    from guard.model.ports import Clock
    from guard.quarantine import RecoveryHandler
    from guard.runtime.canary import Canary
    from guard.runtime.proof import HeartbeatFile
    from guard.runtime.publish import SnapshotPublisher
    from guard.runtime.watchdog import Watchdog

__all__ = ["Vigil"]

_log = structlog.get_logger(__name__)
_WRITE_US = 1_000_000
# The clock of a process that stood still jumps; by as much as this, bots have taken it for silent already.
_STOOD_US = 2_000_000
_TITLES = {
    IsolationStep.PUBLISH: "bots cannot be told what is held",
    IsolationStep.READ_BACK: "what bots are told cannot be read",
    IsolationStep.MISMATCH: "bots would read something else than was decided",
    IsolationStep.OUTBOX: "the outbox does not send",
}


class Vigil:
    """Decides, four times a second, whether bots may be told that guard lives.

    Parameters
    ----------
    publisher, clock
        The snapshot's writer, the machine's clock.
    recovery
        Tells what is done about a failed step.
    announce
        Tells people, through the outbox, and returns what it sent.
    page
        Sends past the outbox.

    Notes
    -----
    Bots: the heartbeat of the snapshot stops where no danger would be seen (`Proof.protects`), or where a reader did not find what
    was decided, until it does. People: the heartbeat *file* holds the moment of the last whole proof; trouble of ledger or outbox
    stops that moment, which `guard deadman` notices, while bots keep their answers and see ``durable: false``.
    """

    def __init__(
        self,
        publisher: SnapshotPublisher,
        clock: Clock,
        *,
        recovery: RecoveryHandler,
        announce: Callable[[str, str, str, Level], tuple[Delivery, ...]],
        page: Callable[[tuple[Delivery, ...]], None],
    ) -> None:
        self._publisher = publisher
        self._clock = clock
        self._recovery = recovery
        self._announce = announce
        self._page = page
        self.proof = Proof(clock)
        self.validation = Validation(publisher, clock, self.take)
        self.canary: Canary | None = None
        self.file: HeartbeatFile | None = None
        self.watchdog: Watchdog | None = None
        # Writes the snapshot now.
        self.publish: Callable[[], None] = lambda: None
        # What the file says besides.
        self.about: Callable[[], dict[str, Any]] = dict
        self._silence: str | None = None
        self._told: set[str] = set()
        self._publish_attempts = 0
        self._beat = 0
        self._proved_us: int | None = None
        self._written_us: int | None = None
        self._turn_us = clock.monotonic_us()
        self._stood_us: int | None = None
        self._resumed_us = 0

    @property
    def silence(self) -> str | None:
        """Why bots are told nothing, None where they are told that guard lives."""
        if self._silence is not None:
            return self._silence
        if self._stood_us is not None:
            return f"not proved again since it stood still for {self._stood_us / 1e6:.0f} s"
        if not self.proof.protects:
            names = ", ".join(self.proof.missing)
            return f"not seen to work for {GOOD_US / 1e6:g} s: {names}"
        return None

    def turn(self) -> None:
        """Beat, where that is true; called each time the loop and the engine have turned."""
        now_us = self._clock.monotonic_us()
        if self.watchdog is not None:
            self.watchdog.turned()
        passed_us, self._turn_us = now_us - self._turn_us, now_us
        if passed_us > _STOOD_US and self.canary is not None:
            # Nothing failed while nothing ran; but what was proved before is no proof now.
            self.proof.forgive(passed_us)
            self._stood_us, self._resumed_us = passed_us, now_us
            self.canary.poke()
        elif self._stood_us is not None and self.proof.is_seen_since(Stage.QUARANTINE, self._resumed_us):
            self._stood_us = None
        self.proof.note(Stage.ENGINE)
        self._tell_people()
        try:
            if self.silence is None:
                self._publisher.beat()
            else:
                self._publisher.hush()
        except CannotPublish as error:
            self.not_published(error)
        if self.file is not None and (self._written_us is None or now_us - self._written_us >= _WRITE_US):
            self._written_us = now_us
            self._write(self.file, state="running")

    def published(self, image: Image, *, epoch: int, seq: int, durable: bool) -> None:
        """Take what was just published."""
        if self._publish_attempts:
            self._publish_attempts = 0
            self.validation.ask()
        self.validation.published(image, epoch=epoch, seq=seq, durable=durable)

    def not_published(self, error: CannotPublish) -> None:
        """Take that a publication failed; the next one, within a second, makes a fresh file."""
        self._publish_attempts += 1
        self.validation.count(IsolationStep.PUBLISH)
        self.take(Failed(IsolationStep.PUBLISH, str(error), self._publish_attempts))

    def take(self, outcome: Validated | Failed) -> tuple[Fallback, ...]:
        """Do what `RecoveryHandler` says about a failed step; a proof ends what was done about the steps before it.

        Returns what is done. Of a ledger that cannot be written the committer holds, and whoever tells of it pages.
        """
        if isinstance(outcome, Validated):
            if self._publish_attempts:
                # A late proof of the state before: the newest one is not in the file.
                return ()
            if self._silence is not None:
                _log.warning("bots can read again what is held", seq=outcome.seq)
            self._silence = None
            for step in (IsolationStep.PUBLISH, IsolationStep.READ_BACK, IsolationStep.MISMATCH):
                self._tell_over(f"isolation:{step}", "bots can read again what is held")
            return ()
        fallbacks = self._recovery.fallbacks(outcome)
        if outcome.step is IsolationStep.COMMIT:
            self.validation.count(outcome.step)
        _log.error("a decision did not reach its readers", step=str(outcome.step), error=outcome.error, attempts=outcome.attempts)
        if Fallback.SILENCE in fallbacks:
            self._silence = f"{outcome.step}: {outcome.error}"
            self._hush()
        if Fallback.REWRITE in fallbacks:
            self._publisher.renew()
            # Before it is read again; a publication that failed is tried again by whoever publishes.
            if outcome.step is not IsolationStep.PUBLISH:
                self.publish()
        if Fallback.PAGE in fallbacks and outcome.step in _TITLES:
            silent = "Markets without a block look unknown to bots meanwhile. " if self._silence is not None else ""
            self._tell_once(f"isolation:{outcome.step}", _TITLES[outcome.step], f"{outcome.error}. {silent}Guard tries again.")
        return fallbacks

    def _hush(self) -> None:
        try:
            self._publisher.hush()
        except (OSError, CannotPublish) as error:
            _log.error("the heartbeat cannot be taken back", error=str(error))

    def _tell_people(self) -> None:
        """Tell of stages that do not work: of the outbox past it; of the ledger the committer tells itself."""
        missing = self.proof.missing
        if self.proof.proved_us is None and self.proof.protects:
            # The canary has not flown yet.
            missing = tuple(stage for stage in missing if stage in self.proof.errors())
        errors = self.proof.errors()
        if Stage.OUTBOX in missing and Stage.LEDGER not in missing:
            self.take_once(Failed(IsolationStep.OUTBOX, errors.get(Stage.OUTBOX, "nothing came through")))
        elif Stage.OUTBOX not in missing:
            self._tell_over(f"isolation:{IsolationStep.OUTBOX}", "the outbox sends again")
        if not self.proof.protects:
            lines = [f"{stage}: {errors.get(stage, 'not seen to work')}" for stage in missing]
            body = "\n".join([*lines, "Markets without a block look unknown to bots. Restart guard.", "guard status"])
            self._tell_once("proof", "guard does not see dangers any more", body)
        else:
            self._tell_over("proof", "guard sees dangers again")

    def take_once(self, failed: Failed) -> None:
        """Take a failed step that is looked at again and again, once."""
        if f"isolation:{failed.step}" not in self._told:
            self.validation.count(failed.step)
            self.take(failed)

    def _tell_once(self, key: str, title: str, body: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self._page(self._announce(key, title, body, Level.CRITICAL))

    def _tell_over(self, key: str, title: str) -> None:
        if key in self._told:
            self._told.discard(key)
            self._announce(key, title, "", Level.NORMAL)

    def tasks(self) -> list[asyncio.Task[None]]:
        """Start what runs beside the heartbeat."""
        tasks = [asyncio.create_task(self.validation.run(), name="read back")]
        if self.canary is not None:
            self.proof.fly()
            tasks.append(asyncio.create_task(self.canary.run(), name="canary"))
        if self.watchdog is not None:
            self.watchdog.start()
        return tasks

    def stop(self) -> None:
        """Say in the file that guard stopped."""
        if self.watchdog is not None:
            self.watchdog.stop()
        if self.file is not None:
            self._write(self.file, state="stopped")

    def record(self) -> dict[str, Any]:
        """Return the section ``heartbeat`` of the status document."""
        health = self.validation.health
        proved_us = self._wall(self.proof.proved_us)
        return {
            "whole": self.proof.is_whole,
            "proved": None if proved_us is None else stamp(proved_us),
            "silent": self.silence,
            "stages": self.proof.record(),
            "file": None if self.file is None else self.file.problem,
            "validated": {
                "seq": health.seq,
                "done": health.done,
                "last_ms": health.last_us / 1000,
                "max_ms": health.max_us / 1000,
                "failed": health.failed,
            },
        }

    def _wall(self, boot_us: int | None) -> int | None:
        return None if boot_us is None else boot_us + self._clock.now_us() - self._clock.monotonic_us()

    def _write(self, file: HeartbeatFile, *, state: str) -> None:
        proved_us = self.proof.proved_us
        # What was forgiven for the time in which nothing ran is no proof.
        if self.proof.is_whole and proved_us not in {None, self._proved_us} and proved_us >= self._resumed_us:
            self._proved_us = proved_us
            self._beat += 1
        is_new = self._proved_us is None and state == "running"
        file.write(
            {
                "state": "starting" if is_new else state,
                "beat": self._beat,
                "proved_us": self._wall(self._proved_us),
                "proved_boot_ns": None if self._proved_us is None else self._proved_us * 1000,
                "boot_id": MACHINE.boot_id,
                "written_us": self._clock.now_us(),
                "pid": os.getpid(),
                "missing": [str(stage) for stage in self.proof.missing],
                "silent": self.silence,
                **self.about(),
            }
        )
