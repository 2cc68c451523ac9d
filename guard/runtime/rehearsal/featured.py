"""Tests that give the values of features themselves: the rule and the state machine run, the market does not."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.dsl.series import UnknownColumn, column, given_program, written_leaf
from guard.features.kernel import DONE, Kernel
from guard.features.kernel.slots import NEVER
from guard.runtime.rehearsal.scene import BEGIN_US, MARGIN_US, Scene, facts_of, last_us
from guard.runtime.rehearsal.script import Unplayable
from guard.runtime.rehearsal.shorthand import ShorthandError, values_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.dsl import Program, RuleSet
    from guard.dsl.series import Column
    from guard.features.kernel.rows import Bound, Screens
    from guard.features.tables import Leaf
    from guard.model import Batch, MarketFacts
    from guard.runtime.rehearsal.script import Case

__all__ = ["Featured", "featured"]

_DEADLINE: Final = 2
_LOOK_US: Final = 1_000_000


class Featured(NamedTuple):
    """What a test over series plays: the rule over given values, and the features that nobody gave."""

    scene: Scene
    program: Program
    kernel: Kernel
    unknown: tuple[str, ...]


def featured(case: Case, rules: RuleSet, program: Program) -> Featured:
    """Return what a test with ``features:`` plays. Raises Unplayable."""
    columns: dict[str, Column] = {}
    for name in case.features:
        try:
            columns[name] = column(program, case.rule, name)
        except UnknownColumn as error:
            raise Unplayable(str(error), "features", name, code=error.code, start=error.start, is_key=True) from error
    given = given_program(rules, program, case.rule, {each.alias for each in columns.values() if each.alias})
    names = {leaf: text or written_leaf(leaf, program, case.rule) for leaf, text in given.leaves_of(0).items()}
    series: dict[Leaf, list[float]] = {}
    for name, each in columns.items():
        if each.leaf not in names:
            reads = ", ".join(sorted(names.values())) or "nothing"
            raise Unplayable(
                f"the rule {case.rule} does not read {name}; it reads {reads}", "features", name, code="E079", is_key=True
            )
        if each.leaf in series:
            raise Unplayable(f"{name} is given twice", "features", name, code="E079", is_key=True)
        series[each.leaf] = _values(name, case.features[name], each)
    length_us = max(map(len, series.values())) * case.step_us
    end_us = case.length_us or max(length_us, last_us(case) + MARGIN_US)
    facts = facts_of(case.market, case.facts)._replace(streams=frozenset({"trades", "book", "peers"}))
    scene = Scene((facts,), [], BEGIN_US, end_us, {})
    unknown = tuple(sorted(text for leaf, text in names.items() if leaf not in series))
    return Featured(scene, given, SeriesKernel(given.leaves, series, begin_us=BEGIN_US, step_us=case.step_us), unknown)


def _values(name: str, text: str, found: Column) -> list[float]:
    try:
        return values_of(text, found.unit)
    except ShorthandError as error:
        code = "E081" if error.is_unit else "E080"
        raise Unplayable(str(error), "features", name, code=code, start=error.start) from error


class SeriesKernel(Kernel):
    """Gives one market's values of leaves from series, in place of what events make of them.

    Parameters
    ----------
    leaves
        What the rules read.
    series
        The values of some of them, one a step; the last one stays. All others are unknown.
    begin_us, step_us
        When the first value holds, and for how long each does, > 0.

    Notes
    -----
    It stops where any value changes, where a rule's timer runs out, and, as the kernel does, each second while time alone may
    change something.
    """

    def __init__(self, leaves: Sequence[Leaf], series: Mapping[Leaf, Sequence[float]], *, begin_us: int, step_us: int) -> None:
        # Nothing of the kernel's own state is made: it has no events, and no fields.
        self._given = tuple(leaves)
        self._steps = max(map(len, series.values()))
        self._table = [[_at(series.get(leaf), number) for leaf in self._given] for number in range(self._steps)]
        self._begin_us, self._step_us = begin_us, step_us
        self._number = -1
        self._market: list[MarketFacts] = []
        self.now_us = self._limit_us = 0
        self._due_us = NEVER
        self._looks = self.needs_screens = False

    def __len__(self) -> int:
        """Return the number of open markets."""
        return len(self._market)

    @property
    def is_jitted(self) -> bool:
        """Whether the kernel runs compiled; there is nothing to compile."""
        return False

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """What `values` gives, in order."""
        return self._given

    def open(self, facts: MarketFacts) -> int:
        """Give the market its row number."""
        self._market.append(facts)
        return len(self._market) - 1

    def facts(self, row: int) -> MarketFacts:
        """Return what was known of the market when it was opened."""
        return self._market[row]

    def set_reference(self, row: int, reference_row: int | None) -> None:
        """Nothing is judged against another market."""

    def load(self, code: Sequence[int], constants: Sequence[float], registers: int, signatures: int) -> None:
        """No rule is judged here."""

    def bind(self, row: int, program: int, screens: Screens | None, *, looks: bool) -> None:  # noqa: ARG002 - as the kernel has it
        """Note whether time alone may make a rule fire."""
        self._looks = looks

    def rebind(self, bound: Bound) -> None:
        """No other rules come."""

    def signatures(self, row: int) -> list[int]:  # noqa: ARG002 - as the kernel has it
        """Return nothing: what is told is not kept here."""
        return []

    def turned(self) -> list[int]:
        """Return no market: nothing turns here."""
        return []

    def sign(self, row: int, signatures: Sequence[int]) -> None:
        """Every evaluation is done outside."""

    def start(self, batch: Batch | None, *, now_us: int = 0, limit_us: int = 0) -> None:  # noqa: ARG002 - as the kernel has it
        """Let time pass up to `limit_us`; a batch has nothing to say here."""
        self._limit_us = limit_us
        self.now_us = max(self.now_us, now_us)

    def run(self, until_us: int | None) -> int:
        """Go on up to the next moment at which the rules must be looked at, or up to `until_us`."""
        upcoming = self._begin_us + (self._number + 1) * self._step_us if self._number + 1 < self._steps else NEVER
        due_us = min(upcoming, self._due_us)
        if due_us > self._limit_us or (until_us is not None and due_us > until_us):
            return DONE
        if due_us == upcoming:
            self._number += 1
        if due_us == self._due_us:
            self._due_us = NEVER
        self.now_us = max(self.now_us, due_us)
        return _DEADLINE

    @property
    def row(self) -> int:
        """The market at which `run` stopped."""
        return 0

    @property
    def position(self) -> int:
        """How many rows of the batch are done: there are none."""
        return 0

    @property
    def next_due_us(self) -> int | None:
        """When the market is due next."""
        return None if self._due_us == NEVER else self._due_us

    def schedule(self, row: int, *, is_open: bool, deadline_us: int | None) -> None:  # noqa: ARG002 - as the kernel has it
        """Note that the market was evaluated, and when a timer of a rule is due."""
        look_us = self.now_us + _LOOK_US if is_open or self._looks else NEVER
        timer_us = deadline_us if deadline_us is not None and deadline_us > self.now_us else NEVER
        self._due_us = min(look_us, timer_us)

    def wake(self, row: int, *, is_open: bool, deadline_us: int | None) -> None:  # noqa: ARG002 - as the kernel has it
        """Let the rules be run at `deadline_us`."""
        self._due_us = NEVER if deadline_us is None else deadline_us

    def values(self, row: int, received_us: int) -> list[float]:  # noqa: ARG002 - as the kernel has it
        """Return the values of `leaves` that hold now."""
        return self._table[self._number] if self._number >= 0 else [nan] * len(self._given)

    def version(self, row: int) -> int:  # noqa: ARG002 - as the kernel has it
        """Return a number that changes with the values."""
        return self._number + 2

    def data_ready(self, row: int) -> bool:  # noqa: ARG002 - as the kernel has it
        """Whether the data is good: what is given is."""
        return True


def _at(values: Sequence[float] | None, number: int) -> float:
    """Return one value of a series; the last one stays."""
    return nan if values is None else values[min(number, len(values) - 1)]
