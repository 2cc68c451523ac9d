"""What one expression costs: guard's compiled function against expression languages for others to embed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from guard.dsl import compile_rules, rules_from_text
from guard.dsl.compiler import compile_condition
from guard.dsl.problems import Report
from guard.errors import RuleError, Unavailable
from guard.features.tables import Field, Unit
from guard.model import Market, MarketFacts
from guard.runtime.bench.chance import Chance
from guard.runtime.bench.peer import Peer
from guard.runtime.bench.rounds import interleaved, timed
from guard.runtime.bench.rows import Bar, Row, judged, unjudged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from guard.dsl import Program
    from guard.runtime.bench.plan import Plan

__all__ = ["EXPRESSION", "Variables", "measure", "program", "variables"]

EXPRESSION = "a > 3 and (b + c) / d > 0.5"
_TIMES = 8.0
_ROWS = 20_000
_ROUNDS_OF_ROWS = 10
_SEED = 8
_ODD_SHARE = 0.05


class Variables(NamedTuple):
    """One value of each name a row."""

    a: NDArray[np.float64]
    b: NDArray[np.float64]
    c: NDArray[np.float64]
    d: NDArray[np.float64]


def measure(plan: Plan) -> Iterator[Row]:
    """Yield how many times cheaper the expression is than in each peer, and what the whole outcome of its rule costs."""
    sound = variables(max(1_000, int(_ROWS * plan.scale)))
    rules, odd = program(), _odd(sound)
    rows = list(zip(*(getattr(odd, leaf.field).tolist() for leaf in rules.leaves), strict=True))
    ours = _task(plan, compile_condition(rules._graph, rules._plans[0].fires), rows)  # noqa: SLF001 - the rule's condition alone
    for name in ("cel", "simpleeval"):
        row = Row(
            f"m.{name}",
            f"{EXPRESSION}, unknown-guarded, times cheaper than {name}",
            "ns",
            "plain",
            Bar(_TIMES, is_ceiling=False),
        )
        yield _against(plan, name, row, ours, sound)
    whole = Row("m.rule", "the whole outcome of a rule with this condition", "ns", "plain", Bar(_TIMES, is_ceiling=False))
    facts = MarketFacts(Market("bench", "X/USDT"))
    yield _against(plan, "simpleeval", whole, _task(plan, rules.bind(facts).evaluate, rows), sound)._replace(
        is_met=None, note="told beside the expression: fires, score, clears and releases of the rule, and the record of them"
    )


def program() -> Program:
    """Return one rule with the expression, over four fields that are always there."""
    report = Report()
    rules = rules_from_text(f"rules: {{one: {{level: warning, when: '{EXPRESSION}'}}}}", report)
    if report.errors:
        raise RuleError(*report.errors)
    fields = [Field(name, Unit.NONE, f"The number {name}.", ()) for name in Variables._fields]
    return compile_rules(rules, fields=fields, catalogue=(), detectors={})


def variables(count: int) -> Variables:
    """Return rows over which either half of the expression holds and does not hold."""
    chance = Chance(_SEED)
    bounds = ((2.0, 5.0), (0.0, 1.0), (0.0, 1.0), (0.1, 4.0))
    return Variables(*(low + (high - low) * chance.uniform(count) for low, high in bounds))


def _odd(sound: Variables) -> Variables:
    """Return the rows with zeros to divide by and unknown numbers among them: the peers, which raise there, are spared them."""
    draw = Chance(_SEED + 1).uniform(len(sound.d))
    d = np.where(draw < _ODD_SHARE, 0.0, sound.d)
    return sound._replace(d=np.where(draw > 1.0 - _ODD_SHARE, np.nan, d))


def _task(plan: Plan, evaluate: Callable[[Sequence[float]], object], rows: Sequence[tuple[float, ...]]) -> Callable[[], float]:
    def run() -> None:
        for _ in range(_ROUNDS_OF_ROWS):
            for row in rows:
                evaluate(row)

    return lambda: 1e9 * timed(run, plan.clock) / (_ROUNDS_OF_ROWS * len(rows))


def _against(plan: Plan, name: str, row: Row, ours: Callable[[], float], sound: Variables) -> Row:
    try:
        with Peer(name, plan.peers, sound) as peer:
            mine, theirs = interleaved([ours, lambda: 1e9 * peer.per_event()], plan.rounds)
            return judged(row._replace(reference_name=peer.name), mine, theirs, is_inverse=True)
    except Unavailable as why:
        (mine,) = interleaved([ours], plan.rounds)
        return unjudged(row, mine, str(why))
