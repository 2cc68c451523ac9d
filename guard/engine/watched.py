"""One market under watch: its rules, their episodes, and what was last computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.engine.episode import Episode
from guard.engine.health import StreamHealth

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
        "outcomes",
        "spent",
        "values",
        "version",
    )

    def __init__(self, facts: MarketFacts, program: Program) -> None:
        self.facts = facts
        self.health = StreamHealth(facts)
        self.is_held = False
        self.is_judged = False
        self.outcomes: tuple[Outcome, ...] = ()
        self.values: Sequence[float] = ()
        self.spent: object = None
        self.begin(program)

    def begin(self, program: Program) -> None:
        """Take the rules that fit the facts, each with a fresh episode."""
        binding = program.bind(self.facts)
        rules = (program.rules[number] for number in binding.rules)
        self.bind(binding, [Episode(for_us=rule.for_us, clear_for_us=rule.clear_for_us) for rule in rules], program.unknown)

    def bind(self, binding: Binding, episodes: list[Episode], unknown: Sequence[float]) -> None:
        """Take other rules, each with its episode; `unknown` are the values of their leaves while nothing was read."""
        # Freed when rules are run the next time: for all markets at once that takes longer than all else of a swap.
        self.spent = (self.outcomes, self.values)
        self.binding = binding
        self.episodes = episodes
        self.outcomes = ()
        self.values = unknown
        self.version = -1

    @property
    def looks_at_age(self) -> bool:
        """Whether time alone can make a rule fire on a calm market."""
        return self.binding.looks_at_age

    @property
    def is_open(self) -> bool:
        """Whether time alone may change a level here."""
        if self.is_held:
            return True
        for episode in self.episodes:  # noqa: SIM110 - `any` costs more than all it looks at, for all markets when rules are swapped
            if episode.is_open:
                return True
        return False

    def save(self, program: Program) -> dict[str, Any]:
        """Return the state as JSON-able values."""
        pairs = zip(self.binding.rules, self.episodes, strict=True)
        return {
            "health": self.health.save(),
            "treated": [sorted(self.facts.tags), self.facts.listing_risk],
            "is_held": self.is_held,
            "is_judged": self.is_judged,
            "episodes": {program.rules[number].hash: episode.save() for number, episode in pairs},
        }

    def restore(self, saved: Mapping[str, Any], program: Program) -> None:
        """Take over what `save` returned; a rule that was not there then keeps its fresh episode."""
        self.health.restore(saved["health"])
        tags, listing_risk = saved.get("treated", (self.facts.tags, self.facts.listing_risk))
        if (self.facts.tags, self.facts.listing_risk) != (frozenset(tags), listing_risk):
            self.facts = self.facts._replace(tags=frozenset(tags), listing_risk=listing_risk)
            self.begin(program)
        self.is_held, self.is_judged = saved["is_held"], saved["is_judged"]
        self.version = -1
        for number, episode in zip(self.binding.rules, self.episodes, strict=True):
            kept = saved["episodes"].get(program.rules[number].hash)
            if kept is not None:
                episode.restore(kept)

    def due_us(self, now_us: int) -> int | None:
        """Return when a timer of an episode runs out, after `now_us`."""
        dues = [episode.due_us for episode in self.episodes if episode.is_open]
        return min((due for due in dues if due is not None and due > now_us), default=None)
