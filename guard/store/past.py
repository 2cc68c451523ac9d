"""What reports are made of besides the ledger: prices after blocks, and hourly sums. It may be lost without harm to anybody."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from guard.errors import Unavailable
from guard.model.aftermath import Aftermath

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["HOUR_US", "HourSum", "PastStore", "read_past"]

HOUR_US: Final = 3_600_000_000
_SCHEMA: Final = Path(__file__).with_name("report_schema.sql")
_LAYOUT: Final = 1
_TIMEOUT_S: Final = 2.0
_ROWS_MAX: Final = 200_000


class HourSum(NamedTuple):
    """A sum over one hour: `what` was counted (``live_seconds``), for which `name` (``binance``)."""

    hour_us: int
    what: str
    name: str
    amount: float


class PastStore:
    """The file of a running guard. Blocks: call it in a thread.

    Parameters
    ----------
    path
        The file, made with mode 0600 where there is none. One that cannot be read is moved aside, as ``.bad``, and begun anew.
    keep_us
        How long rows are kept, microseconds, > 0.

    Notes
    -----
    ``synchronous=NORMAL``: power loss may cost the last seconds. Raises Unavailable where the file cannot be used.
    """

    def __init__(self, path: Path, *, keep_us: int) -> None:
        self.path = path
        self._keep_us = keep_us
        self.was_bad = False

    def open(self) -> None:
        """Make the file, or look it over."""
        try:
            self._prepare()
        except sqlite3.DatabaseError:
            self.was_bad = True
            try:
                for end in ("-wal", "-shm"):
                    self.path.with_name(self.path.name + end).unlink(missing_ok=True)
                self.path.replace(self.path.with_name(self.path.name + ".bad"))
                self._prepare()
            except (OSError, sqlite3.Error) as error:
                raise Unavailable(f"{self.path} cannot be begun anew: {error}") from error
        except OSError as error:
            raise Unavailable(f"{self.path} cannot be made: {error}") from error

    def unfinished(self, now_us: int) -> list[Aftermath]:
        """Return the blocks whose prices are not all known, oldest first."""
        with self._opened() as connection:
            rows = connection.execute(
                "SELECT document FROM aftermaths WHERE is_whole = 0 AND opened_us <= ? ORDER BY opened_us LIMIT ?",
                (now_us, _ROWS_MAX),
            ).fetchall()
        return [_aftermath(text) for (text,) in rows]

    def write(self, aftermaths: Sequence[Aftermath], sums: Mapping[tuple[int, str, str], float], now_us: int) -> bool:
        """Put rows in, add to the sums of hours, and let go of what is older than is kept; all or nothing. Returns True."""
        blocks = [(one.id, one.opened_us, int(all(one.closed)), json.dumps(one._asdict())) for one in aftermaths]
        with self._opened() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR REPLACE INTO aftermaths VALUES (?, ?, ?, ?)", blocks)
            connection.executemany(
                "INSERT INTO hours VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET amount = amount + excluded.amount",
                [(*key, amount) for key, amount in sums.items()],
            )
            connection.execute("DELETE FROM aftermaths WHERE opened_us < ?", (now_us - self._keep_us,))
            connection.execute("DELETE FROM hours WHERE hour_us < ?", (now_us - self._keep_us,))
        return True

    def _prepare(self) -> None:
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        self.path.chmod(0o600)
        with self._connected() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            (layout,) = connection.execute("PRAGMA user_version").fetchone()
            if layout > _LAYOUT:
                raise sqlite3.DatabaseError("it was written by a newer guard")
            connection.executescript(_SCHEMA.read_text(encoding="utf-8"))
            connection.execute(f"PRAGMA user_version = {_LAYOUT}")
            for _ in connection.execute("PRAGMA quick_check(1)"):
                pass
            connection.execute("SELECT count(*), max(document) FROM aftermaths").fetchall()
            connection.execute("SELECT sum(amount) FROM hours").fetchall()

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._connected() as connection:
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(f"{self.path} cannot be used: {error}") from error

    def _connected(self) -> closing[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=_TIMEOUT_S)
        connection.execute("PRAGMA synchronous = NORMAL")
        return closing(connection)


def read_past(path: Path, *, since_us: int) -> tuple[tuple[Aftermath, ...], tuple[HourSum, ...]]:
    """Return the blocks since a moment, oldest first, and the sums of the hours since then, beside a guard that runs.

    Nothing where there is no file yet. Raises Unavailable where it cannot be read.
    """
    if not path.is_file():
        return (), ()
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, timeout=_TIMEOUT_S)) as connection:
            blocks = connection.execute(
                "SELECT document FROM aftermaths WHERE opened_us >= ? ORDER BY opened_us LIMIT ?", (since_us, _ROWS_MAX)
            ).fetchall()
            hours = connection.execute(
                "SELECT hour_us, what, name, amount FROM hours WHERE hour_us >= ? ORDER BY hour_us, what, name LIMIT ?",
                (since_us - since_us % HOUR_US, _ROWS_MAX),
            ).fetchall()
        return tuple(_aftermath(text) for (text,) in blocks), tuple(HourSum(*row) for row in hours)
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise Unavailable(f"{path} cannot be read: {error}") from error


def _aftermath(text: str) -> Aftermath:
    found = Aftermath(**json.loads(text))
    return found._replace(prices=tuple(found.prices), closed=tuple(found.closed))
