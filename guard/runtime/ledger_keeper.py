"""Keeps what a damaged ledger would be rebuilt from: the journal behind each commit, and a backup every hour."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections import deque
from contextlib import closing
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

import structlog

from guard.errors import GuardError, Unavailable
from guard.model import Level
from guard.store.chain import GENESIS, AuditRow
from guard.store.codec import canonical, delivery_to_json
from guard.store.damage import Damaged
from guard.store.journal import Journal, begin_line, delivery_line, end_of_journals, row_line
from guard.store.verify import has_row, verify_ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from guard.model import Delivery
    from guard.model.ports import Clock
    from guard.store.backup import BackupFolder

__all__ = ["KeptLedger", "LedgerKeeper"]

_log = structlog.get_logger(__name__)
_ROWS_MAX: Final = 1_000
_SETTLED_MAX: Final = 10_000
_PAUSE_S: Final = 0.05
_RETRY_S: Final = 5.0
_TOLD_AFTER_US: Final = 60_000_000
_VERIFY_EVERY_US: Final = 86_400_000_000
_TIMEOUT_S: Final = 2.0
_TOPIC: Final = "ledger-backup"


class KeptLedger(NamedTuple):
    """How the ledger's second source fares. Times are microseconds since 1970, None for never.

    `journal_seq` is the last audit row in the journal; `problem` is why something could not be kept, empty while all is well;
    `verified_seq` is the row up to which the whole ledger was found good.
    """

    backup: str
    backup_us: int | None
    backups: int
    backup_bytes: int
    journal_seq: int
    verified_us: int | None
    verified_seq: int
    problem: str


class LedgerKeeper:
    """Write the journal behind the ledger, back it up, and look it over once a day.

    Parameters
    ----------
    ledger, folder
        The ledger's file and the folder of its backups.
    epoch
        Of this guard.
    every_us
        How often a backup is made, > 0; also at the first start and after a migration or a rebuild.
    announce
        Tells people: topic, title, body, level.

    Notes
    -----
    It reads what is committed by a connection of its own, so nothing waits for it and nothing can be in the journal that is not in
    the ledger. Between COMMIT and the journal lie some milliseconds; what bots were shown of them is in the snapshot.
    """

    def __init__(
        self,
        ledger: Path,
        folder: BackupFolder,
        clock: Clock,
        *,
        epoch: int,
        every_us: int,
        announce: Callable[[str, str, str, Level], None],
    ) -> None:
        self._ledger = ledger
        self._folder = folder
        self._clock = clock
        self._epoch = epoch
        self._every_us = every_us
        self._announce = announce
        self._journal: Journal | None = None
        # A thread goes on where the task that waits for it was cancelled.
        self._writing = Lock()
        self._seq = 0
        self._outbox_row = 0
        self._settled: deque[Delivery] = deque(maxlen=_SETTLED_MAX)
        self._woken = asyncio.Event()
        self._verified: tuple[int | None, int] = (None, 0)
        self._verify_us = 0
        self._problem = ""
        self._failing_since_us: int | None = None
        self._is_told = False

    @property
    def health(self) -> KeptLedger:
        """How it fares."""
        backups = self._folder.backups()
        newest = backups[0] if backups else None
        return KeptLedger(
            "" if newest is None else newest.path.name,
            None if newest is None else newest.made_us,
            len(backups),
            sum(each.bytes for each in backups),
            self._seq,
            *self._verified,
            self._problem,
        )

    def written(self, settled: Delivery | None) -> None:
        """Take note that something was committed; a delivery that was settled is not sent once more after a rebuild."""
        if settled is not None:
            self._settled.append(settled)
        self._woken.set()

    async def run(self) -> None:
        """Keep until cancelled; what fails is tried again, and told after a minute."""
        self._verify_us = self._clock.now_us()
        while True:
            try:
                await self._keep()
            except (OSError, sqlite3.Error, Unavailable) as error:
                self._failed(str(error))
                await self._clock.sleep(_RETRY_S)
            except Damaged as error:
                self._found_damaged(error)
                await self._clock.sleep(_RETRY_S)
            else:
                self._went_well()
                await self._rest()

    async def finish(self) -> None:
        """Write what is left, where that is possible, and let go of the journal; `run` has ended."""
        try:
            await asyncio.to_thread(self._write_journal)
        except (OSError, sqlite3.Error, GuardError) as error:
            _log.warning("the journal of the ledger is behind", reason=str(error))
        with self._writing:
            if self._journal is not None:
                self._journal.close()
                self._journal = None

    async def _rest(self) -> None:
        self._woken.clear()
        waiting = {asyncio.ensure_future(self._woken.wait()), asyncio.ensure_future(self._clock.sleep(self._until_backup_s()))}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
        await self._clock.sleep(_PAUSE_S)

    def _until_backup_s(self) -> float:
        made_us = self.health.backup_us
        return 0.0 if made_us is None else max(0.1, (made_us + self._every_us - self._clock.now_us()) / 1e6)

    async def _keep(self) -> None:
        await asyncio.to_thread(self._write_journal)
        made_us = self.health.backup_us
        now_us = self._clock.now_us()
        # A backup of the future is one from before the clock was set back.
        if made_us is None or not 0 <= now_us - made_us < self._every_us:
            await asyncio.to_thread(self.back_up)
        if now_us >= self._verify_us:
            standing = await asyncio.to_thread(verify_ledger, self._ledger, now_us=now_us)
            self._verified = (now_us, standing.seq)
            self._verify_us = now_us + _VERIFY_EVERY_US

    def back_up(self) -> None:
        """Make a backup, and begin the journal that follows it. Blocks."""
        with self._writing:
            self._folder.make(self._ledger)
            journal, self._journal = self._journal, None
            if journal is not None:
                journal.close()
        self._write_journal()
        self._folder.prune()

    def _write_journal(self) -> None:
        name = f"file:{quote(str(self._ledger.absolute()))}?mode=ro"
        with (
            self._writing,
            closing(sqlite3.connect(name, uri=True, isolation_level=None, timeout=_TIMEOUT_S)) as connection,
        ):
            if self._journal is None:
                self._journal = self._begun(connection)
            settled = [self._settled.popleft() for _ in range(len(self._settled))]
            try:
                while lines := self._next(connection):
                    self._journal.append(lines)
                    self._seq, self._outbox_row = self._reached
                if settled:
                    self._journal.append(delivery_line(0, canonical(delivery_to_json(each))) for each in settled)
            except BaseException:
                self._settled.extendleft(reversed(settled))
                raise

    def _begun(self, connection: sqlite3.Connection) -> Journal:
        """Go on where the newest journal ended; where this ledger has no such row, from its newest backup on, or from the start."""
        path = self._folder.new_journal()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        begin = end_of_journals(self._folder.journals())
        newest = next(iter(self._folder.backups()), None)
        if newest is not None:
            with closing(sqlite3.connect(f"file:{quote(str(newest.path.absolute()))}?mode=ro", uri=True)) as backup:
                from_backup = backup.execute("SELECT seq, head FROM meta").fetchone()
                (self._outbox_row,) = backup.execute("SELECT coalesce(max(rowid), 0) FROM outbox").fetchone()
            if not path.exists() or not has_row(connection, *begin):
                begin = from_backup
        if not has_row(connection, *begin):
            begin = (0, GENESIS)
        journal = Journal(path)
        journal.append([begin_line(*begin, self._epoch)])
        self._seq = begin[0]
        return journal

    def _next(self, connection: sqlite3.Connection) -> list[str]:
        rows = connection.execute(
            "SELECT seq, target, document, hash FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", (self._seq, _ROWS_MAX)
        ).fetchall()
        sent = connection.execute(
            "SELECT rowid, document FROM outbox WHERE rowid > ? ORDER BY rowid LIMIT ?", (self._outbox_row, _ROWS_MAX)
        ).fetchall()
        self._reached = (rows[-1][0] if rows else self._seq, sent[-1][0] if sent else self._outbox_row)
        return [row_line(AuditRow(*row)) for row in rows] + [delivery_line(*each) for each in sent]

    def _failed(self, problem: str) -> None:
        now_us = self._clock.now_us()
        if self._failing_since_us is None:
            self._failing_since_us = now_us
            _log.warning("the ledger's journal or backup cannot be written", reason=problem)
        self._problem = problem
        if not self._is_told and now_us - self._failing_since_us >= _TOLD_AFTER_US:
            self._is_told = True
            body = (
                f"{problem}. Blocks are kept in the ledger; were it damaged now, what is newer than the last backup could be lost."
                "\nguard ledger info"
            )
            self._announce(_TOPIC, "the ledger is not backed up", body, Level.DANGER)

    def _found_damaged(self, error: Damaged) -> None:
        self._verify_us = self._clock.now_us() + _VERIFY_EVERY_US
        if self._problem != str(error):
            self._problem = str(error)
            self._is_told = True
            _log.error("the ledger is damaged", reason=str(error))
            body = (
                f"{error}. Blocks go on from memory. Restart guard soon: it rebuilds the ledger from its backups in "
                f"{self._folder.path.name}{os.sep}; `guard ledger verify` shows what is wrong."
            )
            self._announce(_TOPIC, "the ledger is damaged", body, Level.CRITICAL)

    def _went_well(self) -> None:
        self._failing_since_us = None
        if self._problem and self._verified[0] is not None:
            self._problem = ""
        if self._is_told and not self._problem:
            self._is_told = False
            self._announce(_TOPIC, "the ledger is backed up again", "", Level.NORMAL)
