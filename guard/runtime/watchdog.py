"""A thread that watches the loop: one that hangs ends guard, with what it was doing in a file."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from guard.model.ports import Clock

__all__ = ["Watchdog", "write_dump"]

_STUCK_US = 10_000_000
_LOOK_S = 0.5
# One look that comes later than this was not the loop's doing: the whole process stood still, by SIGSTOP or a suspended machine.
_LATE_US = 2_000_000
_DUMPS_MAX = 5
_EXIT = 70


class Watchdog:
    """Ends the process where the loop has not turned for 10 seconds while this thread has.

    Parameters
    ----------
    folder
        Where the state dump goes, ``dump-<time>.txt``; the five newest are kept.
    clock
        Tells the time; read from this thread too.
    describe
        Returns lines about guard for the dump; called in this thread, it may fail.
    leave
        Ends the process, without waiting for anything.

    Notes
    -----
    A hanging loop has stopped the heartbeat already: bots see ``unknown`` two seconds after. Ending the process lets whatever
    supervises it start a new one (crash only), and the exit code 70 tells. A process that was stopped as a whole goes on.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        describe: Callable[[], list[str]],
        leave: Callable[[int], object] = os._exit,
        stuck_us: int = _STUCK_US,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._describe = describe
        self._leave = leave
        self._stuck_us = stuck_us
        self._turns = 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def turned(self) -> None:
        """Note that the loop has turned."""
        self._turns += 1

    def start(self) -> None:
        """Watch from now on."""
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer; safe to call twice."""
        self._ended.set()

    def _watch(self) -> None:
        turns, stuck_us, before_us = self._turns, 0, self._clock.monotonic_us()
        while not self._ended.wait(_LOOK_S):
            now_us = self._clock.monotonic_us()
            passed_us, before_us = now_us - before_us, now_us
            if self._turns != turns:
                turns, stuck_us = self._turns, 0
            elif passed_us < _LATE_US:
                stuck_us += passed_us
            if stuck_us > self._stuck_us:
                write_dump(
                    self._folder, self._clock.now_us(), f"the loop has not turned for {stuck_us / 1e6:.1f} s", self._describe
                )
                self._leave(_EXIT)
                return


def write_dump(folder: Path, now_us: int, why: str, describe: Callable[[], list[str]]) -> Path | None:
    """Write what every thread does, and lines about guard, to a new file; returns None where that was not possible."""
    try:
        told = describe()
    except Exception as error:  # noqa: BLE001 - whatever is broken, the stacks below are worth having
        told = [f"guard cannot be described: {error!r}"]
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    lines = [why, "", *told]
    for identity, frame in sys._current_frames().items():  # noqa: SLF001 - there is no other way to see them
        lines += ["", f"thread {names.get(identity, identity)}", *(line.rstrip() for line in traceback.format_stack(frame))]
    try:
        for old in sorted(folder.glob("dump-*.txt"))[: -(_DUMPS_MAX - 1)]:
            old.unlink(missing_ok=True)
        path = folder / f"dump-{now_us}.txt"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(file, "w", encoding="utf-8", errors="backslashreplace") as out:
            out.write("\n".join(lines) + "\n")
    except OSError:
        return None
    return path
