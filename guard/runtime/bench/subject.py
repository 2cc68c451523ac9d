"""What is measured: pipelines and kernels over the bench's rules, with or without the compiled kernel."""

from __future__ import annotations

from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from guard.dsl import compile_rules, load_rules
from guard.features.kernel.machine import SAME, STRIDE
from guard.pipeline import Pipeline, Settings
from guard.runtime.bench.made import OPTION, made
from guard.runtime.bench.past import past
from guard.runtime.bench.workload import EXCHANGES, batches
from guard.runtime.settings import board_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.dsl import Program
    from guard.features.kernel import Kernel
    from guard.features.kernel.rows import Screen
    from guard.model import Batch
    from guard.runtime.bench.plan import Behind, Plan
    from guard.runtime.bench.rows import Row
    from guard.runtime.bench.workload import Markets

__all__ = ["Build", "Warmed", "best_build", "both_builds", "fold", "hurried", "lived", "pipeline", "program", "quiet"]

_NO_NUMBA = "the extra `fast` (numba) is missing"
_NOOPTION = "this version has no compiled kernel"
_ASKED = "--plain was given"
_RULES = Path(__file__).with_name("rules.yaml")
_REFERENCE = "C0/USDT"


class Build(NamedTuple):
    """How the kernel runs in a measure; `why_not` tells why not compiled."""

    is_jitted: bool
    why_not: str = ""

    @property
    def name(self) -> str:
        """The word for it in the table."""
        return "jitted" if self.is_jitted else "plain"

    def judge(self, row: Row) -> Row:
        """Return a row whose bar is for the compiled kernel: not judged where that is not what ran."""
        if self.is_jitted:
            return row
        why = f"run plain ({self.why_not}), and the bar is for the compiled kernel"
        return row._replace(is_met=None, note="; ".join(filter(None, (row.note, why))))


def best_build(plan: Plan) -> Build:
    """Return the compiled build where this machine and `plan` allow it."""
    if plan.is_plain:
        return Build(is_jitted=False, why_not=_ASKED)
    if OPTION not in signature(Pipeline).parameters:
        return Build(is_jitted=False, why_not=_NOOPTION)
    return Build(is_jitted=True) if find_spec("numba") is not None else Build(is_jitted=False, why_not=_NO_NUMBA)


def both_builds(plan: Plan) -> list[Build]:
    """Return the compiled build, where this machine and `plan` allow it, and the plain one."""
    plain = Build(is_jitted=False)
    return [Build(is_jitted=True), plain] if best_build(plan).is_jitted else [plain]


def program() -> Program:
    """Return the fifteen rules, compiled."""
    return compile_rules(load_rules([_RULES]))


def pipeline(
    rules: Program, markets: Markets, *, is_jitted: bool, streams: frozenset[str] = frozenset({"trades", "book"})
) -> Pipeline:
    """Return a fresh pipeline that watches `markets`; their row numbers are those of the workload."""
    settings = Settings(alerts=board_policy(), references=dict.fromkeys(EXCHANGES, _REFERENCE), has_peers=True)
    fresh = made(rules, settings, is_jitted=is_jitted)
    for facts in markets.facts(streams=streams):
        fresh.open(facts)
    return fresh


def lived(rules: Program, markets: Markets, *, is_jitted: bool, seconds: int) -> Pipeline:
    """Return a pipeline that has watched `markets` for so long."""
    subject = pipeline(rules, markets, is_jitted=is_jitted)
    for batch in batches(past(markets, seconds=seconds, minutes=0)):
        subject.process(batch if is_jitted else batch.plain())
    return subject


def hurried(subject: Pipeline) -> Pipeline:
    """Return a pipeline whose rules run as machine code from now on, where its kernel is compiled."""
    if (screens := subject.native_screens()) is not None:
        subject.take_native_screens(screens())
    return subject


def _says_nothing(_reads: object, _places: object) -> Screen:
    return lambda *_: 0


def quiet(kernel: Kernel) -> Kernel:
    """Let a kernel's rules say nothing, at no cost, and time alone change nothing: what is left is the upkeep of its state."""
    kernel.load([SAME] * STRIDE, [], 1, 1)
    for row in range(len(kernel)):
        kernel.bind(row, 0, (_says_nothing, _says_nothing), looks=False)
        kernel.wake(row, is_open=False, deadline_us=None)
    return kernel


def fold(kernel: Kernel, rows: Sequence[Batch]) -> int:
    """Fold batches into a kernel that is `quiet`, one call for each, and return how often it looked at its rules."""
    before = kernel.evaluations
    for batch in rows:
        kernel.start(batch)
        kernel.run(None)
    return kernel.evaluations - before


class Warmed:
    """Pipelines that all stand where a watched market stands: live, warm, a book on either side.

    Parameters
    ----------
    behind
        How much of a past they have when the stream of a measure begins.

    Notes
    -----
    The past is processed once and saved; `fresh` restores it, so that every round begins at the same state.
    """

    def __init__(self, markets: Markets, *, is_jitted: bool, behind: Behind, is_book: bool = True) -> None:
        self._markets = markets
        self._is_jitted = is_jitted
        self._streams = frozenset({"trades", "book"} if is_book else {"trades"})
        self._program = program()
        first = self._made()
        for batch in batches(past(markets, seconds=behind.live_s, minutes=behind.minutes, is_book=is_book)):
            first.process(batch if is_jitted else batch.plain())
        self._state = first.save()

    def _made(self) -> Pipeline:
        return pipeline(self._program, self._markets, is_jitted=self._is_jitted, streams=self._streams)

    def fresh(self) -> Pipeline:
        """Return a pipeline of its own in the saved state."""
        made = self._made()
        made.restore(self._state)
        return hurried(made)
