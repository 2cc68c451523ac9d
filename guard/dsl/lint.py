"""What is said of a rule that can be used, but hardly does what was wanted: the warnings on the rule as a whole."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.detection.risk import SECOND_FAMILY_MIN, with_best
from guard.dsl.atoms import Span, atoms, clashes, implies
from guard.dsl.document import Items, Node, Scalar, Table
from guard.dsl.graph import BOOLEAN
from guard.dsl.operations import OPERATIONS, UNKNOWN
from guard.dsl.tokens import written_quantity
from guard.features.tables import Unit
from guard.model import Level, RuleMode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard.dsl.advice import Advice
    from guard.dsl.graph import Graph
    from guard.dsl.problems import Place, Report
    from guard.dsl.rule import Factor, Plan, Rule
    from guard.dsl.rule_models import RuleSpec
    from guard.dsl.rules import RuleSource

__all__ = ["lint_rule"]

_OPAQUE: Final = frozenset({"fact", "leaf", "python", "same", "in", "known", "known_truth", "default", "default_truth"})
_MOVES: Final = frozenset({"ret", "log_ret", "residual_ret", "mid_ret", "peers_ret", "reference_ret", "lead"})
_HOLD_MIN: Final = 2.0
_RISING: Final = (Level.WARNING, Level.DANGER, Level.CRITICAL)


class _Subject(NamedTuple):
    """One sound rule with all that is known of it."""

    source: RuleSource
    spec: RuleSpec
    rule: Rule
    plan: Plan
    graph: Graph
    advice: Advice
    report: Report

    def key(self, *path: str) -> Place:
        """Return where a key stands, the rule's own where it is not written."""
        owner = self.source.at(*path[:-1])
        entry = owner.entries.get(path[-1]) if isinstance(owner, Table) else None
        return self.source.place if entry is None else entry.key

    def value(self, *path: str) -> Place:
        """Return where a value stands, the rule's key where it is not written."""
        node = self.source.at(*path)
        return self.source.place if node is None else node.place


def lint_rule(source: RuleSource, made: tuple[Rule, Plan], graph: Graph, advice: Advice, report: Report) -> None:
    """Report what is odd about one sound rule; a disabled one is left in peace."""
    rule, plan = made
    if source.spec is None or rule.mode is RuleMode.DISABLED:
        return
    subject = _Subject(source, source.spec, rule, plan, graph, advice, report)
    _flapping(subject)
    _exclusions(subject)
    _long_hold(subject)
    reached = _reached(subject)
    _unreached_actions(subject, reached)
    _enforcement(subject, reached)


def _flapping(subject: _Subject) -> None:
    """Warn where clear or release holds by the score alone while the level that it ends does."""
    rule, plan = subject.rule, subject.plan
    if rule.classifier is None:
        return
    thresholds = dict(zip(_RISING, rule.classifier.thresholds, strict=True))
    if subject.source.at("clear", "when") is not None:
        _tell_flapping(subject, plan.clears, "clear.when", subject.value("clear", "when"), Level.WARNING, thresholds)
    for name, place in _releases(subject):
        _tell_flapping(subject, plan.releases, "release.when", place, Level[name.upper()], thresholds)


def _tell_flapping(  # noqa: PLR0917 - all of it is about one condition
    subject: _Subject, node: int, label: str, place: Place, level: Level, thresholds: dict[Level, float]
) -> None:
    for reached in (one for one in _RISING if one >= level):
        score = thresholds[reached]
        if truth_at(subject.graph, node, subject.plan.score, score) is True:
            message = f"{label} holds at a score of {score:g}, where {reached} begins: it will flap"
            subject.report.add(
                "W005", place, message, f"for example {label.partition('.')[0]}: {{when: score < {score * 0.75:.2g}}}"
            )
            return


