"""Look a ledger's file over, beside a guard that runs or at rest: pages, chain, and the table against the trail."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from guard.errors import StateError, Unavailable
from guard.store.chain import GENESIS, AuditRow, Verified, follow
from guard.store.codec import canonical
from guard.store.damage import Damaged
from guard.store.file import check_held
from guard.store.layouts import APPLICATION_ID, LAYOUT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["Replay", "Standing", "has_row", "is_ledger", "look_at", "quick_check", "reading", "verify_ledger"]

_TIMEOUT_S = 2.0
_PAGE = 1_000
_HEAD_BYTES = 100
_MARK = slice(68, 72)
_RETENTION_US = 30 * 86_400_000_000


class Standing(NamedTuple):
    """Where a ledger stands: layout, epoch, the last audit row's number and hash, and what is in its tables."""

    layout: int
    epoch: int
    seq: int
    head: str
    active: int
    quarantines: int
    outbox: Mapping[str, int]
    bytes: int


def is_ledger(path: Path) -> bool:
    """Whether a file begins as a ledger of guard does, whole or not. Raises OSError."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    return head.startswith(b"SQLite format 3\x00") and head[_MARK] == APPLICATION_ID.to_bytes(4, "big")


class Replay:
    """The table of quarantines as the audit trail tells it, and what the trail must never tell."""

    def __init__(self) -> None:
        self.documents: dict[str, Mapping[str, Any]] = {}

    def take(self, row: AuditRow) -> None:
        """Follow one row. Raises Damaged for a transition that nobody made, or that does not begin where the last one ended."""
        document = json.loads(row.document)
        if document["type"] != "quarantine":
            return
        after = document["quarantine"]
        before = self.documents.get(after["id"])
        state = "normal" if before is None else before["state"]
        if document["previous"] != state:
            raise Damaged(
                f"audit row {row.seq}: quarantine {after['id']} goes from {document['previous']}, but the trail left it {state}"
            )
        if not (document["actor"] and document["cause"]):
            raise Damaged(f"audit row {row.seq}: quarantine {after['id']} changed without an actor and a cause")
        self.documents[after["id"]] = after

    def hold_against(self, rows: Iterable[tuple[str, str, int, str]], *, now_us: int) -> None:
        """Raise Damaged where the table, rows of id, state, forgotten_us and document, is not what the trail tells.

        An ended quarantine that was forgotten long ago may be gone.
        """
        told = dict(self.documents)
        for name, state, forgotten_us, text in rows:
            after = told.pop(name, None)
            if after is None:
                raise Damaged(f"the table of quarantines has {name}, of which the audit trail knows nothing")
            if state != after["state"] or canonical(json.loads(text)) != canonical(after):
                raise Damaged(f"quarantine {name} is not what the audit trail tells: {state}, forgotten {forgotten_us}")
        for name, after in told.items():
            hold = after["hold"]
            forgotten_us = max(after["until_us"] + hold["forget_us"], after["grace_until_us"])
            if after["state"] != "normal" or forgotten_us >= now_us - _RETENTION_US:
                raise Damaged(f"the table of quarantines lacks {name}, which the audit trail left {after['state']}")


def has_row(connection: sqlite3.Connection, seq: int, head: str) -> bool:
    """Whether the audit trail has row `seq` with hash `head`; the beginning, row 0, is everybody's."""
    if seq == 0:
        return head == GENESIS
    return bool(connection.execute("SELECT hash FROM audit WHERE seq = ?", (seq,)).fetchone() == (head,))


def look_at(path: Path) -> Standing:
    """Return where the ledger at `path` stands, without checking it. Raises StateError and Unavailable."""
    with reading(path) as connection:
        return _standing(connection, path)


def quick_check(path: Path) -> str | None:
    """Return what is wrong with the pages of a ledger or a backup, None where they are whole.

    Blocks, and keeps nobody from writing. Raises Unavailable where it cannot be read now.
    """
    try:
        with reading(path) as connection:
            findings = [text for (text,) in connection.execute("PRAGMA quick_check(5)")]
    except Damaged as error:
        return str(error)
    return None if findings == ["ok"] else "; ".join(line for text in findings for line in text.splitlines())


