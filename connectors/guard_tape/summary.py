"""What is on a tape, and a tape as one recording."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from guard.model import Kind
from guard_tape.cutting import ContentDigest
from guard_tape.writer import RecordingWriter

if TYPE_CHECKING:
    from pathlib import Path

    from guard.model import Batch, MarketFacts
    from guard_tape.tape import Tape

__all__ = ["convert", "summarize"]

_ROWS = 1 << 16


def summarize(tape: Tape) -> dict[str, Any]:
    """Read a tape to its end and return what is on it, JSON-able."""
    markets: list[MarketFacts] = []
    kinds: Counter[int] = Counter()
    rows: Counter[int] = Counter()
    times: list[tuple[int, int]] = []
    digest = ContentDigest()
    gaps: Counter[int] = Counter()
    for opened, batch in tape.batches(_ROWS):
        markets += opened
        digest.take(opened, batch)
        gaps.update(_counts(np.asarray(batch.market)[np.asarray(batch.kind) == int(Kind.GAP)]))
        kinds.update(_counts(batch.kind))
        rows.update(_counts(batch.market))
        times.append(_first_and_last(batch))
        times[:] = [(min(first for first, _ in times), max(last for _, last in times))]
    return {
        "rows": kinds.total(),
        "kinds": {kind.name.lower(): kinds[kind] for kind in Kind if kinds[kind]},
        "first_us": times[0][0] if times else None,
        "last_us": times[0][1] if times else None,
        "markets": [
            {
                "market": str(facts.market),
                "class": str(facts.market_class),
                "streams": sorted(facts.streams),
                "rows": rows[number],
                "gaps": gaps[number],
            }
            for number, facts in enumerate(markets)
        ],
        "rule_sets": sorted(tape.course.get("rules", ())) if tape.course is not None else [],
        "runs": tape.runs,
        "holes": tape.holes,
        "digest": digest.text,
        "repeated": tape.repeated,
        "rejected": dict(tape.rejected),
        "rejected_examples": tape.examples,
    }


def _counts(column: Any) -> dict[int, int]:  # noqa: ANN401 - a column of a batch
    counts = np.bincount(column)
    (found,) = np.nonzero(counts)
    return {int(number): int(counts[number]) for number in found}


def _first_and_last(batch: Batch) -> tuple[int, int]:
    at_us = np.asarray(batch.at_us)
    return int(at_us.min()), int(at_us.max())


def convert(tape: Tape, path: Path) -> dict[str, Any]:
    """Write a tape as one recording and return what was written, JSON-able. Raises ConfigurationError."""
    markets = 0
    with RecordingWriter(path) as writer:
        for opened, batch in tape.batches(_ROWS):
            for facts in opened:
                writer.market(facts)
                markets += 1
            writer.append(batch)
        if tape.course is not None:
            writer.course(tape.course)
    return {
        "file": str(path),
        "rows": writer.rows,
        "markets": markets,
        "bytes": path.stat().st_size,
        "repeated": tape.repeated,
        "rejected": dict(tape.rejected),
        "rejected_examples": tape.examples,
    }
