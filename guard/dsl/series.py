"""Rules over given values: each feature and field, and what detectors say, becomes a column of its own."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.dsl.checker import Checker
from guard.dsl.compilation import compile_rules
from guard.dsl.feature_page import fields_of
from guard.dsl.graph import Graph
from guard.dsl.parser import parse
from guard.dsl.problems import did_you_mean
from guard.dsl.rules import RuleSet
from guard.dsl.tables import InstalledDetectors, Tables, installed_tables
from guard.dsl.terms import Names, Scope
from guard.dsl.tokens import ExpressionError, written_quantity
from guard.features.tables import Field, Leaf, Type, Unit

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from guard.detection.detector import Detector
    from guard.dsl.program import Program
    from guard.features.tables import Feature

__all__ = ["Column", "UnknownColumn", "column", "given_program", "written_leaf"]

_PART: Final = re.compile(r"([a-z][a-z0-9_]*)\.([a-z][a-z0-9_]*)\Z")
_UNITS: Final = {Type.DURATION: Unit.DURATION, Type.RATIO: Unit.RATIO}


class Column(NamedTuple):
    """What a series stands for: a leaf of `given_program`, its unit, and the detector of which it is a part (else empty)."""

    leaf: Leaf
    unit: Unit
    alias: str = ""


class UnknownColumn(ValueError):
    """A name of a series that the rule does not read; `start` is the offset of the mistake in it."""

    def __init__(self, code: str, start: int, message: str, hint: str) -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.code, self.start, self.message, self.hint = code, start, message, hint


@cache
def _declared() -> tuple[Field, ...]:
    """Return a field for each feature and field, so that none is expanded."""
    fields, catalogue = installed_tables()
    taken = {feature.name for feature in catalogue}
    return (*map(_as_field, catalogue), *(field for field in fields if field.name not in taken))


def _as_field(feature: Feature) -> Field:
    streams = {field.stream for field in fields_of(feature)} - {"market"}
    stream = "market" if not streams else "book" if streams == {"book"} else "peers" if "peers" in streams else "trades"
    return Field(feature.name, feature.unit, feature.doc, feature.arguments, stream)


def column(program: Program, rule: str, text: str) -> Column:
    """Return what a name such as ``ret(60s)`` or ``pump.score`` stands for in a rule of `program`; raises UnknownColumn."""
    number = next(each.number for each in program.rules if each.id == rule)
    part = _PART.match(text.strip())
    if part is not None:
        return _of_detector(program, number, *part.groups())
    graph = Graph()

    def fail(code: str, start: int, message: str, hint: str) -> None:
        raise UnknownColumn(code, start, message, hint)

    try:
        tree = parse(text)
    except ExpressionError as error:
        raise UnknownColumn(error.code, error.start, error.message, error.hint) from error
    term = Checker(graph, Tables(_declared(), ())).check(tree, Scope(text, Names({}), {}, fail))
    node = graph.nodes[term.node]
    if node.operation == "truth":
        node = graph.nodes[node.arguments[0]]
    if node.operation != "leaf":
        raise UnknownColumn("E078", 0, f"a series stands for one feature, found {text}", "for example ret(60s)")
    unit = Unit.BOOL if term.type is Type.BOOL else term.unit
    return Column(graph.leaves[node.value], unit)


def _of_detector(program: Program, rule: int, alias: str, name: str) -> Column:
    used = next((each for each in program.rules[rule].detectors if each.alias == alias), None)
    known = [each.alias for each in program.rules[rule].detectors]
    if used is None:
        raise UnknownColumn("E078", 0, f"the rule uses no detector as {alias!r}", did_you_mean(alias, known))
    parts = program.parts(rule)[alias]
    if name not in parts:
        raise UnknownColumn("E078", len(alias) + 1, f"{alias} has no part {name!r}", did_you_mean(name, parts))
    return Column(Leaf(f"{used.name}__{name}"), parts[name], alias)


def given_program(rules: RuleSet, program: Program, rule: str, aliases: Collection[str] = ()) -> Program:
    """Return one rule over given values: its leaves are the features that it names.

    Of the detectors `aliases` (the rule's own names) the score and the parts are given; those of other detectors are computed.
    """
    number = next(each.number for each in program.rules if each.id == rule)
    given: dict[str, Any] = {}
    fields: list[Field] = [*_declared()]
    for used in program.rules[number].detectors:
        if used.alias in aliases and used.name not in given:
            parts = program.parts(number)[used.alias]
            stream = "book" if str(used.family) == "book" else "trades"
            fields += [Field(f"{used.name}__{name}", unit, f"{used.title}: {name}", (), stream) for name, unit in parts.items()]
            given[used.name] = _given_detector(used.name, parts)
    source = next(each for each in rules.rules if each.id == rule)
    only = RuleSet((source,), rules.hash, rules.report)
    return compile_rules(only, fields=fields, catalogue=(), detectors=_Instead(given))


class _Instead(InstalledDetectors):
    """The installed detectors, some of them replaced."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__()
        self._given = given

    def __getitem__(self, name: str) -> type[Detector]:
        replaced: type[Detector] | None = self._given.get(name)
        return super().__getitem__(name) if replaced is None else replaced


def _given_detector(name: str, parts: Mapping[str, Unit]) -> type[Any]:
    """Return a detector like an installed one whose score and parts are fields."""
    real = InstalledDetectors()[name]
    named = {part: f"{name}__{part}()" for part in parts if part != "score"}
    body = {
        "name": name, "title": real.title, "family": real.family, "is_hard": real.is_hard, "Parameters": real.Parameters,
        "let": named, "score": f"{name}__score()", "evidence": (),
    }  # fmt: skip
    return type("GivenDetector", (), body)


def written_leaf(leaf: Leaf, program: Program, rule: str) -> str:
    """Return a leaf of `given_program` as its series is named, ``ret(60s)`` or ``pump.score``."""
    name, arguments = leaf
    field = next((each for each in _declared() if each.name == name), None)
    if field is None:
        detector, _, part = name.partition("__")
        found = next(each for each in program.rules if each.id == rule).detectors
        return f"{next(used.alias for used in found if used.name == detector)}.{part}"
    words = [
        (argument, value if isinstance(value, str) else written_quantity(float(value), _UNITS.get(argument.type, Unit.NONE)))
        for argument, value in zip(field.arguments, arguments, strict=True)
        if value != argument.default
    ]
    return f"{name}({', '.join(text if argument.default is None else f'{argument.name}={text}' for argument, text in words)})"