def _releases(subject: _Subject) -> Iterator[tuple[str, Place]]:
    """Yield the level and place of each condition of release."""
    actions = subject.source.at("actions")
    for level, entry in actions.entries.items() if isinstance(actions, Table) else ():
        for step in entry.node.items if isinstance(entry.node, Items) else ():
            node: Node | None = step
            for key in ("quarantine", "release", "when"):
                child = node.entries.get(key) if isinstance(node, Table) else None
                node = None if child is None else child.node
            if isinstance(node, Scalar):
                yield level, node.place


def truth_at(graph: Graph, node: int, score: int, value: float) -> Any:  # noqa: ANN401 - a number, a truth value, or None
    """Return what a node says where the score is `value` and nothing else is known; None and NaN are unknown."""
    values: dict[int, Any] = {score: value}
    # What only the score rests on is not looked at: most of a rule.
    stack = [node]
    while stack:
        at = stack[-1]
        found = graph.nodes[at]
        if at not in values:
            if found.operation == "const":
                values[at] = found.value
            elif found.operation in _OPAQUE or found.operation == "score":
                values[at] = None if found.operation in BOOLEAN else UNKNOWN
            elif waiting := [argument for argument in found.arguments if argument not in values]:
                stack += waiting
                continue
            else:
                values[at] = OPERATIONS[found.operation](*(values[argument] for argument in found.arguments))
        stack.pop()
    return values[node]


def _exclusions(subject: _Subject) -> None:
    """Warn where scope and condition exclude each other, or an exception always holds when the condition does."""
    graph, terms = subject.graph, dict(subject.plan.terms)
    where, when = terms.get("scope.where"), terms.get("when")
    if when is None or graph.nodes[when.node].operation == "const":
        return
    if where is not None and any(found.kind == "excludes" for found in clashes(graph, [where.node, when.node], "and")):
        message = f"scope.where ({where.text}) and when never hold together"
        subject.report.add("W007", subject.value("when"), message, "one of the two bounds, or its direction, is wrong")
    for name, node in subject.plan.unless:
        if graph.nodes[node].operation != "const" and implies(graph, when.node, node):
            message = f"the exception {name} holds whenever the condition does: the rule never fires"
            subject.report.add("W009", subject.value("unless", name), message, "an exception is narrower than when:")


def _long_hold(subject: _Subject) -> None:
    """Warn where a move over a short window must hold for much longer than the window."""
    when = dict(subject.plan.terms).get("when")
    if when is None:
        return
    for node, says in atoms(subject.graph, when.node):
        move = _move(subject, node)
        if move is None or not isinstance(says, Span) or subject.rule.for_us <= _HOLD_MIN * move[1]:
            continue
        least = max(says.low, -says.high)
        if 0.0 < least < math.inf:
            name, window_us = move
            held, window = (written_quantity(us, Unit.DURATION) for us in (float(subject.rule.for_us), window_us))
            total = written_quantity(round(least * subject.rule.for_us / window_us, 4), Unit.RATIO)
            step = written_quantity(least, Unit.RATIO)
            message = f"for: {held} is long for {name}({window}): {step} in {window}, held for {held}, is a move of {total} in all"
            subject.report.add("W010", subject.value("for"), message, "shorten for:, or look at a longer window")


def _move(subject: _Subject, node: int) -> tuple[str, float] | None:
    """Return name and window of the return that a number is made of, its sign apart."""
    called = subject.advice.called.get(node)
    if called is not None:
        return (called.name, called.window_us) if called.name in _MOVES and called.window_us else None
    found = subject.graph.nodes[node]
    if found.operation in ("abs", "negative"):
        return _move(subject, found.arguments[0])
    if found.operation == "max" and subject.graph.nodes[found.arguments[1]].operation == "const":
        return _move(subject, found.arguments[0])
    return None


class _Reach(NamedTuple):
    """The highest level that a rule reaches, and why it goes no further."""

    level: Level
    because: str


