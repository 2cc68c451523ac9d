"""A second of what `guard bench --only t` does for half a minute, with a control that must fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.runtime.bench.torn import stress
from guard.runtime.clock import SystemClock

if TYPE_CHECKING:
    from pathlib import Path


def test_no_mixture_of_publications_is_taken_for_one_and_a_careless_reader_takes_some(tmp_path: Path) -> None:
    careless = reads = 0
    for attempt in range(60):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        seen = stress(folder, 1.0, SystemClock())
        assert (seen.undetected, seen.backward) == (0, 0)
        careless += seen.careless_torn
        reads += seen.reads
        if careless and reads > 100:
            break
    assert careless > 0
    assert reads > 100
