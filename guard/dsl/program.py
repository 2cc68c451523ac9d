"""What compiled rules are together: the row they read, and the functions bound to a market."""

from __future__ import annotations

from functools import cached_property
from math import isnan, nan
from typing import TYPE_CHECKING, Any

from guard.dsl.compiler import Bound, compile_function, compile_screen
from guard.dsl.needs import streams_needed
from guard.dsl.possible import possible
from guard.dsl.questions import Questions
from guard.dsl.rule import Outcome
from guard.dsl.terms import all_of
from guard.dsl.tracing import Explanation, Tracer, untold
from guard.features.tables import Type, Unit
from guard.model import RuleMode

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from guard.dsl.graph import Graph
    from guard.dsl.machine_code import MachineCode
    from guard.dsl.plain_detectors import DetectorFault, PlainCall
    from guard.dsl.rule import Plan, Rule
    from guard.dsl.terms import Term
    from guard.features.kernel.rows import MakeScreen, Read, Screen
    from guard.features.tables import Leaf
    from guard.model import MarketFacts

    Evaluate = Callable[[Sequence[float]], tuple["Outcome", ...]]

__all__ = ["Binding", "Explanation", "Program"]

_BINDINGS_MAX = 512
_MARKETS_MAX = 20_000
_WORKABLE_MAX = 8_192


class Binding:
    """The rules of one market. `rules` are numbers in `Program.rules`; `evaluate` turns a row into one Outcome each."""

    __slots__ = ("_lookout", "evaluate", "facts", "looks_at_age", "rules")

    def __init__(self, rules: tuple[int, ...], facts: MarketFacts, lookout: Lookout, *, looks_at_age: bool) -> None:
        self.rules = rules
        # A formula reads the age of a stream that the market has.
        self.looks_at_age = looks_at_age
        self.evaluate: Evaluate = lookout.evaluate
        self.facts = facts
        self._lookout = lookout

    @property
    def program(self) -> int:
        """Where in `Program.code` begins what tells whether any rule says something new; appended when it is first asked for."""
        return self._lookout.program

    @property
    def make_screen(self) -> MakeScreen:
        """Makes, of readers and places of all leaves, the function that tells the same of a market that is not open.

        Markets whose facts differ in nothing that matters share it.
        """
        return self._lookout.make_screen

    @property
    def make_open_screen(self) -> MakeScreen:
        """Makes the function that tells the same of a market that is open; its text is written when the first one opens."""
        return self._lookout.make_open_screen


class Lookout:
    """What markets share whose facts differ in nothing that matters; all but `evaluate` is made when it is first asked for."""

    def __init__(self, of: Program, bound: Bound) -> None:
        self.evaluate: Evaluate = compile_function(of._graph, bound, of._plans, of.rules, Outcome)  # noqa: SLF001 - a part of Program
        self._of = of
        self._bound = bound

    @cached_property
    def program(self) -> int:
        """Where its code begins."""
        of, numbers = self._of, self._bound.rules
        rules = [(of.rules[number], of._plans[number]) for number in numbers]  # noqa: SLF001 - likewise
        return of._machine.add(of._graph, self._questions(), rules)  # noqa: SLF001 - likewise

    @cached_property
    def make_screen(self) -> MakeScreen:
        """Make a screen of readers and places."""
        return self._compiled_screen(is_open=False)

    @cached_property
    def make_open_screen(self) -> MakeScreen:
        """Make a screen of open markets."""
        made: list[MakeScreen] = []

        def make(readers: Sequence[Read], places: Sequence[int]) -> Screen:
            if not made:
                made.append(self._compiled_screen(is_open=True))
            return made[0](readers, places)

        return make

    def _compiled_screen(self, *, is_open: bool) -> MakeScreen:
        from guard.dsl.screening import screen_text  # noqa: PLC0415 - it brings the kernel, which no check of a file needs

        of = self._of
        rules = [(of.rules[number], of._plans[number]) for number in self._bound.rules]  # noqa: SLF001 - likewise
        return compile_screen(screen_text(of._graph, self._questions(), rules, is_open=is_open))  # noqa: SLF001 - likewise

    def _questions(self) -> Questions:
        bound, rules = self._bound, self._of.rules
        absent = dict(zip(bound.rules, bound.absent, strict=True))
        factors = {number: [(factor.weight, factor.is_optional) for factor in rules[number].factors] for number in bound.rules}
        return Questions(self._of._graph, dict(bound.fixed), absent, factors)  # noqa: SLF001 - likewise


