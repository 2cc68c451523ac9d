"""Notices that rule files changed, and reads them once they rest."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import structlog

from guard.runtime.reloading import problem_at
from guard.runtime.rule_files import folders_of, has_lost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from guard.model.ports import Clock
    from guard.runtime.rule_files import Stamp
    from guard.runtime.rulebook import Rulebook

    Changes = Callable[[frozenset[Path], asyncio.Event], AsyncIterator[object]]

__all__ = ["RuleWatch", "system_changes"]

_log = structlog.get_logger(__name__)
_POLL_S = 1.0
# Beside what the system tells: it says nothing of files on a network's disk that another machine writes.
_SECOND_LOOK_S = 5.0
_QUIET_S = 0.2
# A file that got shorter, or vanished, may be half of what is being written, and valid: up to the end of a line it often is.
_QUIET_LOST_S = 1.0
_RESTLESS_S = 15.0
_STEP_MS = 50


class RuleWatch:
    """Looks at the rule files and lets the rulebook read those that changed, once they have not changed for a moment.

    Parameters
    ----------
    book
        Reads them; its configuration says how they are watched, and may come to say otherwise while this runs.
    clock
        Waits.
    changes
        Yields whenever the system says that something changed in these folders, until the event is set; None where nothing can.

    Notes
    -----
    Files are read after 0.2 s without a change, after 1 s where one got shorter or is gone. Where they never rest for 15 s, people
    are told, and guard waits on. Who asks for a reload does not wait: that goes to the rulebook at once.
    """

    def __init__(self, book: Rulebook, clock: Clock, *, changes: Changes | None) -> None:
        self._book = book
        self._clock = clock
        self._changes = changes
        self._woken = asyncio.Event()
        self._told: tuple[asyncio.Task[None], asyncio.Event, frozenset[Path]] | None = None
        self.problem: str | None = None

    @property
    def way(self) -> str:
        """How changes are noticed now: ``files`` (the system tells), ``poll`` or ``off``."""
        watch = self._book.config.reload.watch
        return watch if watch != "auto" else "poll" if self._changes is None or self.problem else "files"

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            while True:
                await self._listen()
                await self._wait(_SECOND_LOOK_S if self.way == "files" else _POLL_S)
                if self.way != "off":
                    await self.look()
        finally:
            self._stop_listening()

    async def look(self) -> None:
        """Look once; where something changed, wait for the files to rest and have them read."""
        stamps = await self._stamps()
        waited_s = 0.0
        while stamps != self._book.seen:
            quiet_s = _QUIET_LOST_S if has_lost(self._book.seen, stamps) else _QUIET_S
            await self._clock.sleep(quiet_s)
            waited_s += quiet_s
            again = await self._stamps()
            if again == stamps:
                await self._book.reload()
                return
            stamps = again
            if waited_s >= _RESTLESS_S:
                text = f"the rule files have changed for {_RESTLESS_S:g} s without a rest of {_QUIET_S:g} s and are not read yet"
                self._book.complain(problem_at(self._book.path, "E093", text, "guard rules reload reads them as they are"))

    async def _stamps(self) -> tuple[Stamp, ...]:
        return await asyncio.to_thread(self._book.look)

    async def _wait(self, seconds: float) -> None:
        """Wait for the time to pass or for the system to tell of a change."""
        told = asyncio.ensure_future(self._woken.wait())
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({told, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
            timer.cancel()
        self._woken.clear()

    async def _listen(self) -> None:
        """Let the system tell of changes in the folders of the rules as they are now."""
        if self._changes is None or self.way != "files":
            self._stop_listening()
            return
        folders = await asyncio.to_thread(folders_of, self._book.config, self._book.includes)
        if self._told is None or self._told[2] != folders:
            self._stop_listening()
            stop = asyncio.Event()
            self._told = (asyncio.create_task(self._hear(self._changes, folders, stop), name="rule files"), stop, folders)

    def _stop_listening(self) -> None:
        if self._told is not None:
            task, stop, _ = self._told
            # The thread behind it looks at the event; without it, ending it takes seconds.
            stop.set()
            task.cancel()
            self._told = None

    async def _hear(self, changes: Changes, folders: frozenset[Path], stop: asyncio.Event) -> None:
        try:
            async for _ in changes(folders, stop):
                self._woken.set()
        except Exception as error:  # noqa: BLE001 - the system's watches are few and may be used up; looking always works
            self.problem = str(error) or type(error).__name__
            _log.warning("the system does not tell of changed rule files, guard looks each second", error=self.problem)
            self._woken.set()


def system_changes() -> Changes | None:
    """Return what tells of changed files through `watchfiles` of the extra ``reload``, None where it is not installed."""
    try:
        from watchfiles import awatch  # noqa: PLC0415 - an extra
    except ImportError:
        return None

    # It writes a line for each change, and where guard's log lies beside its rules, that line is the next change.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)

    async def changes(folders: frozenset[Path], stop: asyncio.Event) -> AsyncIterator[object]:
        # Folders below may have guard's own state in them; what happens there is seen by the second look.
        async for found in awatch(*folders, watch_filter=_may_matter, stop_event=stop, step=_STEP_MS, recursive=False):
            yield found

    return changes


def _may_matter(_: object, path: str) -> bool:
    """Whether rules may have changed with a file: packs, guard.yaml, and the links by which a mounted folder is swapped."""
    name = path.rpartition("/")[2]
    return name.endswith((".yaml", ".yml")) or name.startswith("..")
