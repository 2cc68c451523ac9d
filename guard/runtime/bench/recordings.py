"""Recordings for `guard.runtime.replay.Replay`, in memory or in Parquet, of markets that a pipeline has open already."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from guard.runtime.bench.workload import batches
from guard.runtime.replay import Replay, opened_tape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from guard.model import Batch
    from guard.pipeline import Pipeline
    from guard.runtime.bench.subject import Build
    from guard.runtime.bench.workload import Columns, Markets
    from guard.runtime.clock import SystemClock

__all__ = ["BATCH_ROWS", "Recorded", "in_memory", "recorded", "replayed", "write_recording"]

# As `guard replay` takes them.
BATCH_ROWS = 65_536
_CONNECTOR = "guard_tape"


class Recorded:
    """A tape whose markets are numbered as the pipeline's are, so that it opens none."""

    rejected: ClassVar[dict[str, int]] = {}
    examples: ClassVar[list[str]] = []
    holes: ClassVar[list[dict[str, Any]]] = []
    repeated = 0

    def __init__(self, read: Callable[[int], Iterator[Batch]]) -> None:
        self._read = read

    def batches(self, rows_max: int) -> Iterator[tuple[tuple[()], Batch]]:
        """Yield the rows."""
        for batch in self._read(rows_max):
            yield (), batch


def in_memory(rows: list[Batch]) -> Recorded:
    """Return batches as a tape."""
    return Recorded(lambda _rows_max: iter(rows))


def recorded(path: Path) -> Recorded:
    """Return a file of `write_recording` as a tape; it is read when it is replayed."""
    return Recorded(lambda rows_max: (batch for _, batch in opened_tape([path], exchange="").batches(rows_max)))


def write_recording(path: Path, markets: Markets, columns: Columns) -> None:
    """Write rows as `guard record` does; the first rows must name the markets in their order. Raises ConfigurationError."""
    # guard imports no connector, so it is asked for by name.
    with import_module(_CONNECTOR).RecordingWriter(path) as writer:
        for facts in markets.facts():
            writer.market(facts)
        for batch in batches(columns):
            writer.append(batch)


def replayed(subject: Pipeline, tape: Recorded, build: Build, *, clock: SystemClock) -> dict[str, Any]:
    """Replay a tape, decision log included, and return the summary."""
    replay = Replay(subject, batch_rows=BATCH_ROWS, write=lambda _record: None, takes_arrays=build.is_jitted)
    return replay.play(tape, clock=clock)
