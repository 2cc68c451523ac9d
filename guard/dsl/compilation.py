"""Rules to program: every expression of every rule is checked, and all of them share one graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from guard.detection.risk import RiskClassifier, RiskFactor
from guard.dsl.actions import InstalledActions, check_actions, orders_of
from guard.dsl.checked import checked
from guard.dsl.checker import Checker
from guard.dsl.collector import paused_collector
from guard.dsl.detectors import Detectors
from guard.dsl.document import Entry, Items, Node, Scalar, Table
from guard.dsl.graph import Graph, TooLargeError
from guard.dsl.grouping import check_grouping
from guard.dsl.lint import lint_rule
from guard.dsl.memory import Memory
from guard.dsl.problems import Place, Report, Source
from guard.dsl.program import FACTS, Program
from guard.dsl.rule import Actions, Factor, Plan, Rule, family_of
from guard.dsl.tables import InstalledDetectors, Tables, installed_tables
from guard.dsl.terms import Names, Term
from guard.dsl.tokens import written_quantity
from guard.errors import RuleError
from guard.features.tables import WINDOWS_MAX, Type, Unit
from guard.model import Level, MarketClass, Per

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from guard.detection.detector import Detector
    from guard.dsl.rule_models import LevelName, QuarantineAction, RuleSpec
    from guard.dsl.rules import RuleSet, RuleSource
    from guard.features.tables import Feature, Field

__all__ = ["compile_rules", "compiled", "fact_term"]

_LEVELS: tuple[tuple[Level, LevelName], ...] = (
    (Level.WARNING, "warning"),
    (Level.DANGER, "danger"),
    (Level.CRITICAL, "critical"),
)


def compile_rules(
    rules: RuleSet,
    *,
    fields: Iterable[Field] | None = None,
    catalogue: Iterable[Feature] | None = None,
    detectors: Mapping[str, type[Detector]] | None = None,
) -> Program:
    """Check and join all rules. Raises RuleError with every problem of every rule.

    Without arguments the installed tables are used: the kernel's fields, the catalogue and the entry points.
    """
    report = Report()
    with paused_collector():
        program = compiled(rules, report, fields=fields, catalogue=catalogue, detectors=detectors)
    if program is None:
        raise RuleError(*report.errors)
    return program


def compiled(
    rules: RuleSet,
    report: Report,
    *,
    fields: Iterable[Field] | None = None,
    catalogue: Iterable[Feature] | None = None,
    detectors: Mapping[str, type[Detector]] | None = None,
) -> Program | None:
    """Like `compile_rules`, with the problems (warnings too) in `report`; None where there are errors."""
    if fields is None or catalogue is None:
        installed_fields, installed_catalogue = installed_tables()
        fields = installed_fields if fields is None else fields
        catalogue = installed_catalogue if catalogue is None else catalogue
    graph = Graph()
    checker = Checker(graph, Tables(fields, catalogue))
    found = Detectors(graph, checker, InstalledDetectors() if detectors is None else detectors)
    actions = InstalledActions()
    done: list[tuple[Rule, Plan]] = []
    files: dict[int, _FileNames] = {}
    leaves = 0
    try:
        for source in rules.rules:
            if report.is_full:
                break
            names = files.get(id(source.macros))
            if names is None:
                names = files[id(source.macros)] = _FileNames(source, graph, checker, report)
            rule = _RuleCheck(source, names, graph=graph, checker=checker, detectors=found, report=report)
            made = rule.run(len(done))
            if check_actions(source, rules.webhooks, actions, report) and made is not None:
                done.append(made)
                lint_rule(source, made, graph, checker.advice, report)
            if len(graph.leaves) > leaves:
                leaves = len(graph.leaves)
                _bound_windows(graph, source, report)
    except TooLargeError:
        report.add("E010", Place(Source.of("rules", "")), "the rules together are too large", "fewer or simpler expressions")
    for names in files.values():
        names.warn_unused()
    if report.errors or rules.report.errors:
        return None
    return Program(tuple(rule for rule, _ in done), tuple(plan for _, plan in done), graph, rules.hash)


def _bound_windows(graph: Graph, source: RuleSource, report: Report) -> None:
    """Refuse the rule whose windows no longer fit into a market's record."""
    if (
        len({leaf.arguments[0] for leaf in graph.leaves if leaf.arguments and not isinstance(leaf.arguments[0], str)})
        <= WINDOWS_MAX
    ):
        return
    from guard.features.kernel.layout import windows_of  # noqa: PLC0415 - the kernel takes longer to import than most files to check

    windows = windows_of(graph.leaves)
    if len(windows) > WINDOWS_MAX:
        named = ", ".join(written_quantity(float(us), Unit.DURATION) for us in sorted(windows))
        message = f"with this rule all rules name {len(windows)} different windows, at most {WINDOWS_MAX} are kept: {named}"
        report.add("E010", source.place, message, "use windows that other rules have")


