"""What is fuzzed. A target takes any text, and may only refuse it in guard's own words."""

from __future__ import annotations

import json
from functools import cache, partial
from math import nan
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from fuzz import seeds
from pydantic import TypeAdapter, ValidationError

from guard.cli.durations import parse_duration
from guard.dsl import load_guard, matches, rules_from_text
from guard.dsl.compilation import compiled
from guard.dsl.describe import origins, shown
from guard.dsl.parser import parse
from guard.dsl.problems import Report
from guard.dsl.reading import read_text, resolve
from guard.dsl.syntax import written
from guard.dsl.tables import InstalledDetectors
from guard.dsl.tokens import ExpressionError, quantity, tokenize, written_quantity
from guard.dsl.validation import validate
from guard.dsl.values import Moment, Ratio, Written, duration_us
from guard.errors import ConfigurationError
from guard.model import Market, MarketClass, MarketFacts
from guard.runtime.rehearsal.script import CaseFile
from guard.runtime.rehearsal.values import Amount, Changed, Moved, Multiple, Rate, Share, When

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.dsl import Program
    from guard.errors import Problem

__all__ = ["TARGETS", "Target"]

_FILE_MAX = 16 * 1024
_EXPRESSION_MAX = 9_000
_FACTS = (
    MarketFacts(Market("binance", "BTC/USDT")),
    MarketFacts(Market("okx", "1INCH/USDT:USDT"), MarketClass.PERP, tags=frozenset({"thin"})),
)
_SCREENED_MAX = 5
_DETECTORS = InstalledDetectors()
_ROWS = (nan, 0.0, 1.0, -1e308, 1e308)


class Target(NamedTuple):
    """One fuzzer: what it starts from, what it calls, the longest text that it makes, and how long a case may take, in seconds."""

    name: str
    seeds: Callable[[], Sequence[str]]
    run: Callable[[str], object]
    limit: int
    slow_s: float = 0.05


def tokens(text: str) -> None:
    """Cut a text into words."""
    try:
        found = tokenize(text)
    except ExpressionError as error:
        _placed(error, text)
        return
    assert all(text[token.start : token.end].strip("'\"$") == token.text.strip("'\"$") for token in found[:-1])


def expression(text: str) -> None:
    """Parse a text, write the tree, parse that again, and check it as condition, factor and clear of a rule."""
    try:
        tree = parse(text)
    except ExpressionError as error:
        _placed(error, text)
    else:
        again = written(tree)
        assert written(parse(again)) == again, again
    quoted = json.dumps(text)
    found = rules_from_text(
        "lists: {majors: [BTC/USDT]}\nrules:\n  one:\n    use: {pump: {detector: pump_dump}}\n"
        f"    when: {quoted}\n    risk: {{x: {{weight: 1, value: {quoted}}}}}\n    clear: {{when: {quoted}}}\n",
        report := Report(),
    )
    _use(compiled(found, report, detectors=_DETECTORS))
    _told(report.problems)


def yaml(text: str) -> None:
    """Read a text as YAML."""
    report = Report()
    read_text("x.yaml", text, report)
    _told(report.problems)


def pack(text: str) -> None:
    """Read, check, compile, bind, evaluate, explain and show a whole rule file."""
    report = Report()
    rules = rules_from_text(text, report)
    _use(compiled(rules, report, detectors=_DETECTORS))
    for rule in rules.rules:
        if rule.spec is not None:
            shown(rule, resolved=True)
            origins(rule)
    _told(report.problems)


def screens(text: str) -> None:
    """Check a whole rule file and make what looks out for a market: the machine's code and the generated screen."""
    report = Report()
    program = compiled(rules_from_text(text, report), report, detectors=_DETECTORS)
    if program is not None and len(program.rules) <= _SCREENED_MAX:
        program.prepare(_FACTS)


def configuration(text: str) -> None:
    """Load a whole guard.yaml."""
    path = _folder() / "guard.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        load_guard(path, {})
    except ConfigurationError as error:
        _told(error.problems)


def case(text: str) -> None:
    """Validate a file of tests."""
    report = Report()
    root = read_text("x.test.yaml", text, report)
    if root is not None:
        validate(CaseFile, root, report)
    _told(report.problems)


def small(text: str) -> None:
    """Read a text as everything small: durations, quantities, moves, rates, moments, patterns, markets."""
    for read in _readers():
        try:
            read(text)
        except (ValueError, ValidationError):
            continue
    found = quantity(text)
    if found is not None:
        written_quantity(*found)
    resolve(text)
    half = len(text) // 2
    matches(text[:half], text[half:])
    matches(text, text)
    matches("*".join(text[:64]), text)
    market = None
    try:
        market = Market.parse(text)
    except ValueError:
        return
    assert str(market) == text
    _ = market.base, market.quote


def _placed(error: ExpressionError, text: str) -> None:
    assert 0 <= error.start <= len(text), error.start


def _use(program: Program | None) -> None:
    if program is None:
        return
    few = range(len(program.rules))[:2]
    for facts in _FACTS:
        binding = program.bind(facts)
        for value in _ROWS:
            row = (value,) * len(program.leaves)
            for outcome in binding.evaluate(row):
                assert outcome.score is None or 0.0 <= outcome.score <= 1.0, outcome
    for rule in few:
        program.explain(binding, rule, row)
        program.evidence(rule, row)


def _told(problems: Sequence[Problem]) -> None:
    """Every problem can be printed and stands in its file."""
    for problem in problems:
        assert problem.line >= 1
        assert problem.column >= 1
        str(problem).encode("utf-8", "backslashreplace")
    assert sum(len(str(problem)) for problem in problems) < 1_000_000


@cache
def _readers() -> tuple[Callable[[str], object], ...]:
    kinds = (Moment, Ratio, Written, Amount, Changed, Moved, Multiple, Rate, Share, When)
    adapters = [TypeAdapter(kind) for kind in kinds]
    return (duration_us, parse_duration, *(partial(adapter.validate_python) for adapter in adapters))


@cache
def _folder() -> Path:
    folder = TemporaryDirectory(prefix="guard-fuzz-")
    _KEPT.append(folder)
    return Path(folder.name)


_KEPT: list[TemporaryDirectory[str]] = []

TARGETS = {
    target.name: target
    for target in (
        Target("tokens", seeds.expressions, tokens, _EXPRESSION_MAX),
        Target("expression", seeds.expressions, expression, _EXPRESSION_MAX),
        Target("yaml", lambda: (*seeds.packs(), *seeds.cases(), *seeds.configurations(), *seeds.nasty_files()), yaml, _FILE_MAX),
        Target("pack", lambda: (*seeds.packs(), *seeds.nasty_files()), pack, _FILE_MAX),
        # No check runs through this: a reload does, in a thread, once for each kind of market.
        Target("screens", lambda: (*seeds.packs(), *seeds.nasty_files()), screens, _FILE_MAX, 0.5),
        Target("configuration", lambda: (*seeds.configurations(), *seeds.nasty_files()), configuration, _FILE_MAX),
        Target("case", lambda: (*seeds.cases(), *seeds.nasty_files()), case, _FILE_MAX),
        Target("small", seeds.texts, small, 2_000),
    )
}
