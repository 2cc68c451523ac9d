"""The ledger: one SQLite file, the truth about quarantines, the audit trail and the outbox."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiosqlite

from guard.errors import StateError, Unavailable
from guard.model.alert import CANARY, DeliveryState
from guard.model.ports import LedgerState
from guard.store.chain import ALLOW_TARGET, GENESIS, AuditRow, Verified, allows_of, audit_rows, follow
from guard.store.codec import canonical, decoded, delivery_from_json, delivery_to_json, quarantine_from_json
from guard.store.damage import Damaged
from guard.store.file import prepare
from guard.store.held import held_sum
from guard.store.rows import delivery_rows, quarantine_rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from guard.model.alert import Delivery
    from guard.model.decision import Decision
    from guard.model.ports import Clock
    from guard.model.quarantine import Quarantine

__all__ = ["LedgerStore"]

_DAY_US = 86_400_000_000
_HOUR_US = 3_600_000_000
_RETENTION_US = 30 * _DAY_US
_ROWS_MAX = 10_000
_PRUNED_MAX = 500
_NAMES_MAX = 500
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA journal_size_limit = 4194304",
)


class LedgerStore:
    """A `Store` in one SQLite file.

    Parameters
    ----------
    path
        The file; made, readable by its owner only, when it is not there.
    clock
        Tells what is forgotten, recent, or old enough to go.
    busy_timeout_s
        How long a write waits for another process that holds the file, seconds, >= 0.
    before_migration
        Given the file and its layout before a ledger of an earlier layout is migrated, in a thread; what it raises stops the start.

    Notes
    -----
    WAL with ``synchronous=FULL``: what `commit` returned survives kill -9 and power loss. Each `open` takes a new epoch; whoever
    holds an older one is refused, so a guard that was suspended and replaced cannot write.

    `open` raises StateError, with nothing changed, for a file of a newer guard, or one that another process holds; Damaged for one
    that is damaged or gone.
    Later, a full disk, a lock or a failing disk raise Unavailable and leave nothing half-written: try again. StateError then
    means that the epoch is no longer the newest.

    Delivered messages go 30 days after their delivery, quarantines 30 days after they are forgotten; dead messages and the
    audit trail stay.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        busy_timeout_s: float = 1.0,
        before_migration: Callable[[Path, int], None] | None = None,
    ) -> None:
        self.path = path
        self._clock = clock
        self._busy_timeout_s = busy_timeout_s
        self._before_migration = before_migration
        self._lock = asyncio.Lock()
        self._connection: aiosqlite.Connection | None = None
        # Told after each COMMIT, with the delivery that was settled if there was one.
        self.on_written: Callable[[Delivery | None], None] = _ignore
        self._epoch = 0
        self._seq, self._head = 0, GENESIS
        self._prune_us = 0

    async def open(self, *, after_epoch: int = 0) -> LedgerState:
        """Take the ledger, with a new epoch above `after_epoch` too, and return what it remembers. Raises StateError."""
        if self._connection is None:
            await asyncio.to_thread(
                prepare, self.path, busy_timeout_s=self._busy_timeout_s, before_migration=self._before_migration
            )
        try:
            if self._connection is None:
                self._connection = await self._connect()
            async with self._writing() as connection:
                await connection.execute_fetchall("UPDATE meta SET epoch = max(epoch, ?) + 1", (after_epoch,))
                row = await connection.execute_fetchall("SELECT epoch, seq, head FROM meta")
                ((self._epoch, self._seq, self._head),) = row
            return await self.load()
        except (sqlite3.Error, Unavailable, StateError) as error:
            await self.close()
            if isinstance(error, StateError):
                raise
            if type(error) is sqlite3.DatabaseError:
                raise Damaged(f"the ledger {self.path} is damaged: {error}") from error
            raise StateError(f"the ledger {self.path} cannot be taken: {error}") from error

    async def close(self) -> None:
        """Let go of it. Safe to call twice."""
        async with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                await connection.close()

    async def commit(self, decisions: Sequence[Decision], *, epoch: int) -> int:
        """Write transitions, audit and outbox rows of `decisions` as one transaction and return the last audit row's number.

        A delivery whose id is in the outbox already is passed over. Raises StateError where `epoch` is no longer the newest,
        Unavailable where the file cannot be written now; nothing is written when it raises.
        """
        async with self._writing() as connection:
            seq, head = await self._fenced(connection, epoch)
            rows = audit_rows(decisions, seq=seq, head=head)
            await self._insert(connection, decisions, rows)
            await self._prune(connection)
        if rows:
            self._seq, self._head = rows[-1].seq, rows[-1].hash
        self.on_written(None)
        return rows[-1].seq if rows else seq

    async def load(self) -> LedgerState:
        """Return what it remembers, without a new epoch; at most 10,000 deliveries of each sort, the oldest pending ones."""
        now_us = self._clock.now_us()
        async with self._reading() as connection:
            ((epoch, seq),) = await connection.execute_fetchall("SELECT epoch, seq FROM meta")
            quarantines = await connection.execute_fetchall(
                "SELECT id, document FROM quarantines WHERE forgotten_us > ? ORDER BY rowid", (now_us,)
            )
            pending = await connection.execute_fetchall(
                "SELECT id, document FROM outbox WHERE state = ? ORDER BY created_us, rowid LIMIT ?",
                (DeliveryState.PENDING, _ROWS_MAX),
            )
            recent = await connection.execute_fetchall(
                "SELECT id, document FROM outbox WHERE created_us > ? ORDER BY created_us DESC, rowid DESC LIMIT ?",
                (now_us - _DAY_US, _ROWS_MAX),
            )
            allows = await connection.execute_fetchall("SELECT document FROM audit WHERE target = ? ORDER BY seq", (ALLOW_TARGET,))
        return LedgerState(
            epoch=epoch,
            seq=seq,
            quarantines=tuple(decoded(text, quarantine_from_json, f"quarantine {name}") for name, text in quarantines),
            pending=_deliveries(pending),
            recent_deliveries=_deliveries(recent)[::-1],
            allows=allows_of(decoded(text, dict, "an audit row of an allow entry") for (text,) in allows),
        )

    async def quarantines(self, names: Sequence[str]) -> tuple[Quarantine, ...]:
        """Return the quarantines of these ids, ended and forgotten ones too, as far as the ledger has them."""
        async with self._reading() as connection:
            rows = await _quarantine_rows(connection, names)
        return tuple(decoded(text, quarantine_from_json, f"quarantine {name}") for name, _, _, text in rows)

    async def changes(self, since: int) -> Sequence[tuple[int, Mapping[str, Any]]]:
        """Return the audit rows with a number above `since`, oldest first; at most 10,000, ask again after the last."""
        async with self._reading() as connection:
            found = await connection.execute_fetchall(
                "SELECT seq, document FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", (since, _ROWS_MAX)
            )
        return [(seq, decoded(text, dict, f"audit row {seq}")) for seq, text in found]

    async def audit(self, *, target: str | None = None, limit: int = 100) -> Sequence[Mapping[str, Any]]:
        """Return the newest audit rows, newest first, of one target (in its written form) if given; at most 10,000."""
        where, values = ("", []) if target is None else ("WHERE target = ?", [target])
        sql = f"SELECT seq, document FROM audit {where} ORDER BY seq DESC LIMIT ?"  # noqa: S608 no foreign text
        async with self._reading() as connection:
            found = await connection.execute_fetchall(sql, (*values, max(0, min(limit, _ROWS_MAX))))
        return [decoded(text, dict, f"audit row {seq}") for seq, text in found]

    async def due(self, channel: str, *, now_us: int) -> Delivery | None:
        """Return the oldest pending delivery of `channel` whose time has come; one that expired is returned too."""
        async with self._reading() as connection:
            found = await connection.execute_fetchall(
                "SELECT id, document FROM outbox WHERE channel = ? AND state = ? AND due_us <= ? "
                "ORDER BY created_us, rowid LIMIT 1",
                (channel, DeliveryState.PENDING, now_us),
            )
        return next(iter(_deliveries(found)), None)

    async def settle(self, delivery: Delivery) -> None:
        """Record how an attempt ended: `delivery` with its new state, attempts, due time and error.

        Raises StateError where another guard took the ledger or the outbox has no such delivery, Unavailable as `commit` does.
        """
        settled_us = None if delivery.state is DeliveryState.PENDING else self._clock.now_us()
        async with self._writing() as connection:
            await self._fenced(connection, self._epoch)
            await connection.execute_fetchall(
                "UPDATE outbox SET state = ?, due_us = ?, settled_us = ?, document = ? WHERE id = ?",
                (delivery.state, delivery.due_us, settled_us, canonical(delivery_to_json(delivery)), delivery.id),
            )
            ((count,),) = await connection.execute_fetchall("SELECT changes()")
            if not count:
                raise StateError(f"the outbox has no delivery {delivery.id}")
        self.on_written(delivery)

    async def outbox(self) -> Mapping[str, Mapping[str, int]]:
        """Return counts of deliveries by channel and state."""
        counts: dict[str, dict[str, int]] = {}
        async with self._reading() as connection:
            found = await connection.execute_fetchall(
                "SELECT channel, state, count(*) FROM outbox GROUP BY channel, state ORDER BY channel, state"
            )
        for channel, state, count in found:
            counts.setdefault(channel, {})[state] = count
        return counts

    async def actions(self, *, limit: int = 20) -> Sequence[Delivery]:
        """Return the newest webhooks and calls, newest first, whatever became of them; at most 10,000."""
        async with self._reading() as connection:
            found = await connection.execute_fetchall(
                "SELECT id, document FROM outbox WHERE channel GLOB '*:*' ORDER BY created_us DESC, rowid DESC LIMIT ?",
                (max(0, min(limit, _ROWS_MAX)),),
            )
        return _deliveries(found)

    @property
    def head(self) -> str:
        """The hash of the last audit row: kept elsewhere, it proves that nothing before was changed or cut."""
        return self._head

    @property
    def anchor(self) -> str:
        """Number and hash of the last audit row, ``120:3fa9...``, as ``guard ledger verify --anchor`` takes it."""
        return f"{self._seq}:{self._head}"

    async def note(self, name: str) -> Mapping[str, Any] | None:
        """Return a note that guard left for itself."""
        async with self._reading() as connection:
            found = await connection.execute_fetchall("SELECT document FROM notes WHERE name = ?", (name,))
        return next((decoded(text, dict, f"note {name}") for (text,) in found), None)

    async def keep_note(self, name: str, document: Mapping[str, Any] | None) -> None:
        """Write a note, or take it away. Raises as `settle` does."""
        async with self._writing() as connection:
            await self._fenced(connection, self._epoch)
            await connection.execute_fetchall("DELETE FROM notes WHERE name = ?", (name,))
            if document is not None:
                await connection.execute_fetchall("INSERT INTO notes VALUES (?, ?)", (name, canonical(document)))

    async def verify(self) -> Verified:
        """Follow the whole audit trail and return where it ends. Raises StateError at the first row that was changed."""
        at = Verified(0, 0, GENESIS)
        async with self._reading() as connection:
            ((seq, head),) = await connection.execute_fetchall("SELECT seq, head FROM meta")
        while at.seq < seq:
            async with self._reading() as connection:
                found = await connection.execute_fetchall(
                    "SELECT seq, target, document, hash FROM audit WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT 1000",
                    (at.seq, seq),
                )
            rows = [AuditRow(*row) for row in found]
            if not rows:
                raise StateError(f"the audit trail is broken: it ends at row {at.seq}, {seq} were written")
            at = follow(rows, at)
        if at.head != head:
            raise StateError(f"the audit trail is broken: row {seq} is not the one that was written last")
        return at

    async def _connect(self) -> aiosqlite.Connection:
        connection = await aiosqlite.connect(self.path, isolation_level=None, timeout=self._busy_timeout_s)
        try:
            for pragma in _PRAGMAS:
                await connection.execute_fetchall(pragma)
        except BaseException:
            await connection.close()
            raise
        return connection

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[aiosqlite.Connection]:
        # Reads share the writer's connection: the lock keeps them out of a transaction that is not committed.
        async with self._lock:
            if self._connection is None:
                raise StateError(f"the ledger {self.path} is not open")
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise Unavailable(f"the ledger {self.path} does not answer: {error}") from error

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[aiosqlite.Connection]:
        async with self._reading() as connection:
            try:
                await connection.execute_fetchall("BEGIN IMMEDIATE")
                yield connection
                await connection.execute_fetchall("COMMIT")
            except BaseException:
                await asyncio.shield(connection.rollback())
                raise

    async def _fenced(self, connection: aiosqlite.Connection, epoch: int) -> tuple[int, str]:
        ((newest, seq, head),) = await connection.execute_fetchall("SELECT epoch, seq, head FROM meta")
        if epoch != newest:
            raise StateError(f"another guard took the ledger {self.path}: its epoch is {newest}, this one's {epoch}")
        return seq, head

    async def _insert(self, connection: aiosqlite.Connection, decisions: Sequence[Decision], rows: Sequence[AuditRow]) -> None:
        quarantines = quarantine_rows(decisions)
        if quarantines:
            await self._account(connection, [row[0] for row in quarantines], added=quarantines)
            await connection.executemany("INSERT OR REPLACE INTO quarantines VALUES (?, ?, ?, ?)", quarantines)
        if rows:
            await connection.executemany("INSERT INTO audit VALUES (?, ?, ?, ?)", rows)
            await connection.execute_fetchall("UPDATE meta SET seq = ?, head = ?", (rows[-1].seq, rows[-1].hash))
        deliveries = delivery_rows(decisions)
        if deliveries:
            await connection.executemany("INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING", deliveries)

    async def _account(self, connection: aiosqlite.Connection, names: Sequence[str], *, added: Sequence[Any] = ()) -> None:
        """Keep the sum over the table: the rows `names` go, `added` come in their place."""
        removed = await _quarantine_rows(connection, names)
        ((held,),) = await connection.execute_fetchall("SELECT held FROM meta")
        await connection.execute_fetchall("UPDATE meta SET held = ?", (held_sum(added, removed=removed, before=held),))

    async def _prune(self, connection: aiosqlite.Connection) -> None:
        now_us = self._clock.now_us()
        if now_us < self._prune_us:
            return
        old = (now_us - _RETENTION_US, _PRUNED_MAX)
        await connection.execute_fetchall(
            "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE state = 'delivered' AND settled_us < ? LIMIT ?)", old
        )
        ((count,),) = await connection.execute_fetchall("SELECT changes()")
        # What guard sends through itself to prove that it works: of no use once it has.
        await connection.execute_fetchall("DELETE FROM outbox WHERE channel = ? AND settled_us < ?", (CANARY, now_us - _HOUR_US))
        gone = await connection.execute_fetchall("SELECT id FROM quarantines WHERE forgotten_us < ? LIMIT ?", old)
        if gone:
            await self._account(connection, [name for (name,) in gone])
            await connection.executemany("DELETE FROM quarantines WHERE id = ?", gone)
        if count < _PRUNED_MAX:
            self._prune_us = now_us + _HOUR_US


def _deliveries(rows: Iterable[Any]) -> tuple[Delivery, ...]:
    return tuple(decoded(text, delivery_from_json, f"delivery {name}") for name, text in rows)


def _ignore(_: Delivery | None) -> None:
    """Nobody wants to know."""


async def _quarantine_rows(connection: aiosqlite.Connection, names: Sequence[str]) -> list[Any]:
    rows: list[Any] = []
    for at in range(0, len(names), _NAMES_MAX):
        some = names[at : at + _NAMES_MAX]
        places = ", ".join("?" * len(some))
        sql = f"SELECT id, state, forgotten_us, document FROM quarantines WHERE id IN ({places})"  # noqa: S608 no foreign text
        rows += await connection.execute_fetchall(sql, some)
    return rows