class _FileNames:
    """Macros and lists of one file, shared by its rules; each macro is checked once."""

    def __init__(self, source: RuleSource, graph: Graph, checker: Checker, report: Report) -> None:
        self.lists = source.lists
        self._file = source.file
        self._macros = source.macros
        self._list_places = source.list_places
        self._checker = checker
        self._report = report
        self.memory = Memory()
        self._used_lists: set[str] = set()
        # Where an expression cannot be read, nobody knows what it uses.
        self.is_torn = False
        facts = {f"market.{name}": fact_term(graph, name) for name in FACTS}
        self.names = Names({**facts, **{name: self._definition(node) for name, node in source.macros.items()}})

    def _definition(self, node: Scalar) -> Callable[[], Term]:
        return lambda: checked(self._checker, node, self.names, self, self._report)

    def use_list(self, name: str) -> None:
        """Note that a list is used."""
        self._used_lists.add(name)

    def warn_unused(self) -> None:
        """Check the macros that no rule uses, and say so."""
        unused = [name for name in self._macros if name not in self.names.used]
        for name in unused:
            term = self.names.resolve(name)
            self.is_torn |= term is None or term.is_poison
        if self.is_torn or any(problem.file == self._file for problem in self._report.errors):
            return
        for name in unused:
            self._report.add("W001", self._macros[name].place, f"no rule uses the macro {name!r}")
        for name, place in self._list_places.items():
            if name not in self._used_lists:
                self._report.add("W001", place, f"no rule uses the list {name!r}")


def fact_term(graph: Graph, name: str) -> Callable[[], Term]:
    """Return the definition of ``market.NAME``, one of `FACTS`."""
    choices = tuple(map(str, MarketClass)) if name == "class" else ()
    kind = {"tags": Type.LIST, "listing_risk": Type.NUMBER}.get(name, Type.TEXT)
    return lambda: Term(f"market.{name}", graph.fact(name), kind, Unit.NONE, (), choices)


class _Conditions(NamedTuple):
    """The checked expressions of a rule that do not know its score."""

    where: Term | None
    when: Term | None
    unless: Mapping[str, Term | None]
    factors: Mapping[str, Term | None]


