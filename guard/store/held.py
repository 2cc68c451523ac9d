"""One number over all rows of the table of quarantines, kept up row by row: any other table has another one."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    HeldRow = tuple[str, str, int, str]

__all__ = ["held_sum"]

_MODULUS = 1 << 256


def held_sum(added: Iterable[HeldRow], *, removed: Iterable[HeldRow] = (), before: str = "") -> str:
    """Return the sum after rows (id, state, forgotten_us, document) came and went; 64 hex digits, whatever their order.

    Examples
    --------
    >>> one, two = ("a", "normal", 5, "{}"), ("b", "normal", 5, "{}")
    >>> held_sum([one], before=held_sum([two])) == held_sum([one, two])
    True
    >>> held_sum([], removed=[two], before=held_sum([one, two])) == held_sum([one])
    True
    """
    total = int(before or "0", 16) + sum(map(_number, added)) - sum(map(_number, removed))
    return f"{total % _MODULUS:064x}"


def _number(row: HeldRow) -> int:
    return int.from_bytes(sha256("\n".join(map(str, row)).encode("utf-8", "surrogatepass")).digest(), "big")
