"""Why a market stands where it stands, as one document: for a running guard, and at any moment of a tape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from guard.dsl.problems import did_you_mean, guessed
from guard.engine import Engine
from guard.errors import OperationRefused
from guard.features.lacking import lasting
from guard.model import Batch, IsolationState, Market, Mode
from guard.model.moments import stamp
from guard.pipeline import Pipeline
from guard.runtime.settings import tape_settings
from guard.runtime.status import quarantine_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guard.dsl import Program
    from guard.model import MarketFacts, Quarantine, Verdict

__all__ = ["At", "explained", "explained_on_tape", "held_record", "of_rule"]

_ROWS: Final = 16_384


class At(NamedTuple):
    """A moment of a tape: microseconds since 1970, or since its first event."""

    us: int
    is_since_start: bool


def explained(pipeline: Pipeline, row: int) -> dict[str, Any]:
    """Return what every rule makes of a market now, what holds it and what would release it, JSON-able."""
    found = pipeline.why(row)
    holds = found.pop("holds")
    told = {each["rule"]: each for each in found["rules"]}
    for each in found["rules"]:
        started_us = each.pop("started_us")
        each["since"] = None if started_us is None else stamp(started_us)
    return {
        **found,
        "mode": str(pipeline.settings.mode),
        "at": stamp(pipeline.now_us),
        "quarantines": [held_record(pipeline, held, told.get(held.hold.rule)) for held in holds],
    }


def held_record(pipeline: Pipeline, held: Quarantine, told: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return one quarantine with what it takes to end it."""
    calm: dict[str, Any] | None = None
    if held.hold.release_for_us is not None and held.state is IsolationState.QUARANTINED:
        counted_us, enough_us = pipeline.isolation.calm_of(held, pipeline.now_us)
        calm = {
            "needs_s": held.hold.release_for_us / 1e6,
            "held_s": counted_us / 1e6,
            "enough": None if enough_us is None else stamp(enough_us),
            "holds": None if told is None else told["release"]["holds"],
            "missing": [] if told is None else told["release"]["missing"] or told["clear"]["missing"],
        }
    release = f'guard quarantine release {held.id} --reason "..."'
    return {**quarantine_record(held), "floor": stamp(held.floor_us), "calm": calm, "release": release}


def of_rule(found: Mapping[str, Any], rule: str) -> dict[str, Any]:
    """Return the same document with one rule only, in or out of scope; raises OperationRefused where there is no such rule."""
    rules = [told for told in found["rules"] if told["rule"] == rule]
    outside = [told for told in found["outside"] if told["rule"] == rule]
    known = [told["rule"] for told in (*found["rules"], *found["outside"])]
    if not rules and not outside and known:
        raise OperationRefused(guessed(f"there is no rule {rule!r}", rule, known))
    return {**found, "rules": rules, "outside": outside}


def explained_on_tape(
    tape: Any,  # noqa: ANN401 - guard imports no connector
    program: Program,
    *,
    rule: str,
    market: str,
    at: At | None = None,
    mode: Mode = Mode.ENFORCE,
    is_jitted: bool = False,
) -> dict[str, Any]:
    """Replay `tape` up to a moment and return what a rule makes of a market then.

    Without `at` it is the moment at which the rule's score was highest there. Raises OperationRefused for a rule or market that
    is not there, or a moment outside of the tape; ConfigurationError for a file that is no tape.
    """
    known = [each.id for each in program.rules]
    if rule not in known:
        raise OperationRefused(guessed(f"there is no rule {rule!r}", rule, known))
    settings = tape_settings(tape, mode=mode)
    which = ""
    if at is None:
        scout = _Scout(program, rule, market, jit=is_jitted)
        at, which = _highest(_Run(tape, Pipeline(program, settings, engine=scout)), scout, market)
    run = _Run(tape, Pipeline(program, settings, jit=is_jitted))
    run.play(at)
    row = run.row_of(market)
    found = of_rule(explained(run.pipeline, row), rule)
    span = {"from": stamp(run.first_us), "since_start_s": (run.pipeline.now_us - run.first_us) / 1e6}
    return {**found, "tape": {**span, "which": which}}


