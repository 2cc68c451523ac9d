"""A recording that is read once and replayed many times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from guard.model import Batch, MarketFacts

__all__ = ["KEPT_ROWS_MAX", "KeptTape", "kept"]

KEPT_ROWS_MAX: Final = 8_000_000
"""Rows of 46 bytes that are held in memory at most."""
_BATCH_ROWS: Final = 16_384


class KeptTape:
    """The batches of a tape, in memory; nothing that replays them may change them."""

    def __init__(self, batches: list[tuple[tuple[MarketFacts, ...], Batch]], tape: Any) -> None:  # noqa: ANN401 - guard imports no connector
        self.rejected: Mapping[str, int] = dict(tape.rejected)
        self.exchanges: set[str] = tape.exchanges
        self.rows = sum(len(batch) for _, batch in batches)
        self._batches = batches

    def batches(self, rows_max: int) -> Iterator[tuple[tuple[MarketFacts, ...], Batch]]:
        """Yield what was kept, in batches as they were read, whatever `rows_max` is: decisions do not depend on it."""
        del rows_max
        yield from self._batches


def kept(tape: Any, *, rows_max: int = KEPT_ROWS_MAX) -> KeptTape | None:  # noqa: ANN401 - guard imports no connector
    """Read a tape into memory; None where it has more than `rows_max` rows.

    Raises ConfigurationError for a file that is no tape.
    """
    batches, rows = [], 0
    for opened, batch in tape.batches(_BATCH_ROWS):
        rows += len(batch)
        if rows > rows_max:
            return None
        batches.append((opened, batch))
    return KeptTape(batches, tape)
