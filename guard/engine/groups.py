"""One level for many markets: the groups of rules that judge a symbol over all exchanges, or a whole exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guard.model import Level, Target, TargetKind
from guard.model.assets import NO_ALIASES, asset_in, symbol_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from guard.dsl import Rule
    from guard.model import Market, Quorum

__all__ = ["Group", "Groups"]

# After a restart the markets of a feed open within seconds; one that has not by then may have left the exchange.
_AWAITED_US: Final = 600_000_000


class Group:
    """Level of one rule over the markets of one group.

    Parameters
    ----------
    quorum
        How many markets must hold a level at the same time.

    Notes
    -----
    The level is the highest one that at least the quorum of members hold, and only rises during an episode. It is normal again
    when fewer than the quorum hold warning or above.

    A member whose rule cannot tell keeps the level up, for unknown is not calm, but never raises it; once it can tell again it
    raises to what its rule reaches from then on, not to what it held before. No member ever leaves: the number that a ratio is of
    only grows. Therefore taking information away, at any moment, never raises the level. What an episode needs to go on is fixed
    when it begins: a market that opens does not end it.

    Every member is asked whether it is calm. One whose data is not ready may be anything. One whose data is ready though its rule
    cannot tell (a thin market without enough trades) counts so only if it held a level, or was not calm, since it was asked. After
    a restart, which forgets that, it may be anything, too.

    Examples
    --------
    >>> from guard.model import Quorum
    >>> group = Group(Quorum(2))
    >>> for member in (0, 1, 2):
    ...     group.join(member)
    >>> group.update(0, 10, Level.DANGER, Level.DANGER), group.update(2, 20, Level.WARNING, Level.WARNING)
    (None, <Level.NORMAL: 0>)
    >>> group.level, group.started_us, group.holders(Level.WARNING)
    (<Level.WARNING: 1>, 20, [0, 2])
    """

    __slots__ = (
        "_blamed",
        "_entered",
        "_is_asked",
        "_kept",
        "_loud",
        "_mute",
        "_standings",
        "_sure",
        "_words",
        "awaited",
        "awaited_until_us",
        "level",
        "quorum",
        "rows",
        "started_us",
    )

    def __init__(self, quorum: Quorum) -> None:
        self.quorum = quorum
        self.level = Level.NORMAL
        self.started_us = 0
        self.rows: dict[int, None] = {}
        self.awaited = 0
        self.awaited_until_us = 0
        self._entered = 0
        # Members above normal: the level that each holds and the one that it is sure of; and how many there are of each.
        self._standings: dict[int, tuple[Level, Level]] = {}
        self._kept = [0] * len(Level)
        self._sure = [0] * len(Level)
        # What members said of their calm, who held a level or was not calm meanwhile, and how many of those cannot tell.
        self._words: dict[int, bool | None] = {}
        self._blamed: set[int] = set()
        self._is_asked = False
        self._loud = 0
        self._mute = 0

    def join(self, row: int) -> None:
        """Take a market in; it is unknown until it says something."""
        self.rows[row] = None

    def missing(self, at_us: int) -> int:
        """Return how many markets are not open again after a restart; for ten minutes they may be what they were."""
        return max(0, self.awaited - len(self.rows)) if at_us < self.awaited_until_us else 0

    @property
    def needed(self) -> int:
        """How many markets the level takes now: that of its beginning while an episode lasts."""
        now = self.quorum.needed(len(self.rows))
        return now if self.level is Level.NORMAL else min(self._entered, now)

    def held(self, level: Level) -> int:
        """Return how many members hold `level` or a higher one, those that cannot tell included."""
        return sum(self._kept[max(level, Level.WARNING) :])

    def sure(self, level: Level) -> int:
        """Return how many members surely hold `level` or a higher one: only they raise the level."""
        return sum(self._sure[max(level, Level.WARNING) :])

    def holders(self, level: Level) -> list[int]:
        """Return the members that hold `level` or a higher one."""
        floor = max(level, Level.WARNING)
        return sorted(row for row, (held, _) in self._standings.items() if held >= floor)

    @property
    def speaker(self) -> int:
        """The member that stands for all where no event tips the group: the first that holds its level, else the first."""
        return min((row for row, (held, _) in self._standings.items() if held >= self.level), default=min(self.rows))

    def update(self, row: int, at_us: int, level: Level, reached: Level | None, *, may_clear: bool = True) -> Level | None:
        """Take the level of a member, and the one that its rule reaches now; None where it cannot tell.

        `may_clear` tells whether the rule knows if it is clear; where it does not, what the member held before raises nothing.
        Returns what the level of the group was where that changed it, None where it did not.
        """
        before = self.level
        # What ended while nobody looked must not keep a new rise from being told.
        is_over = self.awaited > 0 and self._settle(at_us)
        self.awaited = self.missing(at_us) and self.awaited
        before_sure = self._standings.get(row, _NONE)[1] if may_clear else Level.NORMAL
        self._put(row, level, Level.NORMAL if reached is None else min(level, max(before_sure, reached)))
        if self._settle(at_us):
            return Level.NORMAL if is_over else before
        return before if is_over else None

    def _put(self, row: int, level: Level, sure: Level) -> None:
        before = self._standings.pop(row, None)
        if before is not None:
            self._kept[before[0]] -= 1
            self._sure[before[1]] -= 1
        if level is not Level.NORMAL:
            self._blame(row)
            self._standings[row] = (level, sure)
            self._kept[level] += 1
            self._sure[sure] += 1

    def _settle(self, at_us: int) -> bool:
        before = self.level
        now = self.quorum.needed(len(self.rows))
        reached = next((level for level in _FALLING if self.sure(level) >= now), Level.NORMAL)
        if reached > before:
            if before is Level.NORMAL:
                self.started_us, self._entered = at_us, now
            self.level = reached
        elif before is not Level.NORMAL and self.held(Level.WARNING) < self.needed and not self.missing(at_us):
            self.level = Level.NORMAL
        return self.level is not before

    def hear(self, row: int, *, is_calm: bool | None, is_ready: bool = True) -> None:
        """Take what the release condition says of a member, None where it cannot tell, and whether the member's data is ready."""
        if row in self._words:
            before = self._words.pop(row)
            self._loud -= before is False
            self._mute -= before is None and row in self._blamed
        if is_calm is False:
            self._blame(row)
        if is_ready:
            self._words[row] = is_calm
            self._loud += is_calm is False
            self._mute += is_calm is None and row in self._blamed

    def _blame(self, row: int) -> None:
        if row not in self._blamed:
            self._blamed.add(row)
            self._mute += row in self._words and self._words[row] is None

    def _forget_words(self) -> None:
        self._words.clear()
        self._blamed = set(self._standings)
        self._loud = self._mute = 0

    def ask(self) -> None:
        """Let every member be asked anew whether it is calm, because a quarantine begins."""
        self._forget_words()
        self._is_asked = True

    def follow(self, before: Group) -> None:
        """Go on asking as the group of the same markets did under a rule that decided otherwise: who was to blame then still is."""
        self._is_asked = before._is_asked
        self._blamed = before._blamed & self.rows.keys()

    def calm(self, at_us: int) -> bool | None:
        """Whether fewer than the quorum are not calm; a member of which nothing is known may be either.

        None also where there are fewer markets than the quorum: the others are not open again.
        """
        needed = self.needed
        mute = self._mute if self._is_asked else sum(word is None for word in self._words.values())
        unknown = len(self.rows) - len(self._words) + mute + self.missing(at_us)
        if self._loud >= needed:
            return False
        return True if len(self.rows) >= needed > self._loud + unknown else None

    def save(self) -> dict[str, Any]:
        """Return the state as JSON-able values."""
        return {
            **self.saved_level(),
            "standings": [[row, int(level), int(sure)] for row, (level, sure) in sorted(self._standings.items())],
            "words": [[row, self._words[row]] for row in sorted(self._words)],
            "blamed": sorted(self._blamed),
            "asked": self._is_asked,
            "awaited": [self.awaited, self.awaited_until_us],
            "rows": list(self.rows),
        }

    def saved_level(self) -> dict[str, Any]:
        """Return what `resume` takes back: the level, and of how many members."""
        return {"level": int(self.level), "started_us": self.started_us, "entered": self._entered, "of": len(self.rows)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `save` returned; the same markets have joined, or more, but for those that their rule has left."""
        self.rows = dict.fromkeys(state.get("rows", self.rows))
        self._restore_level(state)
        self._standings.clear()
        self._kept, self._sure = [0] * len(Level), [0] * len(Level)
        for row, level, sure in state["standings"]:
            self._put(row, Level(level), Level(sure))
        self._forget_words()
        self._is_asked, self._blamed = state["asked"], set(state["blamed"])
        for row, is_calm in state["words"]:
            self.hear(row, is_calm=is_calm)
        self.awaited, self.awaited_until_us = state["awaited"]

    def resume(self, state: Mapping[str, Any], at_us: int) -> None:
        """Take over the level after a restart; members that are not open again yet keep it for ten minutes at most.

        Raises KeyError, TypeError or ValueError for what is no such state.
        """
        if Level(state["level"]) > self.level:
            self._restore_level(state)
            self.awaited, self.awaited_until_us = int(state["of"]), at_us + _AWAITED_US

    def _restore_level(self, state: Mapping[str, Any]) -> None:
        level, started_us, entered = Level(state["level"]), int(state["started_us"]), int(state["entered"])
        self.level, self.started_us, self._entered = level, started_us, entered

    def resume_member(self, row: int, level: Level) -> None:
        """Take over the level that a member comes back with after a restart; its rule cannot tell yet."""
        self._put(row, level, Level.NORMAL)


_NONE: Final = (Level.NORMAL, Level.NORMAL)
_FALLING: Final = (Level.CRITICAL, Level.DANGER, Level.WARNING)


class Groups:
    """The groups of all rules that judge markets together, by what decides the rule's level and the group's name."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, Group]] = {}
        self.aliases: Mapping[str, str] = NO_ALIASES

    def join(self, rule: Rule, row: int, market: Market) -> None:
        """Let a market belong to its group under a rule."""
        assert rule.quorum is not None
        groups = self._of.setdefault(rule.level_hash, {})
        name = rule.per.name_of(market)
        if name not in groups:
            groups[name] = Group(rule.quorum)
        groups[name].join(row)

    def of(self, rule: Rule, market: Market) -> Group:
        """Return the group of a market that joined."""
        return self._of[rule.level_hash][rule.per.name_of(market)]

    def level(self, rule: Rule, market: Market, own: Level) -> Level:
        """Return what counts for a market under a rule: `own`, the level that it has there alone, or that of its group."""
        return own if rule.quorum is None else self.of(rule, market).level

    def under(self, rule: Rule, target: Target) -> Sequence[Group]:
        """Return the groups of a rule that lie within a target."""
        groups = self._of.get(rule.level_hash, {})
        if target.kind is TargetKind.BASE:
            return [group for name, group in groups.items() if asset_in("", name.partition("/")[0], self.aliases) == target.name]
        if target.kind is TargetKind.SYMBOL and rule.per.target is TargetKind.SYMBOL:
            wanted = symbol_in("", target.name, self.aliases)
            return [group for name, group in groups.items() if symbol_in("", name, self.aliases) == wanted]
        found = groups.get(target.name) if target.kind is rule.per.target else None
        return () if found is None else (found,)

    def calm(self, rule: Rule, target: Target, at_us: int) -> bool | None:
        """Return whether every group within a target is calm."""
        words = {group.calm(at_us) for group in self.under(rule, target)}
        return False if False in words else True if words == {True} else None

    def all_of(self, rule: Rule) -> Sequence[Group]:
        """Return the groups of a rule."""
        return tuple(self._of.get(rule.level_hash, {}).values())

    def keep(self, hashes: AbstractSet[str]) -> bool:
        """Forget the groups of other rules than these, and return whether those of all of them are there."""
        self._of = {key: groups for key, groups in self._of.items() if key in hashes}
        return hashes <= self._of.keys()

    def named(self, rule: Rule) -> Mapping[str, Group]:
        """Return the groups of a rule by name."""
        return self._of.get(rule.level_hash, {})

    def save(self) -> dict[str, Any]:
        """Return the state as JSON-able values."""
        return {key: {name: group.save() for name, group in groups.items()} for key, groups in self._of.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `save` returned; a group that was not there then starts afresh."""
        for key, groups in self._of.items():
            for name, group in groups.items():
                saved = state.get(key, {}).get(name)
                if saved is not None:
                    group.restore(saved)