class _Run:
    """One replay of a tape, up to some moment."""

    def __init__(self, tape: Any, pipeline: Pipeline) -> None:  # noqa: ANN401 - guard imports no connector
        self._tape = tape
        self.pipeline = pipeline
        self.first_us = self.last_us = 0
        self._later: dict[Market, int] = {}

    def play(self, until: At | None) -> None:
        """Play up to and with the events of a moment, None = all; raises OperationRefused where the tape does not hold it."""
        limit_us, is_over = None, False
        for opened, batch in self._tape.batches(_ROWS):
            arrivals = np.asarray(batch.received_us)
            if not len(arrivals):
                continue
            if not self.first_us:
                self.first_us = int(arrivals[0])
                limit_us = None if until is None else until.us + (self.first_us if until.is_since_start else 0)
            self.last_us = int(arrivals[-1])
            if is_over:
                self._later.update((facts.market, int(arrivals[0])) for facts in opened)
                continue
            for facts in opened:
                self.pipeline.open(facts)
            stop = len(arrivals) if limit_us is None else int(np.searchsorted(arrivals, limit_us, side="right"))
            part = batch if stop == len(arrivals) else _first(batch, stop)
            self.pipeline.process(part if self.pipeline.engine.kernel.is_jitted else part.plain())
            is_over = stop < len(arrivals)
        if not self.first_us:
            raise OperationRefused("the tape is empty")
        if limit_us is not None:
            if not self.first_us <= limit_us <= self.last_us:
                length = lasting(self.last_us - self.first_us)
                span = f"it goes from {stamp(self.first_us)} to {stamp(self.last_us)} (+{length.replace(' ', '')})"
                raise OperationRefused(f"{stamp(limit_us)} is not on the tape: {span}")
            self.pipeline.advance(limit_us)

    def row_of(self, text: str) -> int:
        """Return the row of a market, given as ``exchange:SYMBOL`` or a symbol that one exchange has; raises OperationRefused."""
        market = market_among((*self.pipeline.engine.markets, *self._later), text)
        if market in self._later and market not in self.pipeline.engine.markets:
            begins = stamp(self._later[market])
            raise OperationRefused(f"nothing of {market} is on the tape up to {stamp(self.pipeline.now_us)}; it begins at {begins}")
        return self.pipeline.engine.markets[market]


def market_among(markets: Iterable[Market], text: str) -> Market:
    """Return the market that a text names among some; raises OperationRefused."""
    known = list(dict.fromkeys(markets))
    found = [market for market in known if text in {str(market), market.symbol}]
    if len(found) == 1:
        return found[0]
    names = [str(market) for market in known]
    hint = did_you_mean(text, names if ":" in text else [market.symbol for market in known])
    if found:
        raise OperationRefused(f"{text} is traded on several exchanges: {', '.join(map(str, found))}")
    more = "" if hint else f"there are {len(names)}: {', '.join(names[:5])}, ..."
    raise OperationRefused(f"{text} is not on the tape; {hint or more}")


def _first(batch: Batch, stop: int) -> Batch:
    return Batch.over(
        kind=batch.kind[:stop],
        market=batch.market[:stop],
        at_us=batch.at_us[:stop],
        received_us=batch.received_us[:stop],
        price=batch.price[:stop],
        amount=batch.amount[:stop],
        side=batch.side[:stop],
        key=batch.key[:stop],
        flags=batch.flags[:stop],
    )


def _highest(run: _Run, scout: _Scout, market: str) -> tuple[At, str]:
    """Return when a rule's score was highest on a market, in words too; the end of the tape where it was never known."""
    run.play(None)
    run.row_of(market)
    if scout.at_us is None:
        lack = "its score was never known" if scout.has_score else "it never fires"
        return At(run.last_us, is_since_start=False), f"the end of the tape: {lack}"
    return At(scout.at_us, is_since_start=False), "its highest score" if scout.has_score else "it fires for the first time"


class _Scout(Engine):
    """Looks at every evaluation of a rule on one market and keeps the moment of its highest score."""

    def __init__(self, program: Program, rule: str, market: str, *, jit: bool) -> None:
        super().__init__(program, jit=jit)
        self.at_us: int | None = None
        found = next(each for each in program.rules if each.id == rule)
        self.has_score = found.classifier is not None
        # A rule without factors scores 1 where it fires, else 0.
        self._score = -1.0 if self.has_score else 0.0
        self._rule = found.number
        self._market = market
        self._rows: set[int] = set()

    def open(self, facts: MarketFacts, *, reference: str | None = None) -> int:
        """Watch a market."""
        row = super().open(facts, reference=reference)
        if self._market in {str(facts.market), facts.market.symbol}:
            self._rows.add(row)
        return row

    def evaluate(self, row: int, now_us: int) -> tuple[Verdict, ...]:
        """Run the rules of one market."""
        verdicts = super().evaluate(row, now_us)
        if row in self._rows:
            # Otherwise evaluations in which no rule says anything new are settled in the kernel.
            self.ask(row)
            score = next((each.score for each in self.watched[row].outcomes if each.rule == self._rule), None)
            if score is not None and score > self._score:
                self._score, self.at_us = score, now_us
        return verdicts
