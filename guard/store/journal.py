"""The journal: what the ledger committed, once more, as JSON lines beside the backups; the second source of a rebuild.

Lines are ``{"begin": {"seq", "head", "epoch"}}`` (the ledger stood there; what an earlier line told beyond it was given up),
``{"hash": ..., "row": {...}}`` (an audit row, its document as it was hashed) and ``{"n": ..., "delivery": {...}}`` (a row of the
outbox as it stood then).
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.store.chain import GENESIS, AuditRow, link
from guard.store.codec import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["Journal", "Told", "begin_line", "delivery_line", "end_of_journals", "read_journals", "row_line"]

_ROW_HEAD, _ROW_MIDDLE, _HASH_DIGITS = '{"hash":"', '","row":', 64
_LINE_MAX = 4 << 20
_TAIL_BYTES = 1 << 20


class Told(NamedTuple):
    """What journals tell: audit rows by number, rows of the outbox by id, the newest epoch, and how many lines were unreadable.

    `is_whole`: they begin with an empty ledger.
    """

    rows: Mapping[int, AuditRow]
    deliveries: Mapping[str, Mapping[str, Any]]
    epoch: int
    unreadable: int
    is_whole: bool

    def after(self, seq: int, head: str) -> Iterator[AuditRow]:
        """Yield the rows that follow row `seq` with hash `head`, up to the first that is missing or does not fit."""
        while (row := self.rows.get(seq + 1)) is not None and link(head, row.document) == row.hash:
            yield row
            seq, head = row.seq, row.hash


def begin_line(seq: int, head: str, epoch: int) -> str:
    """Return the line that says where the ledger stands."""
    return canonical({"begin": {"seq": seq, "head": head, "epoch": epoch}})


def row_line(row: AuditRow) -> str:
    """Return the line of an audit row."""
    return f"{_ROW_HEAD}{row.hash}{_ROW_MIDDLE}{row.document}}}"


def delivery_line(number: int, document: str) -> str:
    """Return the line of a row of the outbox: its rowid and its document."""
    return f'{{"n":{number},"delivery":{document}}}'


def read_journals(paths: Iterable[Path]) -> Told:
    """Read journals, oldest first. A line that cannot be read is counted and passed over; the hashes tell what is missing."""
    rows: dict[int, AuditRow] = {}
    deliveries: dict[str, Mapping[str, Any]] = {}
    epoch = unreadable = 0
    is_whole = False
    for path in paths:
        for line in _lines(path):
            try:
                entry = _entry(line)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                unreadable += 1
                continue
            if isinstance(entry, AuditRow):
                rows[entry.seq] = entry
            elif "begin" in entry:
                epoch = max(epoch, entry["epoch"])
                is_whole = is_whole or entry["seq"] == 0
                for seq in [seq for seq in rows if seq > entry["seq"]]:
                    del rows[seq]
            elif entry:
                deliveries[entry["id"]] = entry
    return Told(rows, deliveries, epoch, unreadable, is_whole)


def end_of_journals(paths: Sequence[Path]) -> tuple[int, str]:
    """Return number and hash of the last row that the newest journal tells, 0 where there is none; reads its last megabyte only."""
    if not paths:
        return 0, GENESIS
    with paths[-1].open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        lines = file.read().split(b"\n")
    for line in reversed(lines[:-1]):
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            document = json.loads(line)
            if "row" in document:
                return int(document["row"]["seq"]), str(document["hash"])
            if "begin" in document:
                return int(document["begin"]["seq"]), str(document["begin"]["head"])
    return 0, GENESIS


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while line := file.readline(_LINE_MAX):
            # The last line of a guard that was killed may be a part of one.
            yield line


def _entry(line: bytes) -> AuditRow | Mapping[str, Any]:
    if not line.endswith(b"\n"):
        raise ValueError("a line without an end")
    text = line[:-1].decode("ascii")
    document = json.loads(text)
    if "row" in document:
        at = len(_ROW_HEAD) + _HASH_DIGITS
        row, raw = document["row"], text[at + len(_ROW_MIDDLE) : -1]
        if not text.startswith(_ROW_HEAD) or text[at : at + len(_ROW_MIDDLE)] != _ROW_MIDDLE:
            raise ValueError("a row that guard did not write")
        return AuditRow(int(row["seq"]), str(row["target"]), raw, document["hash"])
    if "begin" in document:
        begin = document["begin"]
        return {"begin": True, "seq": int(begin["seq"]), "head": str(begin["head"]), "epoch": int(begin["epoch"])}
    if "held" in document:
        # Rows tell it; an export says it for people.
        return {}
    delivery: Mapping[str, Any] = document["delivery"]
    if not isinstance(delivery["id"], str):
        raise TypeError("a delivery without an id")
    return delivery


class Journal:
    """One journal's file, written at its end. Blocks; for one thread at a time.

    Parameters
    ----------
    path
        The file; made, readable by its owner only, when it is not there. A part of a line at its end is cut off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._size = self._whole_lines()
        os.ftruncate(self._file, self._size)

    @property
    def size(self) -> int:
        """Bytes that are written and on the disk."""
        return self._size

    def append(self, lines: Iterable[str]) -> None:
        """Write lines and wait until they are on the disk. Raises OSError; the file then ends where it ended before."""
        content = "".join(f"{line}\n" for line in lines).encode("ascii")
        written = 0
        try:
            while written < len(content):
                written += os.pwrite(self._file, memoryview(content)[written:], self._size + written)
            os.fdatasync(self._file)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += written

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _whole_lines(self) -> int:
        size = os.fstat(self._file).st_size
        while size > 0:
            start = max(0, size - _LINE_MAX)
            found = os.pread(self._file, size - start, start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            size = start
        return 0
