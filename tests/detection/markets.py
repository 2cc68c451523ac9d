"""Packs over events, without the engine: scores of each rule on each market, at the moments at which the kernel asks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.features.kernel import Kernel
from guard.model import Batch, MarketFacts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from guard.dsl import Program

PACKS = Path(__file__).parents[2] / "rules"
DATA = Path(__file__).parents[2] / "../shared/data"


class Moment(NamedTuple):
    at_us: int
    rule: str
    market: int
    score: float | None
    fires: bool | None
    releases: bool | None
    detectors: tuple[float | None, ...]


def program(*packs: str) -> Program:
    """Compile the shipped packs of these names into one program."""
    (pack,) = packs
    return compile_rules(rules_from_text((PACKS / f"{pack}.yaml").read_text(), Report(), file=f"{pack}.yaml"))


class Bench:
    """A kernel with markets; each row that is fed may yield moments."""

    def __init__(self, compiled: Program, facts: Iterable[MarketFacts], *, reference: int | None = None) -> None:
        self.program = compiled
        self.kernel = Kernel(compiled.leaves)
        self.bindings = []
        for one in facts:
            row = self.kernel.open(one)
            self.kernel.set_reference(row, reference)
            self.bindings.append(compiled.bind(one))
        self._values = [0.0] * len(compiled.leaves)
        self._batch = Batch(1)

    def look(self, row: int, at_us: int, received_us: int) -> Iterator[Moment]:
        self.kernel.read(row, at_us, received_us, self._values)
        for outcome in self.bindings[row].evaluate(self._values):
            rule = self.program.rules[outcome.rule].id
            yield Moment(at_us, rule, row, outcome.score, outcome.fires, outcome.releases, outcome.detectors)

    def append(self, kind: int, market: int, *, at_us: int, received_us: int, **columns: float) -> list[Moment]:
        self._batch.clear()
        self._batch.append(kind, market, at_us=at_us, received_us=received_us, **columns)  # type: ignore[arg-type]
        return list(self.look(market, at_us, received_us)) if self.kernel.apply(self._batch, 0) else []