def verify_ledger(path: Path, *, now_us: int, anchor: tuple[int, str] | None = None) -> Standing:
    """Check all of a ledger: its pages, the chain of its audit trail, and that its table is what the trail tells.

    `anchor`, number and hash of a row that was kept elsewhere, must still be in the trail. Blocks, and keeps nobody from writing.
    Raises Damaged that names the first bad row, StateError for no ledger of this guard, Unavailable where it cannot be read now.
    """
    with reading(path) as connection:
        try:
            standing = _verified(connection, path, now_us)
            _hold_to(connection, anchor)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise Damaged(f"{path}: {error}") from error
        except Damaged:
            raise
        except StateError as error:
            raise Damaged(f"{path}: {error}") from error
    return standing


def _hold_to(connection: sqlite3.Connection, anchor: tuple[int, str] | None) -> None:
    if anchor is not None and not has_row(connection, *anchor):
        raise ValueError(
            f"the trail has no row {anchor[0]} with hash {anchor[1]}: it was cut, or written anew, after that was kept"
        )


def _verified(connection: sqlite3.Connection, path: Path, now_us: int) -> Standing:
    standing = _standing(connection, path)
    findings = [text for (text,) in connection.execute("PRAGMA quick_check(5)")]
    if findings != ["ok"]:
        raise Damaged(f"{path}: {'; '.join(line for text in findings for line in text.splitlines())}")
    at, replay = Verified(0, 0, GENESIS), Replay()
    while True:
        found = connection.execute(
            "SELECT seq, target, document, hash FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", (at.seq, _PAGE)
        ).fetchall()
        if not found:
            break
        for each in found:
            row = AuditRow(*each)
            at = follow([row], at)
            replay.take(row)
    if (at.seq, at.head) != (standing.seq, standing.head):
        raise Damaged(f"the audit trail ends at row {at.seq}, {standing.seq} were written")
    replay.hold_against(connection.execute("SELECT id, state, forgotten_us, document FROM quarantines"), now_us=now_us)
    if standing.layout == LAYOUT:
        check_held(connection)
    return standing


def _standing(connection: sqlite3.Connection, path: Path) -> Standing:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (layout,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise StateError(f"{path} is not a ledger of guard")
    if not 1 <= layout <= LAYOUT:
        raise StateError(f"{path} has layout {layout}, this guard reads 1 to {LAYOUT}")
    found = connection.execute("SELECT epoch, seq, head FROM meta").fetchone()
    if found is None:
        raise Damaged(f"{path}: its table meta is empty")
    states = dict(connection.execute("SELECT state, count(*) FROM quarantines GROUP BY state"))
    outbox = dict(connection.execute("SELECT state, count(*) FROM outbox GROUP BY state"))
    (pages,), (page,) = connection.execute("PRAGMA page_count").fetchone(), connection.execute("PRAGMA page_size").fetchone()
    active = sum(count for state, count in states.items() if state != "normal")
    epoch, seq, head = found
    return Standing(layout, epoch, seq, head, active, sum(states.values()), outbox, pages * page)


class reading:  # noqa: N801 - a context manager, used like a function
    """A read-only connection in one read transaction; foreign errors become guard's."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> sqlite3.Connection:
        if not self._path.is_file():
            raise Unavailable(f"there is no ledger {self._path}")
        name = f"file:{quote(str(self._path.absolute()))}?mode=ro"
        try:
            self._closing = closing(sqlite3.connect(name, uri=True, isolation_level=None, timeout=_TIMEOUT_S))
            connection = self._closing.__enter__()
            for pragma in ("PRAGMA trusted_schema = OFF", "PRAGMA cell_size_check = ON", "BEGIN"):
                connection.execute(pragma)
        except sqlite3.Error as error:
            raise self._told(error) from error
        return connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._closing.__exit__(None, None, None)
        if isinstance(error, sqlite3.Error):
            raise self._told(error) from error

    def _told(self, error: sqlite3.Error) -> StateError | Unavailable:
        if isinstance(error, sqlite3.OperationalError) and "no such" not in str(error) and "malformed" not in str(error):
            return Unavailable(f"the ledger {self._path} cannot be read: {error}")
        return Damaged(f"the ledger {self._path} is damaged: {error}")
