"""What peers that evaluate one expression share: rows of names and values, made before the timed part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peer import timed

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["EXPRESSION", "evaluated"]

EXPRESSION = "a > 3 and (b + c) / d > 0.5"
TIMES = 3


def evaluated(path: str, evaluate: Callable[[dict[str, float]], object]) -> Callable[[], tuple[float, int]]:
    """Return what runs a round: the expression over all rows, a few times."""
    import numpy as np

    columns = np.load(path)
    rows = [dict(zip("abcd", values, strict=True)) for values in zip(*(columns[name].tolist() for name in "abcd"), strict=True)]

    def run() -> None:
        for _ in range(TIMES):
            for row in rows:
                evaluate(row)

    return lambda: (timed(run), TIMES * len(rows))
