"""What a resolved rule is, what it makes of a row, and where its parts stand in the graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from guard.detection.detector import Family
from guard.dsl.patterns import matches_any
from guard.model import RuleMode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.detection.risk import RiskClassifier
    from guard.dsl.rule_models import QuarantineAction, ScopeSpec
    from guard.dsl.terms import Term
    from guard.model import ActionOrder, Level, MarketFacts, Per, Quorum

__all__ = ["Actions", "Factor", "Outcome", "Plan", "Rule", "UsedDetector", "family_of"]

_FAMILY_OF_FACTOR = {
    "price_volatility": Family.PRICE,
    "volume_anomaly": Family.VOLUME,
    "order_book": Family.BOOK,
    "trade_pattern": Family.PATTERN,
}


class Outcome(NamedTuple):
    """What one rule makes of one row.

    `rule` is its number in `Program.rules`. `fires` is True where the market is in scope, `when` holds and no exception does;
    None where that is unknown. `unless` names the first exception that holds. `score` in [0, 1] is None where unknown. `factors`
    are in rule order, in [0, 1], None where unknown or absent. `clears` and `releases` tell whether the condition of clear and of
    release holds. `detectors` are the scores of the detectors in the order of `use`.
    """

    rule: int
    fires: bool | None
    unless: str | None
    score: float | None
    factors: tuple[float | None, ...]
    clears: bool | None
    releases: bool | None
    detectors: tuple[float | None, ...]


class Actions(NamedTuple):
    """What happens at a level: whether people are told, what is held back, and what else is ordered."""

    alert: bool = False
    quarantine: QuarantineAction | None = None
    orders: tuple[ActionOrder, ...] = ()


class Factor(NamedTuple):
    """One factor of a rule; `streams` are those without which it is absent."""

    name: str
    weight: float
    is_optional: bool
    streams: frozenset[str]
    family: Family | None


class UsedDetector(NamedTuple):
    """One detector of a rule, under the rule's own name for it."""

    alias: str
    name: str
    title: str
    family: Family
    is_hard: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """One resolved rule.

    `level` is set where there is no risk. `hash` changes with anything that the rule means, `level_hash` with what decides its
    level. `quorum` is set where markets have one level together, by what `per` says.
    """

    id: str
    number: int
    title: str
    why: str
    mode: RuleMode
    tags: tuple[str, ...]
    hash: str
    level_hash: str
    file: str
    line: int
    scope: ScopeSpec
    per: Per
    quorum: Quorum | None
    level: Level | None
    for_us: int
    clear_for_us: int
    actions: Mapping[Level, Actions]
    factors: tuple[Factor, ...]
    detectors: tuple[UsedDetector, ...]
    unless: tuple[str, ...]
    classifier: RiskClassifier | None

    @property
    def families(self) -> frozenset[Family]:
        """The kinds of evidence of its detectors."""
        return frozenset(detector.family for detector in self.detectors)

    @property
    def lifting(self) -> tuple[int, ...] | None:
        """Which factors, by their place, let it rise above warning; None where it may without one.

        Soft detectors of one family cap at warning unless a factor of another family is at least `risk.SECOND_FAMILY_MIN`.
        """
        families = self.families
        if not self.detectors or len(families) > 1 or any(detector.is_hard for detector in self.detectors):
            return None
        return tuple(at for at, factor in enumerate(self.factors) if (factor.family or factor.name) not in families)

    @property
    def may_hold(self) -> bool:
        """Whether it quarantines at any level."""
        return self.mode is RuleMode.ENFORCE and any(actions.quarantine is not None for actions in self.actions.values())

    def factor_absent(self, facts: MarketFacts) -> tuple[bool, ...]:
        """Return for each factor whether a stream that it needs will never arrive on this market."""
        return tuple(not factor.streams <= facts.streams for factor in self.factors)

    def works_on(self, facts: MarketFacts) -> bool:
        """Whether a market's streams can ever give it a score: without one required factor there is none."""
        absent = self.factor_absent(facts)
        return not self.factors or any(not (factor.is_optional or gone) for factor, gone in zip(self.factors, absent, strict=True))

    def covers(self, facts: MarketFacts) -> bool:
        """Whether the written scope, without ``where``, holds this market."""
        scope, market = self.scope, facts.market
        return (
            self.mode is not RuleMode.DISABLED
            and (not scope.exchange or matches_any(scope.exchange, market.exchange))
            and matches_any(scope.symbol, market.symbol)
            and not matches_any(scope.exclude, market.symbol)
            and (not scope.quote or market.quote in scope.quote)
            and (not scope.market_class or facts.market_class in scope.market_class)
            and (not scope.tags or not facts.tags.isdisjoint(scope.tags))
        )


class Plan(NamedTuple):
    """The nodes of one rule in the graph, and its checked expressions for explanations.

    `parts` are for each detector its score and its other named parts.
    """

    where: int
    fires: int
    unless: tuple[tuple[str, int], ...]
    factors: tuple[int, ...]
    score: int
    clears: int
    releases: int
    detectors: tuple[int, ...]
    evidence: tuple[tuple[tuple[str, int], ...], ...]
    terms: tuple[tuple[str, Term], ...]
    parts: tuple[tuple[tuple[str, Term], ...], ...] = ()

    @property
    def outputs(self) -> tuple[int, ...]:
        """All nodes whose values make an outcome."""
        unless = (node for _, node in self.unless)
        return (self.fires, *unless, *self.factors, self.score, self.clears, self.releases, *self.detectors)


def family_of(name: str, streams: frozenset[str]) -> Family | None:
    """Return the kind of evidence of a factor: by its name among the default four, else by its only stream."""
    if name in _FAMILY_OF_FACTOR:
        return _FAMILY_OF_FACTOR[name]
    return Family.BOOK if streams == frozenset({"book"}) else None
