"""One market under watch: its rules, their episodes, and what was last computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.engine.episode import Episode
from guard.engine.health import StreamHealth

if TYPE_CHECKING:
    from guard.dsl import Binding, Outcome, Program
    from guard.model import MarketFacts

__all__ = ["Watched"]


class Watched:
    """State of one market beside its kernel record.

    `outcomes` are those of the last evaluation, in the order of `binding.rules`; `episodes` likewise. `is_held` asks for
    evaluations while time passes, because a quarantine waits for calm.
    """

    __slots__ = (
        "binding",
        "episodes",
        "facts",
        "health",
        "idle_us",
        "is_held",
        "last_received_us",
        "looks_at_age",
        "outcomes",
        "values",
    )

    def __init__(self, facts: MarketFacts, program: Program) -> None:
        self.facts = facts
        self.health = StreamHealth(facts)
        self.is_held = False
        self.idle_us = 0
        self.last_received_us = 0
        self.episodes: list[Episode] = []
        self.bind(program, kept={})

    def bind(self, program: Program, *, kept: dict[str, Episode]) -> None:
        """Take the rules of `program`; those whose hash is in `kept` go on with their episode."""
        self.binding: Binding = program.bind(self.facts)
        self.outcomes: tuple[Outcome, ...] = ()
        self.values = [float("nan")] * len(program.leaves)
        # Time alone can make a rule fire on a calm market where a formula reads the age of a stream it has.
        self.looks_at_age = any(leaf.field == "age" and leaf.arguments[0] in self.facts.streams for leaf in program.leaves)
        rules = [program.rules[index] for index in self.binding.rules]
        self.episodes = [kept.get(rule.hash) or Episode(for_us=rule.for_us, clear_for_us=rule.clear_for_us) for rule in rules]

    @property
    def is_open(self) -> bool:
        """Whether time alone may change a level here."""
        return self.is_held or any(episode.is_open for episode in self.episodes)