class Program:
    """A whole rule set, checked and ready.

    `rules` are resolved; `leaves` are the columns of the row that the kernel copies out at a trigger, in this order, NaN where
    unknown. `hash` names the set.
    """

    def __init__(self, rules: tuple[Rule, ...], plans: tuple[Plan, ...], graph: Graph, digest: str) -> None:
        self.rules = rules
        self.leaves: tuple[Leaf, ...] = tuple(graph.leaves)
        self.hash = digest
        self._plans = plans
        self._graph = graph
        self._bindings: dict[MarketFacts, Binding] = {}
        self._fixed: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._lookouts: dict[Bound, Lookout] = {}
        self._read: dict[int, frozenset[int]] = {}
        self._workable: dict[tuple[int, tuple[bool, ...], frozenset[int]], bool] = {}

    @cached_property
    def _machine(self) -> MachineCode:
        from guard.dsl.machine_code import MachineCode  # noqa: PLC0415 - it brings the kernel, which no check of a file needs

        return MachineCode()

    @cached_property
    def unknown(self) -> tuple[float, ...]:
        """The values of `leaves` where nothing is known."""
        return (float("nan"),) * len(self.leaves)

    @cached_property
    def grouped(self) -> frozenset[int]:
        """The numbers of the rules by which markets have one level together; a disabled rule gives none."""
        return frozenset(rule.number for rule in self.rules if rule.quorum is not None and rule.mode is not RuleMode.DISABLED)

    @cached_property
    def aged_streams(self) -> frozenset[str]:
        """The streams whose age a formula reads: time alone may change what rules say of markets that have one."""
        return frozenset(str(leaf.arguments[0]) for leaf in self.leaves if leaf.field == "age")

    @property
    def code(self) -> array[int]:
        """The machine's code for all bindings that asked for it so far, and at least one number."""
        return self._machine.packed[0]

    @property
    def constants(self) -> array[float]:
        """The constants of `code`."""
        return self._machine.packed[1]

    @property
    def registers(self) -> int:
        """How many registers `code` needs."""
        return self._machine.registers

    @property
    def plain_detectors(self) -> tuple[PlainCall, ...]:
        """The calls of detectors in plain Python: how often, how long (give them a clock), and what was wrong."""
        return tuple(self._graph.calls)

    @property
    def detector_faults(self) -> tuple[DetectorFault, ...]:
        """What is wrong with detectors in plain Python; a rule that needs one of them is unknown meanwhile."""
        return tuple(fault for call in self._graph.calls if (fault := call.told()) is not None)

    def bind(self, facts: MarketFacts) -> Binding:
        """Return the rules that look at a market and can work there.

        Markets whose facts differ in nothing that matters share one function.

        Known markets answer at once: a reload binds all of them before it swaps the rules.
        """
        binding = self._bindings.get(facts)
        if binding is None:
            if len(self._bindings) >= _MARKETS_MAX:
                self._bindings.clear()
            binding = self._bindings[facts] = self._bind(facts)
        return binding

    def _bind(self, facts: MarketFacts) -> Binding:
        known = market_facts(facts)
        covered = [rule.number for rule in self.rules if rule.covers(facts) and rule.works_on(facts)]
        wheres = self._graph.evaluate([self._plans[number].where for number in covered], leaves=None, facts=known)
        numbers = tuple(number for number, where in zip(covered, wheres, strict=True) if where is not False)
        bound = self._bound(numbers, known, facts)
        lookout = self._lookouts.get(bound)
        if lookout is None:
            if len(self._lookouts) >= _BINDINGS_MAX:
                self._lookouts.pop(next(iter(self._lookouts)))
            lookout = self._lookouts[bound] = Lookout(self, bound)
        return Binding(numbers, facts, lookout, looks_at_age=not self.aged_streams.isdisjoint(facts.streams))

    def prepare(self, markets: Iterable[MarketFacts], *, needs_screens: bool = True) -> None:
        """Make what is otherwise made when it is first asked for; any thread may do it before the program is in use.

        A kernel that is compiled needs no screens; Python makes one in a single step of 50 ms that no other thread interrupts.
        """
        for facts in markets:
            binding = self.bind(facts)
            _ = binding.program
            if needs_screens:
                _ = binding.make_screen
        _ = self.code, self.constants, self.unknown

    def _bound(self, numbers: tuple[int, ...], known: Mapping[str, Any], facts: MarketFacts) -> Bound:
        graph = self._graph
        fixed = self._fixed.get(numbers)
        if fixed is None:
            outputs = tuple(node for number in numbers for node in self._plans[number].outputs)
            fixed = tuple(node for node in graph.needed(outputs) if graph.is_fixed[node] and graph.nodes[node].operation != "const")
            if len(self._fixed) >= _BINDINGS_MAX:
                self._fixed.clear()
            self._fixed[numbers] = fixed
        values = graph.evaluate(fixed, leaves=None, facts=known)
        kept = tuple(
            (node, _one_nan(value))
            for node, value in zip(fixed, values, strict=True)
            if value is None or isinstance(value, bool | float)
        )
        return Bound(numbers, kept, tuple(self.rules[number].factor_absent(facts) for number in numbers))

    def lacking(self, rule: int, facts: MarketFacts) -> frozenset[str]:
        """Return the streams of which a market lacks one at least, so that a rule can never say anything of it."""
        needed = streams_needed(self._graph, self._plans[rule].fires)
        if not self.rules[rule].works_on(facts):
            needed = needed.union(*(factor.streams for factor in self.rules[rule].factors if not factor.is_optional))
        return needed - facts.streams

    def leaf_numbers(self, rule: int) -> frozenset[int]:
        """Return the numbers of the leaves on which it rests whether a rule fires, and with which score."""
        found = self._read.get(rule)
        if found is None:
            plan, nodes = self._plans[rule], self._graph.nodes
            needed = (nodes[number] for number in self._graph.needed((plan.fires, *plan.factors)))
            found = self._read[rule] = frozenset(node.value for node in needed if node.operation == "leaf")
        return found

    def works_without(self, rule: int, facts: MarketFacts, unread: frozenset[int]) -> bool:
        """Whether a rule can fire and have a score on a market while some `leaves`, by their numbers, are unknown."""
        plan, spec = self._plans[rule], self.rules[rule]
        key = (rule, spec.factor_absent(facts), unread)
        found = self._workable.get(key)
        if found is None:
            if len(self._workable) >= _WORKABLE_MAX:
                self._workable.clear()
            nodes = self._graph.nodes
            reached = possible(self._graph, (plan.fires, *plan.factors), lambda leaf: nodes[leaf].value in unread)
            needed = zip(spec.factors, plan.factors, key[1], strict=True)
            found = reached.can_hold(plan.fires) and not any(
                node in reached.lost for factor, node, is_absent in needed if not (factor.is_optional or is_absent)
            )
            self._workable[key] = found
        return found

    def evidence(self, rule: int, values: Sequence[float], *, detector: int | None = None) -> dict[str, float | None]:
        """Return what a rule's detectors (or one, by its place in `Rule.detectors`) show: written form -> value, None = unknown."""
        parts = self._plans[rule].evidence
        rows = [row for at, part in enumerate(parts) if detector in (None, at) for row in part]
        found = self._graph.evaluate([node for _, node in rows], leaves=values, facts=_NO_FACTS)
        return {text: _number(value) for (text, _), value in zip(rows, found, strict=True)}

    def explain(self, binding: Binding, rule: int, values: Sequence[float]) -> tuple[Explanation, ...]:
        """Return every written condition and factor of a rule as a tree of its parts with their values."""
        plan = self._plans[rule]
        trees = self.tracer(rule, binding.facts, values).explain(term for _, term in plan.terms)
        return tuple(Explanation(label, tree.value, (tree,)) for (label, _), tree in zip(plan.terms, trees, strict=True))

    def detectors(self, tracer: Tracer, rule: int) -> tuple[tuple[tuple[str, Explanation], ...], ...]:
        """Return for each detector of a rule its score and then its other named parts, as trees."""
        return tuple(
            tuple(zip((name for name, _ in parts), tracer.explain(term for _, term in parts), strict=True))
            for parts in self._plans[rule].parts
        )

    def leaves_of(self, rule: int) -> dict[Leaf, str]:
        """Return the leaves on which a rule's level rests, each as it is written where a term is no more than that."""
        plan, nodes = self._plans[rule], self._graph.nodes
        parts = [term for _, whole in plan.terms for term in all_of(whole) if not term.is_named]
        written = {nodes[term.node].value: term.text for term in parts if nodes[term.node].operation == "leaf"}
        level = (plan.where, plan.fires, plan.score, plan.clears, plan.releases)
        needed = (nodes[number] for number in self._graph.needed(level))
        read = {node.value for node in needed if node.operation == "leaf"}
        return {leaf: written.get(number, "") for number, leaf in enumerate(self.leaves) if number in read}

    def parts(self, rule: int) -> dict[str, dict[str, Unit]]:
        """Return for each detector of a rule, by the rule's name for it, the units of its score and its other named parts."""
        used = zip(self.rules[rule].detectors, self._plans[rule].parts, strict=True)
        return {
            detector.alias: {
                name: Unit.NONE if name == "score" else Unit.BOOL if term.type is Type.BOOL else term.unit for name, term in parts
            }
            for detector, parts in used
        }

    def terms(self, rule: int) -> tuple[tuple[str, Term], ...]:
        """Return every written condition and factor of a rule, each with where it stands: ``when``, ``risk.order_book``."""
        return self._plans[rule].terms

    def is_constant(self, node: int) -> bool:
        """Whether a node is the same on every market, whatever happens."""
        return self._graph.nodes[node].operation == "const"

    def tracer(self, rule: int, facts: MarketFacts, values: Sequence[float], why_leaf: Callable[[int], str] = untold) -> Tracer:
        """Return what explains a rule's expressions on a market by the values of `leaves`."""
        absent = self.rules[rule].factor_absent(facts)
        factors = zip(self.rules[rule].factors, absent, strict=True)
        return Tracer(
            self._graph,
            leaves=values,
            facts=market_facts(facts),
            scores={rule: self._scorer(rule, absent)},
            needed={rule: [not (factor.is_optional or is_absent) for factor, is_absent in factors]},
            why_leaf=why_leaf,
        )

    def _scorer(self, rule: int, absent: Sequence[bool]) -> Callable[[Sequence[float]], float]:
        classifier = self.rules[rule].classifier

        def score(values: Sequence[float]) -> float:
            assert classifier is not None
            found = classifier.score(values, absent).score
            return float("nan") if found is None else found

        return score


