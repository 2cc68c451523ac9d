"""The audit trail, read beside a guard that runs: nothing is locked, changed or taken."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from guard.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

__all__ = ["Trail", "read_anchor", "read_rows", "read_standing", "read_trail"]

_PAGE: Final = 5_000
_TIMEOUT_S: Final = 2.0


class Trail(NamedTuple):
    """What a ledger tells of one rule.

    `verdicts` are its audit rows of level changes, oldest first; `begins_us` is when the trail as a whole begins, None where it is
    empty; `is_whole` is False where there were more rows than were looked at.
    """

    verdicts: tuple[Mapping[str, Any], ...]
    begins_us: int | None
    is_whole: bool = True


def read_trail(path: Path, rule: str, *, since_us: int, rows_max: int = 1_000_000) -> Trail:
    """Return what the ledger at `path` tells of a rule since a moment; looks at `rows_max` rows at most, the newest.

    Raises Unavailable where there is no ledger or it cannot be read now.
    """
    with _opened(path) as connection:
        return _read(connection, rule, since_us, rows_max)


def _read(connection: sqlite3.Connection, rule: str, since_us: int, rows_max: int) -> Trail:
    first = connection.execute("SELECT document FROM audit ORDER BY seq LIMIT 1").fetchone()
    begins_us = None if first is None else int(json.loads(first[0])["at_us"])
    sign, found, looked = f'"rule":{json.dumps(rule)}', [], 0
    below = 1 << 62
    while looked < rows_max:
        rows = connection.execute(
            "SELECT seq, document FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?", (below, _PAGE)
        ).fetchall()
        told = [document for text in rows if sign in text[1] for document in (json.loads(text[1]),)]
        found += [each for each in told if each["type"] == "verdict" and each["rule"] == rule and each["at_us"] >= since_us]
        looked += len(rows)
        if len(rows) < _PAGE or json.loads(rows[-1][1])["at_us"] < since_us:
            return Trail(tuple(reversed(found)), begins_us)
        below = rows[-1][0]
    return Trail(tuple(reversed(found)), begins_us, is_whole=False)


def read_rows(
    path: Path,
    *,
    since_us: int,
    rows_max: int = 1_000_000,
    slim: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda row: row,
) -> list[dict[str, Any]]:
    """Return the rows of the audit trail since a moment, oldest first; `rows_max` at most, the newest.

    `slim` returns what is needed of a row, None for nothing: a day may have a hundred thousand, and what is not kept costs nothing.

    Raises Unavailable where there is no ledger or it cannot be read now.
    """
    with _opened(path) as connection:
        found: list[dict[str, Any]] = []
        below, looked = 1 << 62, 0
        while looked < rows_max:
            rows = connection.execute(
                "SELECT seq, document FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?", (below, _PAGE)
            ).fetchall()
            told = [json.loads(text) for _, text in rows]
            found += [needed for row in told if row["at_us"] >= since_us and (needed := slim(row)) is not None]
            looked += len(rows)
            if len(rows) < _PAGE or told[-1]["at_us"] < since_us:
                break
            below = rows[-1][0]
    return found[::-1]


def read_standing(path: Path) -> list[dict[str, Any]]:
    """Return the documents of quarantines that are active, as the ledger has them. Raises Unavailable as `read_rows` does."""
    with _opened(path) as connection:
        rows = connection.execute("SELECT document FROM quarantines WHERE state <> 'normal'").fetchall()
    return [json.loads(text) for (text,) in rows]


def read_anchor(path: Path) -> str | None:
    """Return number and hash of the last row of the audit trail, ``120:3fa9...``; None where it is empty. Raises Unavailable."""
    with _opened(path) as connection:
        last = connection.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    return None if last is None else f"{last[0]}:{last[1]}"


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        raise Unavailable(f"there is no ledger {path}")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, timeout=_TIMEOUT_S)) as connection:
            yield connection
    except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
        raise Unavailable(f"the ledger {path} cannot be read: {error}") from error
