"""Recordings through the same pipeline that runs live."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from guard.model import Control, Kind
from guard.runtime.blocked import BlockedTime
from guard.runtime.lines import DecisionLog, lines_of
from guard.runtime.native import NativeRules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from guard.model import Batch, Decision, MarketFacts
    from guard.pipeline import Pipeline
    from guard.runtime.clock import SystemClock

__all__ = ["Replay", "opened_tape"]

# What a person did to the recorded run; see `guard.runtime.replay_recorded`.
_OF_PEOPLE: Final = [int(Control.RELOAD), int(Control.ORDER)]
# A replay that has run for so long will run on for long enough to gain more than machine code costs.
_LONG_US: Final = 2_000_000


def opened_tape(paths: Sequence[Path], *, exchange: str, symbols: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - guard imports no connector
    """Return the tape of some files; `exchange` and unified `symbols` name the markets of those that do not tell it."""
    (point,) = entry_points(group="guard.connectors", name="tape")
    return point.load()(paths, exchange=exchange, symbols=symbols)


class Replay:
    """Feed recordings to a pipeline and log what it decides.

    A plain detector is demoted where the recording says so, and nowhere else: what it costs here is nobody's business, and what
    fails is counted in the summary.

    Parameters
    ----------
    pipeline
        A fresh pipeline.
    batch_rows
        Rows given to the pipeline at most at once, > 0; the decisions do not depend on it.
    write
        Takes each record of the decision log.
    compiles_first
        Whether machine code for the rules is made before the first event, which takes seconds that the summary does not count.
        Otherwise it is made beside a replay that runs for long.
    takes_arrays
        Whether the pipeline reads whole columns, numpy arrays then; otherwise it gets lists, the fastest to index row by row.
    watch
        Sees each decision, before its records are written.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        batch_rows: int,
        write: Callable[[dict[str, Any]], None],
        takes_arrays: bool = False,
        compiles_first: bool = False,
        watch: Callable[[Decision], None] | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.log = DecisionLog()
        self.events = 0
        self.markets = 0
        self.left_out = 0
        self._batch_rows = batch_rows
        self._write = write
        self._takes_arrays = takes_arrays
        self._blocked = BlockedTime()
        self._native = NativeRules(pipeline)
        self._compiles_first = compiles_first
        self._watch = watch

    def run(self, paths: Sequence[Path], *, exchange: str, clock: SystemClock) -> dict[str, Any]:
        """Replay the files, merged by time, and return the summary. Raises ConfigurationError for a file that is no tape."""
        return self.play(opened_tape(paths, exchange=exchange), clock=clock)

    def feed(self, opened: Sequence[MarketFacts], batch: Batch) -> None:
        """Take one batch of a tape that others read too; markets that it opens come first."""
        for facts in opened:
            self._open(facts, batch)
        self._process(batch)

    @property
    def blocked_minutes(self) -> float:
        """Minutes in quarantine up to now, summed over targets."""
        return round(self._blocked.minutes(self.pipeline.now_us), 3)

    def play(self, tape: Any, *, clock: SystemClock) -> dict[str, Any]:  # noqa: ANN401 - guard imports no connector
        """Replay what `opened_tape` returned."""
        started_us = clock.monotonic_us()
        native_us = 0 if self._compiles_first else started_us + _LONG_US
        for opened, batch in tape.batches(self._batch_rows):
            for facts in opened:
                self._open(facts, batch)
            now_us = clock.monotonic_us()
            if now_us >= native_us:
                self._native.poll()
            if not native_us:
                self._native.close()
                native_us = clock.monotonic_us() + _LONG_US
                started_us += clock.monotonic_us() - now_us
            self._process(batch)
        seconds = max(1, clock.monotonic_us() - started_us) / 1e6
        self._native.close()
        return {
            "type": "summary",
            "events": self.events,
            "markets": self.markets,
            "seconds": round(seconds, 3),
            "events_per_second": round(self.events / seconds),
            "verdicts": self.log.verdicts,
            "quarantines": len(self.log.quarantines),
            "blocked_minutes": self.blocked_minutes,
            "rejected": dict(tape.rejected),
            "rejected_examples": tape.examples,
            "repeated": tape.repeated,
            "detector_faults": [fault._asdict() for fault in self.pipeline.engine.program.detector_faults],
            "left_out": self.left_out,
            "holes": list(tape.holes),
            "detectors_demoted": list(self.pipeline.engine.demoted),
            **({"actions": ordered} if (ordered := self.pipeline.orders.counts) else {}),
            "digest": self.log.digest,
        }

    def _open(self, facts: MarketFacts, batch: Batch) -> None:
        """Watch a market whose first row begins a batch."""
        del batch
        row = self.pipeline.open(facts)
        assert row == self.markets, "the pipeline is a fresh one"
        self.markets += 1

    def _process(self, batch: Batch) -> None:
        kind = np.asarray(batch.kind)
        controls = kind == int(Kind.CONTROL)
        if controls.any():
            self.left_out += int(np.count_nonzero(np.isin(np.asarray(batch.side)[controls], _OF_PEOPLE)))
        self.events += int(np.count_nonzero(kind <= int(Kind.LEVEL)))
        self._take(self.pipeline.process(batch if self._takes_arrays else batch.plain()))

    def _take(self, decision: Decision) -> None:
        if self._watch is not None:
            self._watch(decision)
        for transition in decision.transitions:
            self._blocked.take(transition)
        for record in lines_of(decision):
            self.log.write(record)
            self._write(record)
