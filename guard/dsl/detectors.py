"""Detectors in rules: parameters become constants, `let` and `score` become expressions under the rule's own name."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.dsl.document import Entry, Scalar, Table
from guard.dsl.parser import parse
from guard.dsl.plain_detectors import PlainCall
from guard.dsl.problems import did_you_mean
from guard.dsl.rule import UsedDetector
from guard.dsl.syntax import written
from guard.dsl.terms import POISON, Names, Scope, Term, fixed
from guard.dsl.tokens import ExpressionError, quantity, written_quantity
from guard.dsl.validation import validate
from guard.features.tables import Type, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from pydantic import BaseModel

    from guard.detection.detector import Detector, PlainDetector
    from guard.dsl.checker import Checker
    from guard.dsl.graph import Graph
    from guard.dsl.problems import Place, Report

    AnyDetector = type[Detector | PlainDetector]

__all__ = ["Detectors", "Uses"]


class Uses(NamedTuple):
    """The detectors of one rule: names for its expressions, score nodes, evidence, and the broken ones.

    `parts` are for each detector its score and its other named parts, as written in its class.
    """

    names: dict[str, Callable[[], Term]]
    scores: tuple[int, ...]
    evidence: tuple[tuple[tuple[str, int], ...], ...]
    detectors: tuple[UsedDetector, ...]
    broken: tuple[str, ...]
    parts: tuple[tuple[tuple[str, Term], ...], ...] = ()


class Detectors:
    """Checks the ``use:`` of rules."""

    def __init__(self, graph: Graph, checker: Checker, detectors: Mapping[str, AnyDetector]) -> None:
        self._graph = graph
        self._checker = checker
        self._detectors = detectors
        self._calls: dict[tuple[type[PlainDetector], str], PlainCall] = {}
        self._mades: dict[Hashable, _Made] = {}

    def used(self, table: Mapping[str, Entry], report: Report) -> Uses:
        """Return the detectors that a rule's ``use:`` names."""
        names: dict[str, Callable[[], Term]] = {}
        scores: list[int] = []
        evidence: list[tuple[tuple[str, int], ...]] = []
        used: list[UsedDetector] = []
        broken: list[str] = []
        parts: list[tuple[tuple[str, Term], ...]] = []
        for alias, entry in table.items():
            made = self._use(alias, entry, report)
            if made is None:
                broken.append(alias)
                continue
            names.update(made.terms)
            scores.append(made.terms[f"{alias}.score"]().node)
            evidence.append(made.evidence)
            used.append(made.used)
            parts.append(made.parts)
        return Uses(names, tuple(scores), tuple(evidence), tuple(used), tuple(broken), tuple(parts))

    def _use(self, alias: str, entry: Entry, report: Report) -> _Made | None:
        keys = entry.node.entries if isinstance(entry.node, Table) else {}
        named = keys.get("detector")
        if named is None or not isinstance(named.node, Scalar):
            return None
        name, place = named.node.text, named.node.place
        if name not in self._detectors:
            report.add("E050", place, f"there is no detector {name!r}", did_you_mean(name, self._detectors))
            return None
        try:
            detector = self._detectors[name]
        except Exception as error:  # noqa: BLE001 - importing somebody's detector may fail in any way; it is reported at its line
            report.add("E052", place, f"the detector {name!r} cannot be loaded: {type(error).__name__}: {error}")
            return None
        params = keys.get("params")
        # Rules that use one detector alike share what it stands for.
        short = (alias, detector) if params is None else None
        if short in self._mades:
            return self._mades[short]
        model = _parameters(detector, params, place, report)
        if model is None:
            return None
        key = (alias, detector, *model[1].items())
        made = self._mades.get(key) or self._make(alias, detector, *model, place=place, report=report)
        if made is not None:
            self._mades[key] = self._mades[short or key] = made
        return made

    def _make(
        self, alias: str, detector: AnyDetector, model: BaseModel, values: Mapping[str, _Value], *, place: Place, report: Report
    ) -> _Made | None:
        broken: list[str] = []
        written_values = {name: value.text for name, value in values.items()}
        inner = Names({name: self._constant(value) for name, value in values.items()})

        def check(label: str, text: str, names: Names, kind: Type | None = None) -> Term:
            def fail(_code: str, start: int, message: str, hint: str) -> None:
                broken.append(f"{label} at {start}: {message} {hint}".rstrip())

            try:
                tree = parse(text)
            except ExpressionError as error:
                fail(error.code, error.start, error.message, error.hint)
                return POISON
            scope = Scope(text, names, {}, fail, has_strict_units=False)
            return self._checker.number(tree, scope) if kind is Type.NUMBER else self._checker.check(tree, scope)

        definitions: dict[str, Callable[[], Term]] = {}
        named, is_plain = named_formulas(detector)
        label, kind = ("features", Type.NUMBER) if is_plain else ("let", None)
        for name, text in named.items():
            definitions[name] = partial(lambda name, text: check(f"{label}.{name}", text, lets, kind), name, text)
        lets = Names(definitions, inner)
        if isinstance(detector.score, str):
            score = check("score", detector.score, lets, Type.NUMBER)
        else:
            score = self._plain_score(detector, model, lets, broken)
        terms: dict[str, Term] = {f"{alias}.score": Term(f"{alias}.score", score.node, Type.NUMBER)}
        parts = [("score", score)]
        for name in named:
            term = lets.resolve(name)
            assert term is not None
            terms[f"{alias}.{name}"] = Term(f"{alias}.{name}", term.node, term.type, term.unit)
            parts.append((name, term))
        shown = []
        for text in detector.evidence:
            term = check("evidence", text, lets)
            shown.append((written(parse(text), written_values) if not term.is_poison else text, term.node))
        for message in dict.fromkeys(broken):
            report.add("E052", place, f"the detector {detector.name!r} is broken: {message}", "this is a mistake in the detector")
        if broken:
            return None
        used = UsedDetector(alias, detector.name, detector.title, detector.family, detector.is_hard)
        return _Made({name: fixed(term) for name, term in terms.items()}, tuple(shown), used, tuple(parts))

    def _plain_score(self, detector: type[PlainDetector], model: BaseModel, lets: Names, broken: list[str]) -> Term:
        """Return the score of a detector in plain Python; equal uses share one call."""
        terms = [term for name in detector.features if (term := lets.resolve(name)) is not None]
        key = (detector, model.model_dump_json())
        if any(term.is_poison for term in terms):
            return POISON
        if key not in self._calls:
            try:
                self._calls[key] = PlainCall(detector(model), tuple(detector.features))
            except Exception as error:  # noqa: BLE001 - somebody's detector may fail in any way; it is reported at its line
                broken.append(f"{type(error).__name__}: {error}")
                return POISON
        node = self._graph.python(self._calls[key], [term.node for term in terms])
        return Term("score", node, Type.NUMBER, children=tuple(terms))

    def _constant(self, value: _Value) -> Callable[[], Term]:
        return lambda: Term(value.text, self._graph.const(value.value), value.type, value.unit)


