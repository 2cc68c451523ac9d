"""Holds what was played against what was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.dsl import Explanation
from guard.engine import missing_to_fire
from guard.engine.missing import below
from guard.engine.verdicts import candidate_level
from guard.features.lacking import lasting
from guard.model import Level, Market, RuleMode
from guard.model.moments import stamp
from guard.runtime.rehearsal.values import is_absolute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.dsl import Rule
    from guard.runtime.rehearsal.scene import Scene
    from guard.runtime.rehearsal.script import Case, Expectation
    from guard.runtime.rehearsal.stage import Glance, Play, Stand

__all__ = ["Miss", "around", "misses", "nearest"]

_SECOND_US: Final = 1_000_000
_AROUND_US: Final = 5 * _SECOND_US
_KNOWN_MIN: Final = 0.5


class Miss(NamedTuple):
    """One expectation that was not met.

    `path` leads from the test's keys to it; `at_us` is the moment to look at, since the beginning. `group` is the one it is about,
    if any; `market` belongs to it then.
    """

    path: tuple[str | int, ...]
    market: Market
    at_us: int
    expected: str
    found: str
    group: str = ""
    floor: Level = Level.NORMAL
    """The level that was expected and not reached."""


def misses(case: Case, scene: Scene, play: Play) -> Iterator[Miss]:
    """Yield what differs from the expectations, in their order."""
    own = Market.parse(case.market)
    met_us = 0
    for number, expectation in enumerate(case.expect):
        market = play.member(expectation.group) if expectation.group else Market.parse(expectation.market or case.market)
        path = ("expect", number)
        if expectation.never is not None:
            miss = _never(expectation, path, market, play)
        elif expectation.at is not None:
            met_us = scene.since_begin(expectation.at)
            miss = _at(expectation, path, market, play, met_us)
        else:
            assert expectation.by is not None
            by_us = scene.since_begin(expectation.by)
            from_us = max(met_us, 0 if expectation.after is None else scene.since_begin(expectation.after))
            met = _first(expectation, play.stands[market], from_us, by_us)
            miss = None if met is not None else _by(expectation, path, market, play, from_us=from_us, by_us=by_us)
            met_us = by_us if met is None else met
        if miss is not None:
            reason = _never_blocks(play.rule) if expectation.blocked else ""
            yield miss._replace(group=expectation.group or "", found=miss.found + reason)
    yield from _quiet_for_a_reason(case, own, play)
    if case.orders is not None and set(case.orders) != set(play.orders):
        expected = f"orders {', '.join(sorted(set(case.orders))) or 'nothing'}"
        yield Miss(("orders",), own, 0, expected, f"it orders {', '.join(sorted(play.orders)) or 'nothing'}")
    for at_us, rule, target in play.others if case.others == "fail" else ():
        yield Miss(("rule",), own, at_us, f"no quarantine by a rule other than {case.rule}", f"{rule} held {target}")


def _never_blocks(rule: Rule) -> str:
    """Return why no market is ever held by a rule, empty where one may be."""
    if rule.mode is not RuleMode.ENFORCE:
        return f"; {rule.id} is in mode {rule.mode} and blocks nothing: only `mode: enforce` does"
    if not any(action.quarantine is not None for action in rule.actions.values()):
        return f"; {rule.id} has no quarantine among its actions"
    return ""


def _quiet_for_a_reason(case: Case, market: Market, play: Play) -> Iterator[Miss]:
    """Yield a miss where the rule stayed silent because it could not tell: that shows nothing."""
    told, looks = play.known(market)
    if case.is_calm and told < _KNOWN_MIN * looks:
        first = next((glance.at_us for glance in play.glances[market] if glance.outcome is not None), 0)
        found = f"it was unknown in {looks - told} of {looks} seconds"
        yield Miss(("expect",), market, first, f"the rule {case.rule} can tell while it stays silent", found)


def _never(expectation: Expectation, path: tuple[str | int, ...], market: Market, play: Play) -> Miss | None:
    floor = expectation.floor
    for stand in _since_begin(play.stands[market]):
        if stand.is_blocked if floor is None else stand.level >= floor:
            return Miss(path, market, max(0, stand.at_us), _expected(expectation), _shown(stand))
    return None


def _at(expectation: Expectation, path: tuple[str | int, ...], market: Market, play: Play, at_us: int) -> Miss | None:
    stand = play.stand(market, at_us)
    if _meets(expectation, stand, is_passing=False):
        return None
    return Miss(path, market, at_us, _expected(expectation), _shown(stand), floor=_wanted(expectation))


def _wanted(expectation: Expectation) -> Level:
    """Return the level that an expectation waits for; a block alone waits for the first one."""
    return expectation.floor or (Level.WARNING if expectation.blocked else Level.NORMAL)


def _by(expectation: Expectation, path: tuple[str | int, ...], market: Market, play: Play, *, from_us: int, by_us: int) -> Miss:
    late = _first(expectation, play.stands[market], by_us, 1 << 62)
    within = [stand for stand in play.stands[market] if from_us < stand.at_us <= by_us] or [play.stand(market, by_us)]
    found = _shown(max(within, key=lambda stand: (stand.level, stand.is_blocked)))
    if late is not None:
        found += f"; so only {(late - by_us) / 1e6:g} s later, at {late / 1e6:g}s"
    return Miss(path, market, by_us, _expected(expectation), found, floor=_wanted(expectation))


def _since_begin(stands: list[Stand]) -> list[Stand]:
    """Return how things stood at the beginning and what changed after it."""
    later = [stand for stand in stands if stand.at_us > 0]
    return [stands[len(stands) - len(later) - 1], *later]


def _first(expectation: Expectation, stands: list[Stand], from_us: int, by_us: int) -> int | None:
    """Return the first moment in a stretch of time at which an expectation is met."""
    for number, stand in enumerate(stands):
        ends_us = stands[number + 1].at_us if number + 1 < len(stands) else 1 << 62
        if ends_us > from_us and stand.at_us <= by_us and _meets(expectation, stand, is_passing=True):
            return max(from_us, stand.at_us)
    return None


def _meets(expectation: Expectation, stand: Stand, *, is_passing: bool) -> bool:
    """Whether things stand as expected; `is_passing` takes a level above for one that was passed."""
    if expectation.blocked is not None and stand.is_blocked is not expectation.blocked:
        return False
    floor = expectation.floor
    if floor is None:
        return True
    is_open_above = expectation.at_least is not None or (is_passing and floor is not Level.NORMAL)
    return stand.level >= floor if is_open_above else stand.level is floor


def _expected(expectation: Expectation) -> str:
    floor = expectation.floor
    if expectation.never is not None:
        return f"never {expectation.never}" + ("" if floor in {None, Level.CRITICAL} else " or worse")
    words = [] if floor is None else [str(floor)]
    if floor not in {None, Level.NORMAL, Level.CRITICAL} and (expectation.at_least or expectation.by is not None):
        words = [f"{floor} or worse"]
    if expectation.blocked is not None:
        words.append("blocked" if expectation.blocked else "not blocked")
    when = expectation.at if expectation.by is None else expectation.by
    assert when is not None
    moment = stamp(when) if is_absolute(when) else f"{when / 1e6:g}s"
    return f"{' and '.join(words)} {'at' if expectation.by is None else 'by'} {moment}"


def _shown(stand: Stand) -> str:
    return f"{stand.level}, {'blocked' if stand.is_blocked else 'not blocked'} (since {max(0, stand.at_us) / 1e6:g}s)"


def nearest(play: Play, miss: Miss) -> dict[str, Any] | None:
    """Return when the rule came nearest to the level that was missed, and what it lacked then; None where nothing was."""
    looks = [glance for glance in play.glances[miss.market] if glance.outcome is not None and glance.at_us <= miss.at_us]
    if miss.floor is Level.NORMAL or not looks:
        return None
    best = max(looks, key=lambda glance: _height(play.rule, glance))
    outcome, rule = best.outcome, play.rule
    assert outcome is not None
    level = candidate_level(rule, outcome)
    found = {"at_s": best.at_us / 1e6, "score": outcome.score}
    if level is not None and level >= miss.floor:
        held = f"{level} has to hold for {lasting(rule.for_us)}" if rule.for_us else ""
        return {**found, "missing": [held]} if held else None
    facts = play.facts[miss.market]
    terms = play.program.terms(rule.number)
    trees = play.program.tracer(rule.number, facts, best.values).explain(term for _, term in terms)
    labelled = tuple(Explanation(label, tree.value, (tree,)) for (label, _), tree in zip(terms, trees, strict=True))
    missing = missing_to_fire(rule, outcome, labelled)
    if not missing and rule.classifier is not None and outcome.score is not None:
        missing = [_above(rule, outcome.score, miss.floor)]
    return {**found, "missing": missing}


def _height(rule: Rule, glance: Glance) -> tuple[Level, bool, float]:
    assert glance.outcome is not None
    score = -1.0 if glance.outcome.score is None else glance.outcome.score
    return candidate_level(rule, glance.outcome) or Level.NORMAL, glance.outcome.fires is True, score


def _above(rule: Rule, score: float, floor: Level) -> str:
    """Return what a rule that fires lacks to a level above its own."""
    assert rule.classifier is not None
    least = dict(zip((Level.WARNING, Level.DANGER, Level.CRITICAL), rule.classifier.thresholds, strict=True))[floor]
    return f"score >= {least:g} (is {below(score, least)})" if score < least else "a factor of another kind that reaches 0.5"


def around(play: Play, miss: Miss) -> list[dict[str, Any]]:
    """Return the ten seconds around a miss: where level, score and factors stood each second, and what was decided between."""
    low, high = miss.at_us - _AROUND_US, miss.at_us + _AROUND_US
    found: list[dict[str, Any]] = []
    for glance in play.glances[miss.market]:
        if low <= glance.at_us <= high:
            stand, outcome = play.stand(miss.market, glance.at_us), glance.outcome
            found.append(
                {
                    "at_s": glance.at_us / 1e6,
                    "level": str(stand.level),
                    "blocked": stand.is_blocked,
                    "in_scope": outcome is not None,
                    "fires": None if outcome is None else outcome.fires,
                    "score": None if outcome is None else outcome.score,
                    "factors": {} if outcome is None else play.factors(miss.market, outcome),
                    **({} if glance.quorum is None else {"quorum": dict(zip(("held", "needed"), glance.quorum, strict=True))}),
                }
            )
    found += [{"at_s": at_us / 1e6, "event": line} for at_us, line in play.lines if low <= at_us <= high]
    found.sort(key=lambda record: record["at_s"])
    return found
