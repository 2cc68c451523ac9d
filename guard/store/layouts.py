"""The layouts of the ledger's file: the newest, and the steps that lead there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guard.store.chain import GENESIS
from guard.store.held import held_sum

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["APPLICATION_ID", "LAYOUT", "make", "migrate"]

LAYOUT: Final = 2
# "gard" in ASCII: tells a ledger from any other SQLite file.
APPLICATION_ID: Final = 0x67617264
_SCHEMA = Path(__file__).with_name("schema.sql")


def make(path: Path) -> None:
    """Write an empty ledger of the newest layout into the empty file `path`."""
    begin = f"INSERT INTO meta (id, epoch, seq, head, held) VALUES (1, 0, 0, '{GENESIS}', '{held_sum(())}')"  # noqa: S608 no foreign text
    marks = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {LAYOUT}"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(f"BEGIN; {_SCHEMA.read_text(encoding='utf-8')}; {begin}; {marks}; COMMIT;")


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a ledger of an earlier layout to the newest one, in one transaction: whatever ends it leaves the old or the new."""
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        (layout,) = connection.execute("PRAGMA user_version").fetchone()
        for number in range(layout, LAYOUT):
            _STEPS[number](connection)
        connection.execute(f"PRAGMA user_version = {LAYOUT}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _to_2(connection: sqlite3.Connection) -> None:
    """Add a sum over the quarantines, which finds any changed, missing or foreign row, and notes of guard for itself."""
    connection.execute(f"ALTER TABLE meta ADD COLUMN held TEXT NOT NULL DEFAULT '{held_sum(())}'")
    rows = connection.execute("SELECT id, state, forgotten_us, document FROM quarantines").fetchall()
    connection.execute("UPDATE meta SET held = ?", (held_sum(rows),))
    connection.execute("CREATE TABLE notes (name TEXT PRIMARY KEY, document TEXT NOT NULL)")


_STEPS: Final[Mapping[int, Callable[[sqlite3.Connection], None]]] = {1: _to_2}
