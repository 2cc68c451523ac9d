"""Which episodes go on when the rules of a market are replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.engine.episode import Episode
from guard.model import RuleMode

if TYPE_CHECKING:
    from guard.dsl import Program
    from guard.dsl.rule import Rule
    from guard.model import Level

__all__ = ["Handover", "may_more"]


class Handover:
    """What markets share that had the same rules and get the same ones: rules with the same levels as before keep their episodes.

    Parameters
    ----------
    old, new
        The programs before and after.
    before, after
        The rules of the markets in either, as numbers.

    Attributes
    ----------
    ended
        Rules whose episodes do not go on, each with its place before.
    edited
        Rules whose episodes go on but that may do other things now: the place after, the rule, and the rule it was.
    """

    __slots__ = ("_fresh", "_places", "_replaced", "edited", "ended")

    def __init__(self, old: Program, new: Program, before: tuple[int, ...], after: tuple[int, ...]) -> None:
        at = {old.rules[number].level_hash: place for place, number in enumerate(before)}
        kept = [at.get(new.rules[number].level_hash, -1) for number in after]
        fresh = [new.rules[number] for number, place in zip(after, kept, strict=True) if place < 0]
        self._fresh = [(rule.for_us, rule.clear_for_us) for rule in fresh]
        behind = iter(range(len(before), len(before) + len(fresh)))
        self._places = [next(behind) if place < 0 else place for place in kept]
        # Rules that stay at their places need not be touched, market by market.
        is_in_place = len(kept) == len(before) and all(place in (-1, number) for number, place in enumerate(kept))
        self._replaced = [number for number, place in enumerate(kept) if place < 0] if is_in_place else None
        self.ended = tuple((place, old.rules[number]) for place, number in enumerate(before) if place not in kept)
        pairs = [
            (place, new.rules[number], old.rules[before[was]])
            for place, (number, was) in enumerate(zip(after, kept, strict=True))
            if was >= 0
        ]
        self.edited = tuple((place, rule, was) for place, rule, was in pairs if rule.hash != was.hash)

    def episodes(self, earlier: list[Episode]) -> list[Episode]:
        """Return an episode for each rule after: that of `earlier` where the rule is unchanged; that list may become the answer."""
        made = [Episode(for_us=for_us, clear_for_us=clear_for_us) for for_us, clear_for_us in self._fresh]
        if self._replaced is not None:
            for place, episode in zip(self._replaced, made, strict=True):
                earlier[place] = episode
            return earlier
        return list(map([*earlier, *made].__getitem__, self._places))


def may_more(rule: Rule, was: Rule, level: Level) -> bool:
    """Whether a rule tells people or holds a target at a level at which it did not before."""
    return any(may(rule, level) and not may(was, level) for may in (_tells, _holds))


def _tells(rule: Rule, level: Level) -> bool:
    return rule.mode in {RuleMode.ALERT, RuleMode.ENFORCE} and rule.actions[level].alert


def _holds(rule: Rule, level: Level) -> bool:
    return rule.mode is RuleMode.ENFORCE and rule.actions[level].quarantine is not None