class _Made(NamedTuple):
    terms: dict[str, Callable[[], Term]]
    evidence: tuple[tuple[str, int], ...]
    used: UsedDetector
    parts: tuple[tuple[str, Term], ...]


class _Value(NamedTuple):
    value: float | bool | str | tuple[str, ...]
    text: str
    type: Type
    unit: Unit = Unit.NONE


def named_formulas(detector: AnyDetector) -> tuple[Mapping[str, str], bool]:
    """Return the named formulas of a detector, and whether its score is plain Python."""
    if isinstance(detector.score, str):
        return detector.let, False
    return detector.features, True


def _parameters(
    detector: AnyDetector, params: Entry | None, place: Place, report: Report
) -> tuple[BaseModel, dict[str, _Value]] | None:
    node = params.node if params is not None else Table({}, place)
    if not isinstance(node, Table):
        return None
    units: dict[str, Unit] = {}
    entries: dict[str, Entry] = {}
    for name, entry in node.entries.items():
        field = detector.Parameters.model_fields.get(name)
        found = quantity(entry.node.text) if isinstance(entry.node, Scalar) else None
        if found is not None and field is not None and field.annotation in (int, float) and isinstance(entry.node, Scalar):
            units[name] = found[1]
            value = int(found[0]) if field.annotation is int and found[0] == int(found[0]) else found[0]
            entry = Entry(entry.key, Scalar(value, entry.node.text, entry.node.place))  # noqa: PLW2901 - the same entry, read as a number
        entries[name] = entry
    before = report.error_count
    model = validate(detector.Parameters, Table(entries, node.place), report, code="E051")
    if model is None or report.error_count > before:
        return None
    return model, {name: _value(getattr(model, name), units.get(name, Unit.NONE)) for name in type(model).model_fields}


def _value(found: Any, unit: Unit) -> _Value:  # noqa: ANN401 - whatever a detector's author declares
    if isinstance(found, bool):
        return _Value(found, str(found).lower(), Type.BOOL)
    if isinstance(found, timedelta):
        found, unit = found.total_seconds() * 1e6, Unit.DURATION
    if isinstance(found, int | float):
        return _Value(float(found), written_quantity(float(found), unit), Type.NUMBER, unit)
    known = quantity(found) if isinstance(found, str) else None
    if known is not None:
        return _Value(known[0], found, Type.NUMBER, known[1])
    if isinstance(found, str):
        return _Value(found, found, Type.TEXT)
    words = tuple(map(str, found)) if isinstance(found, tuple | list) else (str(found),)
    return _Value(words, ", ".join(words), Type.LIST)
