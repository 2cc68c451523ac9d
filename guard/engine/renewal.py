"""An open market whose tags or listing risk changed: its rules are chosen and bound anew, and nothing else begins anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.engine.handover import Handover
from guard.engine.verdicts import ended_verdicts, of_group, verdict_of
from guard.model import Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.dsl import Rule
    from guard.engine.engine import Engine
    from guard.model import MarketFacts, Verdict

__all__ = ["renew"]


def renew(engine: Engine, row: int, facts: MarketFacts, now_us: int) -> tuple[Verdict, ...]:
    """Let a market have other facts from now on, and return the verdicts that end with it.

    Rules that look at the market as before keep their episodes and timers. One that does not look at it any more ends there, with
    its level; one that does for the first time begins. In a group, a market that its rule has left counts as calm.
    """
    # What the kernel keeps of the rules before says nothing of those that come.
    engine.ask(row)
    watched, program = engine.watched[row], engine.program
    binding = program.bind(facts)
    handover = Handover(program, program, watched.binding.rules, binding.rules)
    over = (*ended_verdicts(watched, handover.ended, now_us), *_left_groups(engine, row, handover, now_us))
    watched.facts = facts
    watched.bind(binding, handover.episodes(watched.episodes), program.unknown)
    engine._join_groups(row)  # noqa: SLF001 - a part of the engine
    engine._bind(row)  # noqa: SLF001 - likewise
    engine._wake(row, now_us)  # noqa: SLF001 - likewise
    return over


def _left_groups(engine: Engine, row: int, handover: Handover, now_us: int) -> Iterator[Verdict]:
    for place, rule in handover.ended:
        if rule.quorum is not None:
            yield from _left(engine, row, place, rule, now_us)


def _left(engine: Engine, row: int, place: int, rule: Rule, now_us: int) -> Iterator[Verdict]:
    watched = engine.watched[row]
    group = engine.groups.of(rule, watched.facts.market)
    engine.look(row, now_us)
    before = group.update(row, now_us, Level.NORMAL, Level.NORMAL)
    group.hear(row, is_calm=True)
    if before is not None and watched.outcomes:
        outcome, episode = watched.outcomes[place], watched.episodes[place]
        own = verdict_of(engine.program, watched, rule, outcome, episode, before=before, at_us=now_us)
        yield of_group(own, rule, group, engine.watched, before=before)
