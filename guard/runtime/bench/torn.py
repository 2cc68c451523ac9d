"""Whether a reader ever takes a mixture of two publications for one, while another process publishes as fast as it can."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from guard.client.layout import Word, slot_at, slot_word, top_bytes
from guard.client.packing import Overwritten, split
from guard.client.snapshot import Mapping
from guard.runtime.bench.publishing import STATES, writer
from guard.runtime.bench.rows import Bar, Row, judged, unjudged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.runtime.bench.plan import Plan
    from guard.runtime.clock import SystemClock

__all__ = ["Torn", "measure", "stress"]

_SECONDS = 30.0
_MARKETS = 480
_ENTRY = struct.Struct("<III")


class Torn(NamedTuple):
    """What was seen: whole reads, how often they had to begin anew, and how many were mixtures or older than the one before.

    The last two are those of a reader that trusts every byte.
    """

    reads: int
    races: int
    undetected: int
    backward: int
    publications: int
    careless_reads: int
    careless_torn: int


def measure(plan: Plan) -> Iterator[Row]:
    """Yield the mixtures that a reader did not notice in half a minute; a reader without checksums must notice some."""
    with TemporaryDirectory(prefix="guard-bench-") as folder:
        seen = stress(Path(folder), _SECONDS * plan.scale, plan.clock)
    title = (
        f"mixtures of two publications that {seen.reads:,} reads took for one, beside {seen.publications:,} publications; "
        f"{seen.races:,} reads began anew, and without checksums {seen.careless_torn:,} of {seen.careless_reads:,} were a mixture"
    )
    row = Row("t", title, "reads", "any", Bar(0.0, is_ceiling=True))
    wrong = [float(seen.undetected + seen.backward)]
    yield judged(row, wrong) if seen.careless_torn else unjudged(row, wrong, "the control saw no mixture: nothing was tried")


def stress(folder: Path, seconds: float, clock: SystemClock, *, markets: int = _MARKETS) -> Torn:
    """Read for a time, in turn with all checks and without any, what another process publishes as fast as it can."""
    with writer(folder, markets, 0.0, seconds + 5.0):
        mapping = Mapping(str(folder / "guard.snapshot"))
        reads = races = undetected = backward = newest = careless_torn = 0
        ends_us = clock.monotonic_us() + round(seconds * 1e6)
        while clock.monotonic_us() < ends_us:
            careless_torn += _is_mixture(mapping)
            generation, snapshot = mapping.load()
            assert snapshot is not None
            try:
                told = {view[3] for view in snapshot.markets.values()}
            except Overwritten:
                races += 1
                continue
            reads += 1
            undetected += told != {snapshot.seq} or snapshot.seq != generation % STATES
            backward += generation < newest
            newest = generation
        publications = mapping.words[Word.GENERATION]
    return Torn(reads, races, undetected, backward, publications, reads + races, careless_torn)


def _is_mixture(mapping: Mapping) -> bool:
    """Read as one would without checksums and generations, part by part, and tell whether that was a mixture."""
    words = mapping.words
    generation = words[Word.GENERATION]
    at = slot_at(generation, mapping.slot_bytes)
    length = words[slot_word(generation).length]
    try:
        start = os.pread(mapping.descriptor, length, at)
        frame = split(start[: top_bytes(start)])
        rows = [
            json.loads(os.pread(mapping.descriptor, size, at + offset)) for offset, size, _ in _ENTRY.iter_unpack(frame.buckets)
        ]
    except ValueError:
        return True
    return {view[3] for found in rows for view in found.values()} != {frame.seq}
