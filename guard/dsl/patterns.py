"""Patterns of names: ``*`` stands for any run of characters, ``?`` for one. Linear in the text, no regular expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["matches", "matches_any"]


def matches(pattern: str, text: str) -> bool:
    """Whether the whole `text` fits `pattern`.

    Examples
    --------
    >>> matches("*/USDT", "PEPE/USDT"), matches("*/USDT", "BTC/USDT:USDT")
    (True, False)
    """
    at = row = 0
    star, mark = -1, 0
    while at < len(text):
        if row < len(pattern) and pattern[row] == "*":
            star, mark = row, at
            row += 1
        elif row < len(pattern) and pattern[row] in ("?", text[at]):
            row, at = row + 1, at + 1
        elif star >= 0:
            row, mark = star + 1, mark + 1
            at = mark
        else:
            return False
    return all(char == "*" for char in pattern[row:])


def matches_any(patterns: Iterable[str], text: str) -> bool:
    """Whether `text` fits one of the patterns."""
    return any(matches(pattern, text) for pattern in patterns)
