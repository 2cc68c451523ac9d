"""One recording, replayed once for each value of a rule's numbers."""

from __future__ import annotations

import gc
import statistics
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.dsl import compile_rules
from guard.dsl.parameters import with_values
from guard.dsl.problems import Report
from guard.errors import OperationRefused, RuleError
from guard.pipeline import Pipeline
from guard.runtime.comparison import unseen
from guard.runtime.crew import can_fork, in_order
from guard.runtime.kept_tape import KEPT_ROWS_MAX, KeptTape, kept
from guard.runtime.replay import Replay, opened_tape
from guard.runtime.settings import tape_settings
from guard.runtime.spans import Spans
from guard.runtime.truth import found

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from guard.dsl import RuleSet
    from guard.dsl.trials import Setting
    from guard.model import MarketFacts
    from guard.runtime.truth import Truth

__all__ = ["Measured", "Sweep", "Tried", "sweep"]

_BATCH_ROWS: Final = 16_384


class Tried(NamedTuple):
    """What a rule made of the recordings with one setting.

    `verdicts`, `quarantines`, `blocked_minutes` and what was `found` are the rule's own; `blocked_minutes_all` and `digest` are of
    all rules, the same that `guard replay` tells. `found_events`, `detections` and `others` are None where nothing is known of
    what happened, `delay_s`, the median from the start of what happened to the quarantine, also where nothing was found.
    """

    verdicts: dict[str, int]
    quarantines: int
    blocked_minutes: float
    blocked_minutes_all: float
    digest: str
    events: int
    markets: int
    known: int | None = None
    found_events: int | None = None
    detections: int | None = None
    others: int | None = None
    delay_s: float | None = None
    unseen: tuple[str, ...] = ()


class Measured(NamedTuple):
    """A setting with what came of it, or why nothing did."""

    number: int
    tried: Tried | None
    error: str | None


@dataclass
class Sweep:
    """What is replayed, and how.

    Parameters
    ----------
    files, exchange
        The recordings, as `guard.runtime.replay.opened_tape` takes them.
    rules, rule
        The set, and the rule that gets other values.
    settings
        What is tried.
    truths
        What is known to have happened.
    jit
        Whether the kernel runs compiled.
    rows_max
        Rows that are kept in memory at most; longer recordings are read anew for each setting.

    Notes
    -----
    All rules of the set run each time, so each setting gives the log that `guard replay` gives with that override.
    """

    files: Sequence[Path]
    exchange: str
    rules: RuleSet
    rule: str
    settings: Sequence[Setting]
    truths: Sequence[Truth] = ()
    jit: bool = False
    rows_max: int = KEPT_ROWS_MAX
    _kept: KeptTape | None = field(default=None, init=False, repr=False)
    _is_too_long: bool = field(default=False, init=False, repr=False)

    def keep(self) -> bool:
        """Read the recordings into memory; False where they are too long.

        Raises ConfigurationError for a file that is no tape, OperationRefused where there is no event.
        """
        if self._kept is None and not self._is_too_long:
            self._kept = kept(opened_tape(self.files, exchange=self.exchange), rows_max=self.rows_max)
            self._is_too_long = self._kept is None
        if self._kept is not None and not self._kept.rows:
            raise OperationRefused("the recordings hold no event, so nothing can be tried on them")
        return self._kept is not None

    def warm(self) -> None:
        """Load compiled code, which children that are copies of this process then have."""
        Pipeline(compile_rules(self.rules), jit=self.jit)

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs; it reads the recordings by itself."""
        return {**self.__dict__, "_kept": None}

    def replay(self, number: int) -> Tried:
        """Replay with one setting."""
        report = Report()
        rules = with_values(self.rules, self.rule, self.settings[number].values, report)
        if report.errors:
            raise RuleError(*report.errors)
        program = compile_rules(rules)
        spans = Spans([self.rule])
        tape: Any = self._kept if self.keep() else opened_tape(self.files, exchange=self.exchange)
        pipeline = Pipeline(program, tape_settings(tape), jit=self.jit)
        run = Replay(pipeline, batch_rows=_BATCH_ROWS, write=lambda _record: None, takes_arrays=self.jit, watch=spans.take)
        markets: list[MarketFacts] = []
        from_us: int | None = None
        for opened, batch in tape.batches(_BATCH_ROWS):
            from_us = int(batch.received_us[0]) if from_us is None else from_us
            markets += opened
            run.feed(opened, batch)
        assert from_us is not None
        now_us, stays = pipeline.now_us, spans.stays
        known = found(self.truths, stays, [facts.market for facts in markets], from_us=from_us, to_us=now_us)
        tried = Tried(
            spans.verdicts,
            spans.quarantines,
            round(spans.blocked.minutes(now_us), 3),
            run.blocked_minutes,
            run.log.digest,
            run.events,
            run.markets,
            unseen=next((row.streams for row in unseen(program, markets) if row.rule == self.rule), ()),
        )
        if not self.truths:
            return tried
        delay_s = statistics.median(known.delays_us) / 1e6 if known.delays_us else None
        return tried._replace(
            known=known.events, found_events=known.found, detections=known.detections, others=known.others, delay_s=delay_s
        )


def sweep(asked: Sweep, *, jobs: int) -> Generator[Measured]:
    """Replay with every setting, in up to `jobs` processes, and yield them in their order as soon as they are there.

    Notes
    -----
    Where the system allows it, the recordings are read once, compiled code is loaded once, and the processes begin as copies of
    this one. A setting that fails says why and loses no other. Raises as `Sweep.keep` does, before anything is replayed.
    """
    count = len(asked.settings)
    # Wrong files are told of at once, and not by each process.
    forks = asked.keep() and jobs > 1 and count > 1 and can_fork()
    if forks:
        asked.warm()
        # What lives now lives on in all copies: collecting it there would copy its pages.
        gc.collect()
        gc.freeze()
    try:
        with closing(in_order(asked.replay, count, jobs=jobs, forks=forks)) as running:
            for done in running:
                yield Measured(done.number, done.answer, done.error)
    finally:
        gc.unfreeze()
