"""The rules of a market as code of the kernel's machine: what tells whether any of them says something new."""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING, Final

from guard.detection.risk import added
from guard.dsl.levels import lifts
from guard.dsl.question import YES, All, Ask, Constant, Some, Test, TooIntricateError, opposite
from guard.dsl.signature import (
    CLEARS_SHIFT,
    LEVEL_MASK,
    RELEASES_SHIFT,
    TRUTH_MASK,
    TRUTHS,
    UNKNOWN_LEVEL,
    UNKNOWN_TRUTH,
)
from guard.features.kernel import machine
from guard.model import Level

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.dsl.graph import Graph, GraphNode
    from guard.dsl.question import Operand, Question
    from guard.dsl.questions import Questions
    from guard.dsl.rule import Plan, Rule

__all__ = ["MachineCode"]

_CODE_MAX: Final = 4_000_000
_PROGRAM_MAX: Final = 200_000
_OPERATIONS: Final = {
    "add": machine.ADD,
    "subtract": machine.SUBTRACT,
    "multiply": machine.MULTIPLY,
    "divide": machine.DIVIDE,
    "min": machine.MIN,
    "max": machine.MAX,
    "default": machine.DEFAULT,
    "abs": machine.ABS,
    "negative": machine.NEGATIVE,
    "log": machine.LOG,
    "sqrt": machine.SQRT,
    "at_least": machine.AT_LEAST,
    "ramp": machine.RAMP_FREE,
    "clamp": machine.CLAMP_FREE,
}
_TESTS: Final = ("less", "less_equal", "equal", "apart", "known")


class MachineCode:
    """All programs of a rule set, one after another, with their constants.

    `code` and `constants` only grow. At 0 stands the program that leaves everything to the compiled function: it serves rules
    that are too intricate, and all further ones once the code is full.
    """

    def __init__(self) -> None:
        self.code: list[int] = [machine.ASK, 0, 0, 0, 0]
        self.constants: list[float] = []
        self.registers = machine.TURN + 1
        self._numbers: dict[str, int] = {}
        self._packed = array("q"), array("d")

    @property
    def packed(self) -> tuple[array[int], array[float]]:
        """Code and constants as they stand, as compiled code takes them; made anew only where they grew."""
        if (len(self._packed[0]), len(self._packed[1])) != (len(self.code), len(self.constants)):
            self._packed = array("q", self.code), array("d", self.constants)
        return self._packed

    def constant(self, value: float) -> int:
        """Return the operand that stands for a number."""
        number = self._numbers.setdefault(value.hex(), len(self.constants))
        if number == len(self.constants):
            self.constants.append(value)
        return -1 - number

    def add(self, graph: Graph, questions: Questions, rules: Sequence[tuple[Rule, Plan]]) -> int:
        """Append the program of some rules, in the order of their signatures, and return where it begins."""
        repeated: frozenset[int] = frozenset()
        try:
            while True:
                writer = _Writer(self, graph, questions, len(self.code), repeated)
                for place, (rule, plan) in enumerate(rules):
                    writer.rule(place, rule, plan)
                # What is written once more for not being held somewhere must be marked there as well.
                if writer.repeated <= repeated:
                    break
                repeated |= writer.repeated
        except TooIntricateError:
            return 0
        writer.put(machine.SAME)
        if len(self.code) + len(writer.code) > _CODE_MAX:
            return 0
        start = len(self.code)
        self.code += writer.code
        self.registers = max(self.registers, writer.registers)
        return start


class _Label:
    """A place that code jumps to, and what is in the registers whichever way one comes there; None until somebody comes."""

    def __init__(self) -> None:
        self.uses: list[int] = []
        self.held: frozenset[int] | None = None

    def reach(self, held: frozenset[int] | None) -> None:
        """Note a way to the place."""
        if held is not None:
            self.held = held if self.held is None else self.held & held


