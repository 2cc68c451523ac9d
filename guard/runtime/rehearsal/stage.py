"""Plays a scene through the pipeline and notes, second by second, where the rule stands."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.alerts.orders import ACTION_KINDS
from guard.engine.verdicts import candidate_level, risk_of
from guard.model import Batch, Flag, IsolationState, Level, Market, Mode
from guard.pipeline import Pipeline, Settings
from guard.runtime.lines import lines_of
from guard.runtime.settings import PEERS_MIN

if TYPE_CHECKING:
    from typing import Any

    from guard.dsl import Outcome, Program
    from guard.model import Decision, MarketFacts, Quarantine
    from guard.runtime.rehearsal.market import Row
    from guard.runtime.rehearsal.scene import Scene

__all__ = ["Glance", "Play", "Stand", "play"]

SECOND_US: Final = 1_000_000
_WARM_MARK_US: Final = 30 * SECOND_US
_BATCH: Final = 4096


class Stand(NamedTuple):
    """From `at_us` on (microseconds since the beginning) the rule's level is `level`; `is_blocked` by its quarantine."""

    at_us: int
    level: Level
    is_blocked: bool


class Glance(NamedTuple):
    """What the rule made of a market when it was last evaluated before `at_us`; None where it does not look at it.

    `quorum` is how many markets of its group hold warning or above (or the group's level), and how many are needed.
    """

    at_us: int
    outcome: Outcome | None
    quorum: tuple[int, int] | None = None


class Play:
    """What came of a scene, for one rule.

    `stands` maps each market to the moments at which level or block changed, `glances` to one look a second since the
    beginning; `lines` are the records of the decision log with the time since the beginning, and `others` the quarantines that
    other rules ordered; `orders` counts what the rule would have posted and called, by lane.
    """

    def __init__(self, program: Program, rule: str, markets: tuple[MarketFacts, ...]) -> None:
        self.program = program
        self.rule = next(found for found in program.rules if found.id == rule)
        self.facts = {facts.market: facts for facts in markets}
        self.stands = {market: [Stand(-(1 << 62), Level.NORMAL, is_blocked=False)] for market in self.facts}
        self.glances: dict[Market, list[Glance]] = {market: [] for market in self.facts}
        self.lines: list[tuple[int, dict[str, Any]]] = []
        self.others: list[tuple[int, str, str]] = []
        self.orders: dict[str, int] = {}
        self.events = 0
        self._holds: dict[str, Quarantine] = {}

    def take(self, decision: Decision, begin_us: int) -> None:
        """Note what a decision changes."""
        for entry, line in zip(decision.log, lines_of(decision), strict=True):
            at_us = entry.at_us - begin_us
            self.lines.append((at_us, line))
            if line["type"] == "verdict" and line["rule"] == self.rule.id:
                for market in self._judged_with(Market.parse(line["market"])):
                    self._stand(market, at_us, level=Level[line["level"].upper()])
        for delivery in decision.deliveries:
            if delivery.kind in ACTION_KINDS and delivery.rule == self.rule.id:
                self.orders[delivery.channel] = self.orders.get(delivery.channel, 0) + 1
        for transition in decision.transitions:
            quarantine, at_us = transition.quarantine, transition.at_us - begin_us
            if quarantine.hold.rule == self.rule.id:
                self._holds[quarantine.id] = quarantine
                for market in self.facts:
                    self._stand(market, at_us, is_blocked=self._is_blocked(market))
            elif transition.previous is IsolationState.NORMAL:
                self.others.append((at_us, quarantine.hold.rule, str(quarantine.target)))

    def _judged_with(self, market: Market) -> list[Market]:
        """Return the markets that a verdict on one speaks of: itself, or all of its group."""
        if self.rule.quorum is None:
            return [market]
        per = self.rule.per
        return [
            other for other, facts in self.facts.items() if per.name_of(other) == per.name_of(market) and self.rule.covers(facts)
        ]

    def member(self, group: str) -> Market:
        """Return a market of a group; raises KeyError where the rule has no such group here."""
        return self.groups()[group]

    def groups(self) -> dict[str, Market]:
        """Return the groups of the rule, each with its first market; none where each market is judged alone."""
        found: dict[str, Market] = {}
        for market, facts in self.facts.items() if self.rule.quorum is not None else ():
            if self.rule.covers(facts):
                found.setdefault(self.rule.per.name_of(market), market)
        return found

    def _is_blocked(self, market: Market) -> bool:
        return any(hold.state is IsolationState.QUARANTINED and hold.target.covers(market) for hold in self._holds.values())

    def _stand(self, market: Market, at_us: int, *, level: Level | None = None, is_blocked: bool | None = None) -> None:
        last = self.stands[market][-1]
        stand = Stand(at_us, last.level if level is None else level, last.is_blocked if is_blocked is None else is_blocked)
        if stand[1:] == last[1:]:
            return
        if at_us == last.at_us:
            # A level and the block that comes with it are one change.
            self.stands[market].pop()
        self.stands[market].append(stand)

    def stand(self, market: Market, at_us: int) -> Stand:
        """Return how things stood at a time."""
        stands = self.stands[market]
        return stands[bisect_right(stands, at_us, key=lambda stand: stand.at_us) - 1]

    def known(self, market: Market) -> tuple[int, int]:
        """Return how many of the looks found the rule able to tell, and how many looks there were; markets out of scope count."""
        glances = self.glances[market]
        told = sum(glance.outcome is None or candidate_level(self.rule, glance.outcome) is not None for glance in glances)
        return told, len(glances)

    def factors(self, market: Market, outcome: Outcome) -> dict[str, float | None]:
        """Return the value of each factor of an outcome."""
        return {part.factor: part.value for part in risk_of(self.rule, outcome, self.facts[market]).contributions}


