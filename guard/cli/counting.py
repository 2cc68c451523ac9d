"""Numbers of things as people write them."""

from __future__ import annotations

__all__ = ["many"]


def many(count: int, word: str) -> str:
    """Return a number of things.

    Examples
    --------
    >>> many(1, "market"), many(2000, "market")
    ('1 market', '2,000 markets')
    """
    return f"{count:,} {word}{'' if count == 1 else 's'}"