class _RuleCheck:
    """Checks the expressions of one rule by its tree, so that they are checked even where the rule's keys have mistakes."""

    def __init__(
        self, source: RuleSource, file: _FileNames, *, graph: Graph, checker: Checker, detectors: Detectors, report: Report
    ) -> None:
        self._source = source
        self._graph = graph
        self._checker = checker
        self._file = file
        self._report = report
        self._uses = detectors.used(self._table("use"), report)
        self._lets = {
            name: self._definition(entry.node) for name, entry in self._table("let").items() if isinstance(entry.node, Scalar)
        }
        self._names = Names({**self._lets, **self._uses.names}, file.names, broken=self._uses.broken)
        self._terms: list[tuple[str, Term]] = []
        self._is_sound = True
        # Of a rule with mistakes the score is unknown, and what is said of it means nothing.
        self._is_hollow = False

    def _definition(self, node: Scalar) -> Callable[[], Term]:
        return lambda: checked(self._checker, node, self._names, self._file, self._report)

    def _table(self, *path: str) -> dict[str, Entry]:
        node = self._source.at(*path)
        return node.entries if isinstance(node, Table) else {}

    def _check(self, label: str, node: Node | None, kind: Type, names: Names | None = None) -> Term | None:
        if not isinstance(node, Scalar) or (node.value is None and not node.style):
            return None
        term = checked(self._checker, node, names or self._names, self._file, self._report, kind=kind)
        if term.is_poison:
            self._is_sound = False
        elif (
            self._is_constant(term) and kind is Type.BOOL and node.text not in ("true", "false") and not (names and self._is_hollow)
        ):
            self._report.add("W002", node.place, f"{label} is always {str(self._graph.nodes[term.node].value).lower()}", "")
        elif self._is_constant(term) and kind is Type.NUMBER:
            self._report.add(
                "W002", node.place, f"{label} is always {self._graph.nodes[term.node].value:g}", "a factor looks at the market"
            )
        self._terms.append((label, term))
        return term

    def _is_constant(self, term: Term) -> bool:
        return self._graph.nodes[term.node].operation == "const"

    def run(self, number: int) -> tuple[Rule, Plan] | None:
        """Return the rule and its plan; None where something is wrong, which is then in the report."""
        where = self._check("scope.where", self._source.at("scope", "where"), Type.BOOL)
        when = self._check("when", self._source.at("when"), Type.BOOL)
        unless = {name: self._check(f"unless.{name}", entry.node, Type.BOOL) for name, entry in self._table("unless").items()}
        factors = {
            name: self._check(f"risk.{name}", entry.node.entries["value"].node, Type.NUMBER)
            for name, entry in self._table("risk").items()
            if isinstance(entry.node, Table) and "value" in entry.node.entries
        }
        return self._after(number, _Conditions(where, when, unless, factors))

    def _check_unused(self) -> None:
        """Check the named expressions that no other one uses, and say so where everything could be read."""
        unused = [name for name in self._lets if name not in self._names.used]
        terms = [self._names.resolve(name) for name in unused]
        self._is_sound &= not any(term is None or term.is_poison for term in terms)
        if not self._is_sound or self._uses.broken or self._source.spec is None:
            self._file.is_torn = True
            return
        for name in unused:
            self._report.add("W001", self._table("let")[name].key, f"nothing in the rule uses {name!r}")
        used = {name.partition(".")[0] for name in self._names.used}
        for name, entry in self._table("use").items():
            if name not in used:
                self._report.add(
                    "W001", entry.key, f"nothing in the rule uses the detector {name!r}", f"for example: when: {name}.score > 0.5"
                )

    def _after(self, number: int, found: _Conditions) -> tuple[Rule, Plan] | None:
        """Check what may use the score: clear and release."""
        spec, graph, true = self._source.spec, self._graph, self._graph.const(value=True)
        is_ready = spec is not None and self._is_sound and not self._uses.broken
        self._is_hollow = not is_ready
        where_node = found.where.node if found.where is not None and is_ready else true
        when_node = found.when.node if found.when is not None and is_ready else true
        exceptions = tuple((name, term.node) for name, term in found.unless.items() if term is not None and is_ready)
        fires = graph.all_of(
            [graph.apply("default_truth", where_node, true), when_node, *(graph.apply("not", node) for _, node in exceptions)]
        )
        cut = tuple(self._cut(term.node) for term in found.factors.values() if term is not None and is_ready)
        score = graph.score(number, cut) if cut or not is_ready else graph.apply("number", fires)
        names = Names({"score": lambda: Term("score", score, Type.NUMBER)}, self._names)
        clear = self._check("clear.when", self._source.at("clear", "when"), Type.BOOL, names)
        releases = [
            term for label, node in self._release_nodes() if (term := self._check(label, node, Type.BOOL, names)) is not None
        ]
        self._check_unused()
        if spec is not None:
            check_grouping(self._source, spec, self._report)
        if spec is None or not is_ready or not self._is_sound:
            return None
        warning = graph.const(spec.levels.warning if cut else 0.5)
        calm = graph.any_of([graph.apply("not", fires), graph.apply("less", score, warning)])
        clears = clear.node if clear is not None else calm
        plan = Plan(
            where_node,
            fires,
            exceptions,
            cut,
            score,
            clears,
            graph.all_of([term.node for term in releases]) if releases else clears,
            tuple(self._cut(node) for node in self._uses.scores),
            self._uses.evidence,
            tuple(self._terms),
            self._uses.parts,
        )
        return self._rule(number, spec, plan), plan

    def _release_nodes(self) -> list[tuple[str, Node]]:
        found: list[tuple[str, Node]] = []
        for level, entry in self._table("actions").items():
            for step in entry.node.items if isinstance(entry.node, Items) else ():
                node: Node | None = step
                for key in ("quarantine", "release", "when"):
                    child = node.entries.get(key) if isinstance(node, Table) else None
                    node = child.node if child is not None else None
                if node is not None:
                    found.append((f"actions.{level}.release.when", node))
        return found

    def _cut(self, node: int) -> int:
        graph = self._graph
        if graph.nodes[node].operation == "ramp":
            return node
        return graph.apply("clamp", node, graph.const(0.0), graph.const(1.0))

    def _rule(self, number: int, spec: RuleSpec, plan: Plan) -> Rule:
        factors = tuple(
            Factor(name, factor.weight, factor.optional, streams, family_of(name, streams))
            for (name, factor), node in zip(spec.risk.items(), plan.factors, strict=True)
            for streams in (self._graph.streams[node],)
        )
        weighed = [RiskFactor(factor.name, factor.weight, factor.is_optional) for factor in factors]
        levels = spec.levels
        return Rule(
            id=self._source.id,
            number=number,
            title=spec.title or self._source.id,
            why=spec.why,
            mode=spec.mode,
            tags=spec.tags,
            hash=self._source.hash,
            level_hash=self._source.level_hash,
            file=self._source.file,
            line=self._source.place.line,
            scope=spec.scope,
            per=spec.per,
            quorum=None if spec.per is Per.MARKET else spec.quorum,
            level=spec.fixed_level,
            for_us=spec.for_us,
            clear_for_us=spec.clear.for_us,
            actions=resolved_actions(spec),
            factors=factors,
            detectors=self._uses.detectors,
            unless=tuple(name for name, _ in plan.unless),
            classifier=RiskClassifier(weighed, warning=levels.warning, danger=levels.danger, critical=levels.critical)
            if weighed
            else None,
        )


def resolved_actions(spec: RuleSpec) -> dict[Level, Actions]:
    """Return what happens at each level: a level without actions of its own does what the one below does."""
    found: dict[Level, Actions] = {}
    below = Actions()
    for level, name in _LEVELS:
        steps = spec.actions.get(name)
        if steps is not None:
            held: list[QuarantineAction] = [step.quarantine for step in steps if step.quarantine is not None]
            below = Actions(any(step.alert for step in steps), held[-1] if held else None, orders_of(steps))
        found[level] = below
    return found