class _Writer:
    """Writes one program.

    `_held` are the nodes whose registers hold their value here; None where no way leads here. Those of `kept` are written in
    several places, of which only the first that is reached computes them.
    """

    def __init__(self, whole: MachineCode, graph: Graph, questions: Questions, base: int, kept: frozenset[int]) -> None:
        self.code: list[int] = []
        self.repeated: frozenset[int] = frozenset()
        self._written: set[int] = set()
        self._kept = kept
        self._next_place = machine.TURN + 1
        self._computed: dict[int, frozenset[int]] = {}
        self._whole = whole
        self._graph = graph
        self._questions = questions
        self._base = base
        self._held: frozenset[int] | None = frozenset()
        self._places: dict[int, int] = {}

    @property
    def registers(self) -> int:
        """How many registers the program needs."""
        return self._next_place

    def put(self, operation: int, *operands: int) -> None:
        """Write one operation."""
        if len(self.code) > _PROGRAM_MAX:
            raise TooIntricateError
        if self._held is not None:
            self.code += (operation, *operands, *((0,) * (machine.STRIDE - 1 - len(operands))))

    def _jump(self, label: _Label) -> None:
        if self._held is not None:
            label.uses.append(len(self.code) + 1)
            self.put(machine.JUMP, 0)
            label.reach(self._held)
            self._held = None

    def _place(self, label: _Label) -> None:
        for use in label.uses:
            self.code[use] = self._base + len(self.code)
        label.reach(self._held)
        self._held = label.held

    def _ask(self) -> None:
        self.put(machine.ASK)
        self._held = None

    def rule(self, place: int, rule: Rule, plan: Plan) -> None:
        """Write what compares the signature at `place` with what a rule says."""
        questions = self._questions
        questions.prepare(plan.outputs)
        self._level(place, rule, plan)
        for node, shift in ((plan.clears, CLEARS_SHIFT), (plan.releases, RELEASES_SHIFT)):
            unasked, told, is_false, is_true = _Label(), _Label(), _Label(), _Label()
            if self._held is not None:
                unasked.uses.append(len(self.code) + 2)
                self.put(machine.UNASKED, place, 0, shift, TRUTH_MASK)
                unasked.reach(self._held)
            for question, truth, other in ((questions.true(node), True, is_false), (questions.false(node), False, is_true)):
                self._question(question, other)
                self.put(machine.LOOK, place, shift, TRUTH_MASK, TRUTHS[truth])
                self._jump(told)
                self._place(other)
            self.put(machine.LOOK, place, shift, TRUTH_MASK, UNKNOWN_TRUTH)
            self._place(told)
            self._place(unasked)

    def _level(self, place: int, rule: Rule, plan: Plan) -> None:
        fires, unknown, told = _Label(), _Label(), _Label()
        self._question(self._questions.false(plan.fires), fires)
        self._tell(place, Level.NORMAL, told)
        self._place(fires)
        self._question(self._questions.true(plan.fires), unknown)
        self._reached(place, rule, plan, unknown, told)
        self._place(unknown)
        self.put(machine.LOOK, place, 0, LEVEL_MASK, UNKNOWN_LEVEL)
        self._place(told)

    def _tell(self, place: int, level: int, told: _Label) -> None:
        self.put(machine.LOOK, place, 0, LEVEL_MASK, level)
        self._jump(told)

    def _tell_unless(self, question: Question, place: int, level: int, told: _Label) -> None:
        """Write that a rule is at `level` unless the answer is yes."""
        higher = _Label()
        self._question(opposite(question), higher)
        self._tell(place, level, told)
        self._place(higher)

    def _reached(self, place: int, rule: Rule, plan: Plan, unknown: _Label, told: _Label) -> None:
        """Write which level a rule that fires reaches by its score."""
        questions = self._questions
        if rule.classifier is None:
            assert rule.level is not None
            self._tell(place, rule.level if rule.lifting is None else min(rule.level, Level.WARNING), told)
            return
        self._question(questions.known(plan.score), unknown)
        for lower, threshold in enumerate(rule.classifier.thresholds):
            self._tell_unless(questions.above(plan.score, threshold, strict=False), place, lower, told)
            if lower == Level.WARNING and rule.lifting is not None:
                self._tell_unless(lifts(questions, rule, plan), place, Level.WARNING, told)
        self._tell(place, Level.CRITICAL, told)

    def _question(self, question: Question, no: _Label) -> None:
        """Write what goes on where the answer is yes and jumps to `no` where it is no."""
        if self._held is None or question == YES:
            return
        match question:
            case Test(test, left, right, _, holds):
                self._test(test, left, right, no, holds=holds)
            case All(parts):
                waiting = list(parts)
                while waiting:
                    self._question(self._next(waiting), no)
            case Some(parts):
                waiting, yes = list(parts), _Label()
                while len(waiting) > 1:
                    self._unless(self._next(waiting), yes)
                self._question(waiting[0], no)
                self._place(yes)
            case Ask():
                self._ask()
            case _:
                self._jump(no)

    def _unless(self, question: Question, yes: _Label) -> None:
        """Write what jumps to `yes` where the answer is yes and goes on where it is no."""
        if isinstance(question, Test):
            self._question(opposite(question), yes)
            return
        no = _Label()
        self._question(question, no)
        self._jump(yes)
        self._place(no)

    def _next(self, waiting: list[Question]) -> Question:
        """Take the question that is the cheapest now."""
        held = self._held or frozenset()
        nodes = self._graph.nodes
        read = frozenset(nodes[node].value for node in held if nodes[node].operation == "leaf")
        return waiting.pop(min(range(len(waiting)), key=lambda at: self._questions.cost(waiting[at], read)))

    def _test(self, test: str, left: Operand, right: Operand, no: _Label, *, holds: bool) -> None:
        operands = self._operand(left), self._operand(right)
        if self._held is None:
            return
        no.uses.append(len(self.code) + 3)
        self.put((machine.UNLESS_LESS if holds else machine.IF_LESS) + _TESTS.index(test), *operands, 0)
        no.reach(self._held)

    def _operand(self, operand: Operand) -> int:
        """Return where a number stands, after writing what computes it."""
        if isinstance(operand, Constant):
            return self._whole.constant(operand.value)
        assert self._held is not None
        if operand not in self._held:
            self._compute(operand, self._register(operand))
        return self._places[operand]

    def _register(self, node: int) -> int:
        """Return the register of a node; where it is kept, the next one tells whether it holds its value."""
        if node not in self._places:
            self._places[node] = self._next_place
            self._next_place += 2 if node in self._kept else 1
        return self._places[node]

    def _compute(self, node: int, into: int) -> None:
        if node in self._written:
            self.repeated |= {node}
        self._written.add(node)
        if node not in self._kept:
            self._number(node, into)
            assert self._held is not None
            self._held |= {node}
            return
        held = self._held
        start = len(self.code)
        self.put(machine.KEPT, into, 0)
        self._number(node, into)
        self.code[start + 2] = self._base + len(self.code)
        assert held is not None
        self._held = held | self._surely(node)

    def _surely(self, node: int) -> frozenset[int]:
        """Return the nodes whose registers hold their value once a node's does, whichever way it was computed."""
        if node not in self._computed:
            found = self._graph.nodes[node]
            below = () if found.operation == "number" else self._questions.present(node)
            parts = (self._surely(each) for each in below if self._questions.constant(each) is None)
            self._computed[node] = frozenset({node}).union(*parts)
        return self._computed[node]

    def _read(self, node: int) -> int:
        return self._operand(self._questions.operand(node))

    def _number(self, node: int, into: int) -> None:
        found = self._graph.nodes[node]
        match found.operation:
            case "leaf":
                self.put(machine.LEAF, into, found.value)
            case "number":
                self._truth_number(found.arguments[0], into)
            case "score":
                self._score(node, into)
            case "ramp" | "clamp" if (bounds := self._bounds(found)) is not None:
                of = self._read(found.arguments[0])
                low, high = bounds
                if math.isnan(low) or math.isnan(high) or (found.operation == "ramp" and low == high):
                    self.put(machine.MOVE, into, self._whole.constant(math.nan))
                elif found.operation == "ramp":
                    self.put(machine.RAMP, into, of, self._whole.constant(low), self._whole.constant(high - low))
                else:
                    self.put(machine.CLAMP, into, of, self._whole.constant(low), self._whole.constant(high))
            case operation:
                self.put(_OPERATIONS[operation], into, *map(self._read, found.arguments))

    def _bounds(self, found: GraphNode) -> tuple[float, float] | None:
        low, high = map(self._questions.operand, found.arguments[1:])
        return (low.value, high.value) if isinstance(low, Constant) and isinstance(high, Constant) else None

    def _truth_number(self, condition: int, into: int) -> None:
        done = _Label()
        for question, value in ((self._questions.true(condition), 1.0), (self._questions.false(condition), 0.0)):
            other = _Label()
            self._question(question, other)
            self.put(machine.MOVE, into, self._whole.constant(value))
            self._jump(done)
            self._place(other)
        self.put(machine.MOVE, into, self._whole.constant(math.nan))
        self._place(done)

    def _score(self, node: int, into: int) -> None:
        """Write the weighted mean, in the order of the compiled function's arithmetic."""
        parts = self._questions.weighed(node)
        required = [(weight, self._read(factor)) for weight, factor, is_optional in parts if not is_optional]
        optional = [(weight, self._read(factor)) for weight, factor, is_optional in parts if is_optional]
        constant = self._whole.constant
        total, part = self._scratch(node, 1), self._scratch(node, 2)
        for at, (weight, factor) in enumerate(required):
            self.put(machine.MULTIPLY, part if at else total, constant(weight), factor)
            if at:
                self.put(machine.ADD, total, total, part)
        weight = added(weight for weight, _ in required)
        if len(optional) > 1:
            self.put(machine.BEST, into, total, constant(weight), len(optional))
            self.code += [number for heavy, factor in optional for number in (constant(heavy), factor)]
            return
        self.put(machine.DIVIDE, into, total, constant(weight))
        for heavy, factor in optional:
            self.put(machine.MULTIPLY, part, constant(heavy), factor)
            self.put(machine.ADD, part, total, part)
            self.put(machine.DIVIDE, part, part, constant(weight + heavy))
            lower = len(self.code)
            self.put(machine.UNLESS_LESS, into, part, self._base + lower + 2 * machine.STRIDE)
            self.put(machine.MOVE, into, part)
        self.put(machine.UNLESS_LESS, constant(1.0), into, self._base + len(self.code) + 2 * machine.STRIDE)
        self.put(machine.MOVE, into, constant(1.0))

    def _scratch(self, node: int, number: int) -> int:
        """Return a register that no node has."""
        return self._register(-number - 2 * node)