def play(scene: Scene, program: Program, rule: str) -> Play:
    """Play a scene through a fresh pipeline, on virtual time."""
    pipeline = Pipeline(program, Settings(mode=Mode.ENFORCE, references=scene.references, has_peers=_has_peers(scene)))
    found = Play(program, rule, scene.markets)
    rows = {facts.market: pipeline.open(facts) for facts in scene.markets}
    at = 0
    live_us = next((row.at_us for _, row in scene.rows if not row.flags & Flag.BACKFILL), 0)
    mark_us = live_us
    while mark_us <= scene.end_us:
        at = _feed(pipeline, found, scene, at, until_us=mark_us, live_us=live_us)
        found.take(pipeline.advance(scene.begin_us + mark_us), scene.begin_us)
        if mark_us >= 0:
            _look(pipeline, found, rows, mark_us)
        mark_us = min(0, mark_us + _WARM_MARK_US) if mark_us < 0 else mark_us + SECOND_US
    found.events = at
    return found


def _has_peers(scene: Scene) -> bool:
    return len({facts.market.exchange for facts in scene.markets}) >= PEERS_MIN


def _feed(pipeline: Pipeline, found: Play, scene: Scene, at: int, *, until_us: int, live_us: int) -> int:
    """Give the pipeline all rows up to a time and return the place of the next one."""
    batch = Batch(_BATCH)
    while at < len(scene.rows) and scene.rows[at][1].at_us <= until_us:
        if batch.is_full:
            found.take(pipeline.process(batch), scene.begin_us)
            batch.clear()
        market, row = scene.rows[at]
        _append(batch, market, row, scene.begin_us, live_us)
        at += 1
    found.take(pipeline.process(batch), scene.begin_us)
    return at


def _append(batch: Batch, market: int, row: Row, begin_us: int, live_us: int) -> None:
    batch.append(
        row.kind,
        market,
        at_us=begin_us + row.at_us,
        # History arrives as a whole, just before the market is live.
        received_us=begin_us + max(row.at_us, live_us),
        price=row.price,
        amount=row.amount,
        side=row.side,
        key=row.key,
        flags=row.flags,
    )


def _look(pipeline: Pipeline, found: Play, rows: dict[Market, int], at_us: int) -> None:
    for market, row in rows.items():
        pipeline.engine.look(row, pipeline.now_us)
        outcomes = pipeline.engine.watched[row].outcomes
        outcome = next((outcome for outcome in outcomes if outcome.rule == found.rule.number), None)
        quorum = None
        if outcome is not None and found.rule.quorum is not None:
            group = pipeline.engine.groups.of(found.rule, market)
            quorum = (group.held(group.level), group.needed)
        found.glances[market].append(Glance(at_us, outcome, quorum))
