"""One market under watch: its rules, their episodes, and what was last computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.engine.episode import Episode
from guard.engine.health import StreamHealth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.dsl import Binding, Outcome, Program
    from guard.model import MarketFacts

__all__ = ["Watched"]


class Watched:
    """State of one market beside its kernel record.

    `outcomes` are what the rules said when they were last computed, in the order of `binding.rules`, from the leaves' `values` at
    the kernel's `version` of the market; `episodes` likewise. `is_judged` tells that rules
    were run, `is_held` asks for evaluations while time passes, because a quarantine waits for calm.
    """

    __slots__ = (
        "binding",
        "episodes",
        "facts",
        "health",
        "is_held",
        "is_judged",
        "looks_at_age",
        "outcomes",
        "values",
        "version",
    )

    def __init__(self, facts: MarketFacts, program: Program) -> None:
        self.facts = facts
        self.health = StreamHealth(facts)
        self.is_held = False
        self.is_judged = False
        self.episodes: list[Episode] = []
        self.binding: Binding = program.bind(facts)
        self.bind(program, self.binding, [-1] * len(self.binding.rules))

    def bind(self, program: Program, binding: Binding, kept: Sequence[int]) -> None:
        """Take the rules of `program`; `kept` tells, for each, the place of its episode so far, -1 where there is none."""
        self.binding = binding
        self.outcomes: tuple[Outcome, ...] = ()
        self.values = [float("nan")] * len(program.leaves)
        self.version = -1
        # Time alone can make a rule fire on a calm market where a formula reads the age of a stream it has.
        self.looks_at_age = not program.aged_streams.isdisjoint(self.facts.streams)
        earlier = self.episodes
        self.episodes = [
            earlier[at] if at >= 0 else Episode(for_us=program.rules[rule].for_us, clear_for_us=program.rules[rule].clear_for_us)
            for rule, at in zip(binding.rules, kept, strict=True)
        ]

    @property
    def is_open(self) -> bool:
        """Whether time alone may change a level here."""
        if self.is_held:
            return True
        for episode in self.episodes:  # noqa: SIM110 - `any` costs more than all it looks at, for all markets when rules are swapped
            if episode.is_open:
                return True
        return False

    def due_us(self, now_us: int) -> int | None:
        """Return when a timer of an episode runs out, after `now_us`."""
        dues = [episode.due_us for episode in self.episodes if episode.is_open]
        return min((due for due in dues if due is not None and due > now_us), default=None)
