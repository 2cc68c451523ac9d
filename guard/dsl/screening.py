"""The rules of a market as the text of one function that reads as few leaves as it can.

It tells whether any rule says something else than it did, without building outcomes. Like the compiled function it is made of the
templates below, numbered locals and numbers; no text of a rule gets here.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from guard.detection.risk import added
from guard.dsl.levels import level_questions
from guard.dsl.question import NO, All, Always, Constant, Some, Test, TooIntricateError, both, either, opposite
from guard.dsl.signature import (
    CLEARS_SHIFT,
    LEVEL_MASK,
    PARTS_MASK,
    RELEASES_SHIFT,
    TRUTH_MASK,
    TRUTHS,
    UNASKED,
    UNKNOWN_LEVEL,
)
from guard.features.tables import Leaf
from guard.model import Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from guard.dsl.graph import Graph
    from guard.dsl.question import Operand, Question
    from guard.dsl.questions import Questions
    from guard.dsl.rule import Plan, Rule

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
_OPEN_LENGTH_MAX: Final = 300_000
_BRACKETS_MAX: Final = 150
_ASKS: Final = "def make(readers, places):\n    return lambda *_: 1\n"

Held = frozenset[int]


def screen_text(graph: Graph, questions: Questions, rules: Sequence[tuple[Rule, Plan]], *, is_open: bool) -> str:
    """Return the text of ``make(readers, places)``, which returns the screen of markets with these rules.

    `rules` are in the order of their signatures. The screen of markets that are open looks at all that a signature holds, that of
    the others only at whether a rule fires. Rules that are too intricate make a screen that always asks.
    """
    writer = _Writer(graph, questions)
    try:
        questions.prepare([node for _, plan in rules for node in (plan.outputs if is_open else (plan.fires,))])
        lines = [
            line
            for place, (rule, plan) in enumerate(rules)
            for line in (writer.open_rule(place, rule, plan) if is_open else writer.rule(place, plan.fires))
        ]
    except TooIntricateError:
        return _ASKS
    if (
        sum(map(len, lines)) > (_OPEN_LENGTH_MAX if is_open else _LENGTH_MAX)
        or max(map(_brackets, lines), default=0) > _BRACKETS_MAX
    ):
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
            return [f"        if sig[{place}] & {PARTS_MASK} != {UNKNOWN_LEVEL}:", "            return 1"]
        not_false, either_held, _ = self._asked(opposite(is_false), start)
        not_true, both_held, _ = self._asked(opposite(is_true), either_held)
        self._held = held & both_held
        self._seen |= silent_seen
        return [
            f"        if sig[{place}] & {PARTS_MASK} == 0:",
            f"            if not {silent}:",
            "                return 1",
            f"        elif sig[{place}] & {PARTS_MASK} != {UNKNOWN_LEVEL} or not {not_false} or not {not_true}:",
            "            return 1",
        ]

    def open_rule(self, place: int, rule: Rule, plan: Plan) -> list[str]:
        """Return the lines that compare the whole signature at `place` with what a rule says."""
        questions = self._questions
        fires, not_fires = questions.true(plan.fires), questions.false(plan.fires)
        reached = {level: level_questions(questions, rule, plan, level) for level in Level}
        levels: dict[int, list[Question]] = {level: [fires, *each] for level, each in reached.items() if each is not None}
        levels[Level.NORMAL] = [either((not_fires, both(levels.get(Level.NORMAL, (NO,)))))]
        # Where only the score is unknown, the compiled function is asked.
        levels[UNKNOWN_LEVEL] = [opposite(fires), opposite(not_fires)]
        lines = self._cases(f"sig[{place}] & {LEVEL_MASK}", levels)
        for node, shift in ((plan.clears, CLEARS_SHIFT), (plan.releases, RELEASES_SHIFT)):
            is_true, is_false = questions.true(node), questions.false(node)
            unknown = [opposite(is_true), opposite(is_false)]
            truths = {UNASKED: [], TRUTHS[True]: [is_true], TRUTHS[False]: [is_false], TRUTHS[None]: unknown}
            lines += self._cases(f"sig[{place}] >> {shift} & {TRUTH_MASK}", truths)
        return lines

    def _cases(self, known: str, cases: Mapping[int, Sequence[Question]]) -> list[str]:
        """Return the lines that ask what must hold where the part of a signature that `known` tells is each of some numbers."""
        start, seen = self._held, frozenset(self._seen)
        after: Held | None = None
        all_seen = set(seen)
        lines = [f"        known = {known}"]
        for number, wanted in cases.items():
            held, self._seen, texts = start, set(seen), []
            for question in wanted:
                text, held, _ = self._asked(question, held)
                texts.append(f"not {text}")
            all_seen |= self._seen
            after = held if after is None else after & held
            lines.append(f"        {'elif' if len(lines) > 1 else 'if'} known == {int(number)}:")
            lines += [line for text in texts for line in (f"            if {text}:", "                return 1")] or [
                "            pass"
            ]
        self._seen = all_seen
        self._held = start if after is None else after
        return [*lines, "        else:", "            return 1"]

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
            text, held = self._leaf(found.value, held)
            text = f"({name} := {text})"
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

    def _leaf(self, number: int, held: Held) -> tuple[str, Held]:
        """Return what reads a leaf: the depth of both sides is the sum of those of each, where other rules walk them as well."""
        field, arguments = self._graph.leaves[number]
        if field == "depth" and arguments[-1] == "both":
            bid, ask = (self._graph.leaf_node(Leaf(field, (*arguments[:-1], side))) for side in ("bid", "ask"))
            if bid is not None and ask is not None:
                bids, held = self._operand(bid, held)
                asks, held = self._operand(ask, held)
                return f"({bids} + {asks})", held
        self.leaves.add(number)
        return f"r{number}(X, I, x, i, p, q, c{number}, received)", held

    def _number(self, node: int, held: Held) -> tuple[str, Held]:
        found = self._graph.nodes[node]
        operation = found.operation
        if operation == "number":
            return self._truth_number(found.arguments[0], held)
        if operation == "score":
            return self._score(node, held)
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

    def _score(self, node: int, held: Held) -> tuple[str, Held]:
        """Return the weighted mean as text, in the order of the compiled function's arithmetic."""
        parts = self._questions.weighed(node)
        texts: dict[int, str] = {}
        for at in sorted(range(len(parts)), key=lambda at: parts[at][2]):
            texts[at], held = self._operand(self._questions.operand(parts[at][1]), held)
        required = [at for at, part in enumerate(parts) if not part[2]]
        total = " + ".join(f"{_literal(parts[at][0])} * {texts[at]}" for at in required)
        weight = _literal(added(parts[at][0] for at in required))
        optional = "".join(f"({_literal(parts[at][0])}, {texts[at]}), " for at in sorted(set(texts) - set(required)))
        return f"with_best({total}, {weight}, ({optional}))", held

    def _truth_number(self, condition: int, held: Held) -> tuple[str, Held]:
        is_true, yes, no = self._asked(self._questions.true(condition), held)
        is_false, second, third = self._asked(self._questions.false(condition), no)
        return f"(1.0 if {is_true} else 0.0 if {is_false} else nan)", yes & second & third


def _name(operand: Operand) -> str:
    return _literal(operand.value) if isinstance(operand, Constant) else f"n{operand}"


def _literal(value: float) -> str:
    return f"({value!r})"
