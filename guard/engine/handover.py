"""Which episodes go on when the rules of a market are replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.engine.episode import Episode
from guard.model import ActionKind, Block, RuleMode

if TYPE_CHECKING:
    from guard.dsl import Program
    from guard.dsl.rule import Rule
    from guard.model import ActionOrder, Level

__all__ = ["Handover", "holds_more", "may_more", "orders_more"]


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
    """Whether a rule tells people, holds, posts or calls at a level at which it did not before, or holds more."""
    is_told = _tells(rule, level) and not _tells(was, level)
    return is_told or holds_more(rule, was, level) or bool(orders_more(rule, was, level))


def holds_more(rule: Rule, was: Rule, level: Level) -> bool:
    """Whether a rule holds at a level at which it did not before, or another target there, or more than shrinking."""
    if not _holds(rule, level):
        return False
    now, before = rule.actions[level].quarantine, was.actions[level].quarantine
    assert now is not None
    if not _holds(was, level) or before is None:
        return True
    return now.target is not before.target or (now.block is Block.ENTRIES and before.block is not Block.ENTRIES)


def orders_more(rule: Rule, was: Rule, level: Level) -> tuple[ActionOrder, ...]:
    """Return what a rule posts and calls at a level that it did not before; another timeout makes no other order."""
    before = {(order.lane, order.arguments) for order in _orders(was, level)}
    return tuple(order for order in _orders(rule, level) if (order.lane, order.arguments) not in before)


def _tells(rule: Rule, level: Level) -> bool:
    return rule.mode in {RuleMode.ALERT, RuleMode.ENFORCE} and rule.actions[level].alert


def _holds(rule: Rule, level: Level) -> bool:
    return rule.mode is RuleMode.ENFORCE and rule.actions[level].quarantine is not None


def _orders(rule: Rule, level: Level) -> tuple[ActionOrder, ...]:
    if rule.mode not in {RuleMode.ALERT, RuleMode.ENFORCE}:
        return ()
    orders = rule.actions[level].orders
    return tuple(order for order in orders if rule.mode is RuleMode.ENFORCE or order.kind is not ActionKind.CALL)
