"""A recording of a live run, with the rules, reloads and orders of that run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from guard.model import Batch, Control, Kind
from guard.pipeline import Pipeline
from guard.runtime.clock import SystemClock
from guard.runtime.keeper import Keeper, Rows
from guard.runtime.replay import Replay

if TYPE_CHECKING:
    from guard.model import MarketFacts
    from guard.runtime.course import Course, Warmth

__all__ = ["RecordedReplay", "recorded_pipeline"]

_OURS: Final = sorted(frozenset(Control) - {Control.DEMOTE_DETECTOR})
# A replay keeps nothing for later.
_NO_FILE: Final = Path("checkpoint")
_NO_CLOCK: Final = SystemClock()
_COLUMNS: Final = ("kind", "market", "at_us", "received_us", "price", "amount", "side", "key", "flags")


def recorded_pipeline(course: Course, *, jit: bool) -> Pipeline:
    """Return a pipeline that stands as the recorded one did when its recording began. Raises ConfigurationError."""
    pipeline = Pipeline(course.program(course.first), course.settings, jit=jit)
    pipeline.now_us = course.now_us
    pipeline.isolation.load(course.isolation)
    return pipeline


class RecordedReplay(Replay):
    """Does what the CONTROL rows of a recording say, at exactly their place.

    Parameters
    ----------
    pipeline
        From `recorded_pipeline`.
    course
        The rules and orders that the rows name.
    options
        As for `Replay`.
    """

    def __init__(self, pipeline: Pipeline, course: Course, **options: Any) -> None:  # noqa: ANN401 - as for Replay
        super().__init__(pipeline, **options)
        self._course = course
        self.reloads = 0

    def _open(self, facts: MarketFacts, batch: Batch) -> None:
        # The row that opens a market is its first; in the run time had passed up to it.
        self._take(self.pipeline.advance(int(batch.received_us[0])))
        super()._open(facts, batch)

    def _process(self, batch: Batch) -> None:
        kind, side = np.asarray(batch.kind), np.asarray(batch.side)
        (places,) = np.nonzero((kind == int(Kind.CONTROL)) & np.isin(side, _OURS))
        start = 0
        for place in places.tolist():
            self._events(batch, start, place)
            self._do(int(side[place]), int(batch.key[place]), int(batch.received_us[place]))
            start = place + 1
        self._events(batch, start, len(batch))

    def _events(self, batch: Batch, start: int, stop: int) -> None:
        if start < stop:
            whole = start == 0 and stop == len(batch)
            super()._process(batch if whole else Batch.over(**{name: getattr(batch, name)[start:stop] for name in _COLUMNS}))

    def _do(self, what: int, key: int, at_us: int) -> None:
        if what == Control.RELOAD:
            self._take(self.pipeline.load(self._course.program(key), at_us))
            self.reloads += 1
        elif what == Control.ORDER:
            self._take(self.pipeline.operate(self._course.order(key), at_us))
        elif what == Control.FACTS:
            self._take(self.pipeline.treat(*self._course.treated(key), at_us))
        else:
            self._take(self.pipeline.advance(at_us))
            if what == Control.WARM:
                self._warm(self._course.warmth(key))

    def _warm(self, warmth: Warmth) -> None:
        """Give a market what the run gave it."""
        kernel = self.pipeline.engine.kernel
        if not isinstance(kernel, Rows) or kernel.layout_version != warmth.layout:
            raise self._course.other_layout(warmth.layout)
        keeper = Keeper(self.pipeline, kernel, _NO_FILE, clock=_NO_CLOCK, committed=_never)
        keeper.give(warmth.row, warmth.entry, warmth.now_us)


async def _never() -> bool:
    return False