FACTS = {
    "exchange": "name of the exchange in guard.yaml",
    "symbol": "`BTC/USDT`, `BTC/USDT:USDT`",
    "base": "the asset that is bought",
    "quote": "the asset that is paid",
    "class": "major, stable, fiat, leveraged, spot, perp or dated",
    "tags": "a list: `'new' in market.tags`",
    "listing_risk": "0 to 1: how likely the exchange delists it or treats it specially; unknown where nobody says",
}
"""What ``market.NAME`` stands for; fixed while a market is open, but for tags and listing_risk: its rules are then bound anew."""


_NO_FACTS: dict[str, Any] = {**dict.fromkeys(FACTS), "listing_risk": nan}


def market_facts(facts: MarketFacts) -> dict[str, str | tuple[str, ...] | float]:
    """Return the values of `FACTS` for a market."""
    market = facts.market
    return {
        "exchange": market.exchange,
        "symbol": market.symbol,
        "base": market.base,
        "quote": market.quote,
        "class": str(facts.market_class),
        "tags": tuple(sorted(facts.tags)),
        "listing_risk": nan if facts.listing_risk is None else facts.listing_risk,
    }


def _one_nan(value: float | bool | None) -> float | bool | None:  # noqa: FBT001 - what is fixed may be a condition
    """Return the value, NaN as the one object of that name, so that markets for which it is unknown share their functions."""
    return nan if isinstance(value, float) and isnan(value) else value


def _number(value: float | bool | None) -> float | None:  # noqa: FBT001 - evidence may be a condition
    return None if value is None or isnan(value) else float(value)