def _reached(subject: _Subject) -> _Reach:
    rule, ranges = subject.rule, subject.advice.ranges
    highs = [min(max(ranges.of(node)[1], 0.0), 1.0) for node in subject.plan.factors]
    cap = None
    if rule.lifting is not None and not any(highs[at] >= SECOND_FAMILY_MIN for at in rule.lifting):
        names = ", ".join(detector.name for detector in rule.detectors)
        lift = f"a factor of another kind that reaches {SECOND_FAMILY_MIN:g}"
        cap = f"soft detectors of one kind ({names}) stay at warning without {lift}"
    if rule.classifier is None:
        assert rule.level is not None
        if cap is not None and rule.level > Level.WARNING:
            return _Reach(Level.WARNING, cap)
        return _Reach(rule.level, f"level: is {rule.level}")
    score = _highest(rule.factors, highs)
    level = rule.classifier.level(score + 1e-9)
    if cap is not None and level > Level.WARNING:
        return _Reach(Level.WARNING, cap)
    return _Reach(level, f"the score is never above {score:.3g}")


def _highest(factors: Sequence[Factor], highs: Sequence[float]) -> float:
    """Return the highest score; factors whose stream is not subscribed take no part, which may leave a higher mean."""
    streams = sorted(frozenset().union(*(factor.streams for factor in factors)))
    found = 0.0
    for count in range(len(streams) + 1):
        for gone in map(frozenset, combinations(streams, count)):
            here = [(factor, high) for factor, high in zip(factors, highs, strict=True) if not factor.streams & gone]
            required = [(factor.weight, high) for factor, high in here if not factor.is_optional]
            if required:
                total = sum(weight * high for weight, high in required)
                optional = [(factor.weight, high) for factor, high in here if factor.is_optional]
                found = max(found, with_best(total, sum(weight for weight, _ in required), optional))
    return found


def _unreached_actions(subject: _Subject, reach: _Reach) -> None:
    """Warn of actions that never happen, and of a rule that never leaves normal."""
    report = subject.report
    if reach.level is Level.NORMAL:
        report.add(
            "W011", subject.source.place, f"the rule never leaves normal: {reach.because}", "lower levels:, or raise a factor"
        )
        return
    own = [level for level in _RISING if str(level) in subject.spec.actions]
    for level in (one for one in own if one > reach.level):
        if subject.source.at("actions", str(level)) is not None:
            report.add(
                "W011", subject.key("actions", str(level)), f"{level} is never reached: {reach.because}", _remedy(subject, reach)
            )
    fixed = subject.rule.level
    if fixed is None:
        return
    if fixed > reach.level and not any(one > reach.level for one in own):
        report.add("W011", subject.value("level"), f"{fixed} is never reached: {reach.because}", _remedy(subject, reach))
    used = max((one for one in own if one <= reach.level), default=Level.NORMAL)
    for level in (one for one in own if one < used):
        if subject.source.at("actions", str(level)) is not None:
            message = f"actions at {level} never happen: level: is {fixed}, and {used} has actions of its own"
            report.add("W011", subject.key("actions", str(level)), message, f"move them to {used}:")


def _remedy(subject: _Subject, reach: _Reach) -> str:
    if subject.rule.lifting is not None and reach.level is Level.WARNING and reach.because.startswith("soft"):
        return "add a factor on price, volume, book or pattern that the detector does not look at; or act at warning"
    return "lower levels:, raise a factor, or act at a lower level"


def _enforcement(subject: _Subject, reach: _Reach) -> None:
    """Warn where a rule may hold markets and never does, or would and tells nobody why."""
    if subject.rule.mode is not RuleMode.ENFORCE:
        return
    place, report = subject.key("mode"), subject.report
    reached = [actions for level, actions in subject.rule.actions.items() if level <= reach.level]
    if all(actions.quarantine is None and not actions.orders for actions in reached):
        message = "the mode is enforce, but no level that is reached has a quarantine"
        report.add("W012", place, message, "actions: {danger: [alert, {quarantine: {for: 30m}}]}, or mode: alert")
    missing = [key for key, text in (("title", subject.spec.title), ("why", subject.spec.why)) if not text.strip()]
    if missing:
        message = f"a rule that may hold a market back has no {' and no '.join(f'{key}:' for key in missing)}"
        report.add("W015", subject.source.place, message, "people read it when they are woken")
