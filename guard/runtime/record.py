"""A pipeline that writes down all that goes into it, so that a replay decides the same again."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

from guard.model import Batch, Control, Kind, event_key
from guard.pipeline import Pipeline
from guard.runtime.course import CourseWriter

if TYPE_CHECKING:
    from pathlib import Path

    from guard.dsl import Program, RuleSet
    from guard.model import Command, Decision, Market, MarketFacts
    from guard.pipeline import Settings
    from guard.runtime.checkpoint import Entry
    from guard.runtime.clock import SystemClock

__all__ = ["RecordedPipeline", "recorder"]

_EARLIEST_US: Final = 946_684_800_000_000


def recorder(path: Path, *, clock: SystemClock, **options: Any) -> Any:  # noqa: ANN401 - guard imports no connector
    """Return what records to `path`: X.parquet, or a folder of segments; `options` are those of ``guard_tape.Recorder``.

    Raises ConfigurationError where pyarrow is not installed, and StateError where the place cannot be used.
    """
    (point,) = entry_points(group="guard.connectors", name="tape")
    return point.load().recorder(path, clock=clock, **options)


class RecordedPipeline(Pipeline):
    """A pipeline with a recording of its inputs: markets opened, events, rules taken over, orders, and time that passed.

    Parameters
    ----------
    rules, program
        The rules that run first, and what they compile to; others are told by `learn` before they are loaded.
    settings, jit
        As for `Pipeline`.
    writer
        What `recorder` returned; `finish` closes it.

    Notes
    -----
    What is not an event becomes a CONTROL row at the moment it happened, so `guard replay --as-recorded` does it again between the
    same events. Market state that a start took over from an earlier run is on the recording too. The recorder never blocks and
    never raises: a disk that is full ends the recording, and nothing else.
    """

    def __init__(
        self,
        rules: RuleSet,
        program: Program,
        settings: Settings | None = None,
        *,
        writer: Any,  # noqa: ANN401 - of a connector, which guard does not import
        jit: bool = False,
    ) -> None:
        super().__init__(program, settings, jit=jit)
        # A tape's time begins with the year 2000.
        self.now_us = _EARLIEST_US
        self.writer = writer
        self._course = CourseWriter(self.settings, writer.course)
        self._course.learn(rules)
        self._has_begun = False
        self._written_us = 0
        self._row = Batch(1)

    def learn(self, rules: RuleSet) -> None:
        """Keep the text of rules that may be loaded from now on."""
        self._course.learn(rules)

    def open(self, facts: MarketFacts) -> int:
        """Watch a market, and write down when that was."""
        if not self._has_begun:
            self._has_begun = True
            self._course.begin(self.engine.program.hash, now_us=self.now_us, isolation=self.isolation.save(self.now_us))
        row = super().open(facts)
        number = self.writer.market(facts)
        assert number == row
        self._control(Control.OPEN, 0, market=row)
        return row

    def warmed(self, row: int, entry: Entry, *, layout: int, now_us: int) -> None:
        """Write down what `guard.runtime.keeper.Keeper` gives a market that was just opened."""
        self._control(Control.WARM, self._course.warm(row, entry, layout=layout, now_us=now_us), market=row)

    def process(self, batch: Batch) -> Decision:
        """Take a batch of events, and write it down."""
        if len(batch):
            if batch.received_us[0] < self.now_us and self._written_us < self.now_us:
                # These arrived before a moment that the pipeline has reached by the clock; a replay must have reached it too.
                self._control(Control.PASS, 0)
            self.writer.append(batch)
            newest_us = max(batch.received_us[: len(batch)])
            self._written_us = max(self._written_us, newest_us)
        return super().process(batch)

    def load(self, program: Program, now_us: int) -> Decision:
        """Swap the rules, and write down which and when."""
        decision = super().load(program, now_us)
        self._control(Control.RELOAD, event_key(program.hash))
        return decision

    def operate(self, command: Command, now_us: int) -> Decision:
        """Carry out a person's order, and write it down where it was not refused."""
        decision = super().operate(command, now_us)
        self._control(Control.ORDER, self._course.order(command))
        return decision

    def treat(self, market: Market, tags: frozenset[str], listing_risk: float | None, now_us: int) -> Decision:
        """Take what the exchange says of a market from now on, and write it down."""
        decision = super().treat(market, tags, listing_risk, now_us)
        self._control(Control.FACTS, self._course.treat(market, tags, listing_risk))
        return decision

    def finish(self) -> bool:
        """Write down until when time passed, and end the recording; returns whether all of it is there."""
        self._control(Control.PASS, 0)
        return bool(self.writer.close())

    def _control(self, what: Control, key: int, *, market: int = 0) -> None:
        if not self._has_begun:
            # Before the first market nothing depends on rules or time: what runs when it opens is what counts.
            return
        self._row.clear()
        at_us = self._written_us = max(self.now_us, self._written_us)
        self._row.append(Kind.CONTROL, market, at_us=at_us, received_us=at_us, side=what, key=key)
        self.writer.append(self._row)
