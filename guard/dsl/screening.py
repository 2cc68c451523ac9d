"""The rules of a calm market as the text of one function that reads as few leaves as it can.

It tells whether any rule says something else than it did, without building outcomes. Like the compiled function it is made of the
templates below, numbered locals and numbers; no text of a rule gets here.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from guard.dsl.question import NO, All, Always, Constant, Some, Test, TooIntricateError, opposite
from guard.dsl.signature import UNKNOWN_LEVEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guard.dsl.graph import Graph
    from guard.dsl.question import Operand, Question
    from guard.dsl.questions import Questions

__all__ = ["screen_text"]

# {0}, {1}, {2} are operands, {a} and {b} the locals that hold the first two once they are computed.
_TEMPLATES: Final = {
    "add": "({0} + {1})",
    "subtract": "({0} - {1})",
    "multiply": "({0} * {1})",
    "divide": "({0} / ({1} or nan))",
    "negative": "(-{0})",
    "abs": "({a} if {0} > 0.0 else 0.0 - {a})",
    "log": "(log({a}) if {0} > 0.0 else nan)",
    "sqrt": "(sqrt({a}) if {0} >= 0.0 else nan)",
    "min": "({a} if {0} <= {1} else {b} if {b} < {a} else nan)",
    "max": "({a} if {0} >= {1} else {b} if {b} > {a} else nan)",
    "clamp": "clamp({0}, {1}, {2})",
    "clamp_fixed": "({1} if {0} < {1} else {2} if {a} > {2} else {a})",
    "ramp": "ramp({0}, {1}, {2})",
    "ramp_fixed": "(0.0 if (t := ({0} - {1}) / {2}) < 0.0 else 1.0 if t > 1.0 else t)",
}
_TESTS: Final = {"less": "{0} < {1}", "less_equal": "{0} <= {1}", "equal": "{0} == {1}"}
_LENGTH_MAX: Final = 100_000
_BRACKETS_MAX: Final = 150
_ASKS: Final = "def make(readers, places):\n    return lambda *_: 1\n"

Held = frozenset[int]


def screen_text(graph: Graph, questions: Questions, fires: Sequence[int]) -> str:
    """Return the text of ``make(readers, places)``, which returns the screen of markets with these rules.

    `fires` are the rules' nodes, in the order of their signatures. Rules that are too intricate make a screen that always asks.
    """
    writer = _Writer(graph, questions)
    try:
        questions.prepare(fires)
        lines = [line for place, node in enumerate(fires) for line in writer.rule(place, node)]
    except TooIntricateError:
        return _ASKS
    if sum(map(len, lines)) > _LENGTH_MAX or max(map(_brackets, lines), default=0) > _BRACKETS_MAX:
        return _ASKS
    leaves = sorted(writer.leaves)
    taken = [f"    r{leaf}, c{leaf} = readers[{leaf}], places[{leaf}]" for leaf in leaves]
    doubtful = [f"        {' = '.join(sorted(writer.doubtful))} = None"] if writer.doubtful else []
    body = [
        *taken,
        "    def screen(X, I, x, i, p, q, sig, received):",
        *doubtful,
        *lines,
        "        return 0",
        "    return screen",
        "",
    ]
    return "\n".join(["def make(readers, places):", *body])


def _brackets(line: str) -> int:
    """Return how deep the brackets of a line are nested; Python takes 200."""
    depth = deepest = 0
    for letter in re.findall(r"[()]", line):
        depth += 1 if letter == "(" else -1
        deepest = max(deepest, depth)
    return deepest


class _Writer:
    """Writes expressions. `held` are the nodes whose locals are set whichever way one comes to a place."""

    def __init__(self, graph: Graph, questions: Questions) -> None:
        self.leaves: set[int] = set()
        self.doubtful: set[str] = set()
        self._graph = graph
        self._questions = questions
        self._held: Held = frozenset()
        self._seen: set[int] = set()
        self._length = 0

    def rule(self, place: int, fires: int) -> list[str]:
        """Return the lines that compare the signature at `place` with what a rule says."""
        is_false, is_true = self._questions.false(fires), self._questions.true(fires)
        start, seen = self._held, set(self._seen)
        silent, held, _ = self._asked(is_false, start)
        silent_seen, self._seen = self._seen, seen
        if is_true == NO and is_false == NO:
            return [f"        if sig[{place}] != {UNKNOWN_LEVEL}:", "            return 1"]
        not_false, either_held, _ = self._asked(opposite(is_false), start)
        not_true, both_held, _ = self._asked(opposite(is_true), either_held)
        self._held = held & both_held
        self._seen |= silent_seen
        return [
            f"        if sig[{place}] == 0:",
            f"            if not {silent}:",
            "                return 1",
            f"        elif sig[{place}] != {UNKNOWN_LEVEL} or not {not_false} or not {not_true}:",
            "            return 1",
        ]

    def _asked(self, question: Question, held: Held) -> tuple[str, Held, Held]:
        """Return a question as text, and what is held after yes and after no. What must be asked is never answered by yes."""
        match question:
            case Always(answer):
                return repr(answer), held, held
            case Test(test, left, right, _, holds):
                text, after = self._test(test, left, right, held)
                return (f"({text})" if holds else f"(not {text})"), after, after
            case All(parts):
                return self._joined(parts, held, " and ")
            case Some(parts):
                text, no, yes = self._joined(parts, held, " or ")
                return text, yes, no
        return "False", held, held

    def _joined(self, parts: Iterable[Question], held: Held, word: str) -> tuple[str, Held, Held]:
        """Return parts as text, with what is held after all of them and after whichever part decided."""
        waiting, texts, decided = list(parts), [], None
        nodes = self._graph.nodes
        while waiting:
            read = frozenset(nodes[node].value for node in held if nodes[node].operation == "leaf")
            costs = [self._questions.cost(part, read) for part in waiting]
            text, yes, no = self._asked(waiting.pop(costs.index(min(costs))), held)
            held, ended = (yes, no) if word == " and " else (no, yes)
            decided = ended if decided is None else decided & ended
            texts.append(text)
        assert decided is not None
        return f"({word.join(texts)})", held, decided

    def _test(self, test: str, left: Operand, right: Operand, held: Held) -> tuple[str, Held]:
        first, held = self._operand(left, held)
        if test == "known":
            assert not isinstance(left, Constant)
            return f"({first} == n{left})", held
        second, held = self._operand(right, held)
        if test == "apart":
            return f"({first} < {second} or {_name(left)} > {_name(right)})", held
        return f"({_TESTS[test].format(first, second)})", held

    def _operand(self, operand: Operand, held: Held) -> tuple[str, Held]:
        """Return a number as text; where it is computed here, it is kept in its local."""
        if isinstance(operand, Constant):
            return _literal(operand.value), held
        if operand in held:
            return _name(operand), held
        name = _name(operand)
        found = self._graph.nodes[operand]
        if found.operation == "leaf":
            self.leaves.add(found.value)
            text = f"({name} := r{found.value}(X, I, x, i, p, q, c{found.value}, received))"
            if operand in self._seen:
                self.doubtful.add(name)
                text = f"({name} if {name} is not None else {text})"
            self._seen.add(operand)
        else:
            text, held = self._number(operand, held)
            text = f"({name} := {text})"
        self._length += len(text)
        if self._length > 50 * _LENGTH_MAX:
            raise TooIntricateError
        return text, held | {operand}

    def _number(self, node: int, held: Held) -> tuple[str, Held]:
        found = self._graph.nodes[node]
        operation = found.operation
        if operation == "number":
            return self._truth_number(found.arguments[0], held)
        operands = [self._questions.operand(each) for each in found.arguments]
        if operation in ("default", "at_least"):
            return self._either_number(operation, operands, held)
        if operation in ("ramp", "clamp") and all(isinstance(each, Constant) for each in operands[1:]):
            low, high = (each.value for each in operands[1:] if isinstance(each, Constant))
            if math.isnan(low) or math.isnan(high) or (operation == "ramp" and low == high):
                return "nan", held
            operands[2] = Constant(high - low) if operation == "ramp" else operands[2]
            operation = f"{operation}_fixed"
        texts = []
        for operand in operands:
            text, held = self._operand(operand, held)
            texts.append(text)
        names = dict(zip("ab", map(_name, operands), strict=False))
        return _TEMPLATES[operation].format(*texts, **names), held

    def _either_number(self, operation: str, operands: Sequence[Operand], held: Held) -> tuple[str, Held]:
        """Return a number of which one operand is computed only where it is wanted."""
        first, *others = operands
        if operation == "default":
            text, held = self._operand(first, held)
            instead, _ = self._operand(others[0], held)
            return f"({_name(first)} if {text} == {_name(first)} else {instead})", held
        count, held = self._operand(others[0], held)
        least, held = self._operand(others[1], held)
        text, _ = self._operand(first, held)
        return f"({text} if {count} >= {least} else nan)", held

    def _truth_number(self, condition: int, held: Held) -> tuple[str, Held]:
        is_true, yes, no = self._asked(self._questions.true(condition), held)
        is_false, second, third = self._asked(self._questions.false(condition), no)
        return f"(1.0 if {is_true} else 0.0 if {is_false} else nan)", yes & second & third


def _name(operand: Operand) -> str:
    return _literal(operand.value) if isinstance(operand, Constant) else f"n{operand}"


def _literal(value: float) -> str:
    return f"({value!r})"
