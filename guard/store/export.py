"""Write a ledger out as JSON lines, in the form of journals: trail, what is held, outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.errors import OperationRefused
from guard.store.chain import GENESIS, AuditRow
from guard.store.journal import begin_line, delivery_line, row_line
from guard.store.verify import reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["export_lines"]

_PAGE = 1_000


def export_lines(path: Path, since_seq: int = 0) -> Iterator[str]:
    """Yield the lines of a ledger as it stands now, with audit rows after `since_seq`.

    After the rows come what is held, as ``{"held": {...}}``, and the outbox. Raises OperationRefused where there is no such row.
    """
    with reading(path) as connection:
        (epoch,) = connection.execute("SELECT epoch FROM meta").fetchone()
        head = GENESIS
        if since_seq:
            found = connection.execute("SELECT hash FROM audit WHERE seq = ?", (since_seq,)).fetchone()
            if found is None:
                raise OperationRefused(f"the ledger {path} has no entry {since_seq}")
            (head,) = found
        yield begin_line(since_seq, head, epoch)
        seq = since_seq
        while rows := connection.execute(
            "SELECT seq, target, document, hash FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", (seq, _PAGE)
        ).fetchall():
            for row in rows:
                yield row_line(AuditRow(*row))
            seq = rows[-1][0]
        for (document,) in connection.execute("SELECT document FROM quarantines WHERE state != 'normal' ORDER BY id"):
            yield f'{{"held":{document}}}'
        for number, document in connection.execute("SELECT rowid, document FROM outbox ORDER BY rowid"):
            yield delivery_line(number, document)
