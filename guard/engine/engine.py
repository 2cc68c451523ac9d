"""Events in, verdicts out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.engine.deadlines import Deadlines
from guard.engine.verdicts import candidate_level, verdict_of
from guard.engine.watched import Watched
from guard.engine.why import why_rule
from guard.features.kernel import Kernel
from guard.model import Channel, DataState, Kind, Market, RuleMode, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.dsl import Program
    from guard.model import Batch, MarketFacts, Verdict

__all__ = ["Engine"]

# One bin of the kernel: what arrived after the last evaluation is looked at when its bin is over.
_BIN_US = 50_000
# How often an open episode or a quarantine is looked at while nothing arrives.
_OPEN_US = 1_000_000
# A silent market whose rules look at the age of data is looked at less and less often.
_IDLE_MAX_US = 60_000_000


class Engine:
    """Every market's features, rules and levels; the same verdicts for the same events, however they are cut into batches.

    Parameters
    ----------
    program
        The compiled rules.

    Notes
    -----
    `apply` folds one row in and evaluates where the kernel asks for it; `fire` evaluates what is due. Time is the local time of
    arrival (`received_us`); windows roll by exchange time.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.kernel = Kernel(program.leaves)
        self.markets: dict[Market, int] = {}
        self.watched: list[Watched] = []
        self.evaluations = 0
        self._deadlines = Deadlines()
        self._references: dict[str, str] = {}

    def open(self, facts: MarketFacts, *, reference: str | None = None) -> int:
        """Watch a market and return its row. `reference` is the symbol that leads its exchange."""
        row = self.kernel.open(facts)
        assert row == len(self.watched)
        self.markets[facts.market] = row
        self.watched.append(Watched(facts, self.program))
        if reference:
            self._references[facts.market.exchange] = reference
        self._join_references(facts.market.exchange)
        return row

    def _join_references(self, exchange: str) -> None:
        leader = self.markets.get(Market(exchange, self._references.get(exchange, "")))
        for market, row in self.markets.items():
            if market.exchange == exchange:
                self.kernel.set_reference(row, leader if row != leader else None)

    @property
    def next_deadline_us(self) -> int | None:
        """When something is due next."""
        return self._deadlines.next_us

    def apply(self, batch: Batch, i: int, now_us: int) -> tuple[int, tuple[Verdict, ...]] | None:
        """Fold row `i` of `batch` in at `now_us`; returns the market's row and its verdicts where it was evaluated."""
        row = batch.market[i]
        watched = self.watched[row]
        if batch.kind[i] == Kind.STATUS:
            watched.health.tell(Channel(batch.side[i]), Status(batch.key[i]))
        is_due = self.kernel.apply(batch, i)
        watched.last_received_us = now_us
        if is_due:
            return row, self.evaluate(row, batch.at_us[i], now_us)
        if not watched.is_open and self._deadlines.get(row) is None:
            self._deadlines.set(row, now_us + _BIN_US)
        return None

    def fire(self) -> tuple[int, int, tuple[Verdict, ...]]:
        """Evaluate the market whose deadline is the earliest; returns the due time, its row and its verdicts."""
        due_us, row = self._deadlines.pop()
        at_us, received_us = self.kernel.last(row)
        self.kernel.advance(row, at_us + max(0, due_us - received_us))
        return due_us, row, self.evaluate(row, at_us + max(0, due_us - received_us), due_us)

    def evaluate(self, row: int, at_us: int, now_us: int) -> tuple[Verdict, ...]:
        """Run the rules of one market on what is known now and return the levels that changed."""
        watched = self.watched[row]
        self.evaluations += 1
        self.kernel.read(row, at_us, now_us, watched.values)
        watched.outcomes = watched.binding.evaluate(watched.values)
        verdicts: list[Verdict] = []
        for outcome, episode in zip(watched.outcomes, watched.episodes, strict=True):
            if episode.is_idle and outcome.fires is False:
                continue
            rule = self.program.rules[outcome.rule]
            before = episode.level
            candidate = candidate_level(rule, outcome)
            if episode.update(now_us, candidate, clears=outcome.clears):
                verdicts.append(verdict_of(self.program, watched, rule, outcome, episode, before=before, at_us=now_us))
        self._deadlines.set(row, self._next_look(watched, now_us))
        return tuple(verdicts)

    def _next_look(self, watched: Watched, now_us: int) -> int | None:
        if watched.is_open:
            watched.idle_us = 0
            dues = [due for episode in watched.episodes if (due := episode.due_us) is not None and due > now_us]
            return min([now_us + _OPEN_US, *dues])
        if not watched.looks_at_age:
            return None
        is_fresh = now_us - watched.last_received_us < _OPEN_US
        watched.idle_us = _OPEN_US if is_fresh else min(2 * max(watched.idle_us, _OPEN_US), _IDLE_MAX_US)
        return now_us + watched.idle_us

    def releases(self, row: int) -> Iterator[tuple[str, bool | None]]:
        """Yield each rule of a market with what its release condition said last; unknown while its data is not ready."""
        watched = self.watched[row]
        is_ready = watched.health.is_live
        for outcome in watched.outcomes:
            yield self.program.rules[outcome.rule].id, outcome.releases if is_ready else None

    def hold(self, row: int, *, is_held: bool, now_us: int) -> None:
        """Keep looking at a market because a quarantine waits for calm there, or stop doing so."""
        watched = self.watched[row]
        if watched.is_held != is_held:
            watched.is_held = is_held
            self._deadlines.set(row, self._next_look(watched, now_us))

    def data_state(self, row: int, now_us: int) -> DataState:
        """Return how good the data of a market is."""
        watched = self.watched[row]
        return watched.health.state(
            now_us,
            is_covered=self.kernel.data_ready(row),
            is_degraded=any(
                episode.is_unknown(now_us)
                for number, episode in zip(watched.binding.rules, watched.episodes, strict=True)
                if self.program.rules[number].mode is not RuleMode.SHADOW
            ),
        )

    def load(self, program: Program, now_us: int) -> None:
        """Swap the rules; those that are unchanged keep their episodes and timers."""
        self.kernel.adopt(program.leaves)
        for row, watched in enumerate(self.watched):
            rules = [self.program.rules[index] for index in watched.binding.rules]
            watched.bind(program, kept={rule.hash: e for rule, e in zip(rules, watched.episodes, strict=True)})
            self._deadlines.set(row, now_us + _BIN_US)
        self.program = program

    def why(self, row: int) -> list[dict[str, Any]]:
        """Return what every rule makes of a market, as of its last evaluation."""
        watched = self.watched[row]
        return [
            why_rule(self.program, watched, self.program.rules[outcome.rule], outcome, episode)
            for outcome, episode in zip(watched.outcomes, watched.episodes, strict=False)
        ]

    def save(self) -> dict[str, Any]:
        """Return the state as JSON-able values; `restore` takes it back into an engine with the same rules and markets."""
        return {
            "kernel": self.kernel.save(),
            "deadlines": [self._deadlines.get(row) for row in range(len(self.watched))],
            "markets": [
                {
                    "health": watched.health.save(),
                    "is_held": watched.is_held,
                    "idle_us": watched.idle_us,
                    "last_received_us": watched.last_received_us,
                    "episodes": [episode.save() for episode in watched.episodes],
                }
                for watched in self.watched
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `save` returned."""
        self.kernel.restore(state["kernel"])
        for row, due_us in enumerate(state["deadlines"]):
            self._deadlines.set(row, due_us)
        for watched, saved in zip(self.watched, state["markets"], strict=True):
            watched.health.restore(saved["health"])
            watched.is_held, watched.idle_us = saved["is_held"], saved["idle_us"]
            watched.last_received_us = saved["last_received_us"]
            for episode, kept in zip(watched.episodes, saved["episodes"], strict=True):
                episode.restore(kept)
