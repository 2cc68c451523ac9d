"""The allow entries that stand: those of guard.yaml, and those that people ordered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guard.errors import OperationRefused
from guard.model.allow import ALLOW_FILE, AllowChange, AllowEntry
from guard.model.assets import NO_ALIASES
from guard.model.command import AddAllow
from guard.model.moments import utc
from guard.model.quarantine import TargetKind
from guard.quarantine.codec import allow_from_json, allow_to_json
from guard.quarantine.commands import OPERATOR_RULE, checked_target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guard.model.command import RemoveAllow
    from guard.model.quarantine import Hold

__all__ = ["AllowEntry", "AllowList"]

_ENTRIES_MAX: Final = 1_000
_NAMED_MAX: Final = 5


class AllowList:
    """What rules may not hold, until when. Pure: time comes in with each call.

    Notes
    -----
    At most 1,000 entries that people ordered; those of guard.yaml are replaced as a whole. An entry ends by itself.

    Examples
    --------
    >>> from guard.model import AddAllow, Hold, Level, Target, TargetKind
    >>> allowed, market = AllowList(), Target(TargetKind.MARKET, "sim:X/USDT")
    >>> change = allowed.operate(AddAllow(market, ("pump_dump",), 60, "our own listing", "ann"), 100)
    >>> hold = Hold("pump_dump", None, market, Level.DANGER, "", for_us=1, max_us=1)
    >>> [None if found is None else found.until_us for found in (allowed.over(hold, at_us) for at_us in (159, 160))]
    [160, None]
    """

    def __init__(self, aliases: Mapping[str, str] = NO_ALIASES) -> None:
        self._aliases = aliases
        self._written: tuple[AllowEntry, ...] = ()
        self._ordered: dict[str, AllowEntry] = {}

    def write(self, entries: Iterable[AllowEntry]) -> None:
        """Replace the entries of guard.yaml."""
        self._written = tuple(entry._replace(target=entry.target.canonical(aliases=self._aliases)) for entry in entries)

    def all(self, at_us: int) -> tuple[AllowEntry, ...]:
        """Return what stands at `at_us`: the file's, then what was ordered, oldest first."""
        return tuple(entry for entry in (*self._written, *self._ordered.values()) if not entry.is_over(at_us))

    def over(self, hold: Hold, at_us: int) -> AllowEntry | None:
        """Return the entry that suppresses a rule's `hold` at `at_us`, the one that does so longest; None where none does."""
        if hold.rule == OPERATOR_RULE:
            return None
        found = [entry for entry in self.all(at_us) if entry.overrides(hold, at_us=at_us, aliases=self._aliases)]
        return max(found, key=lambda entry: (entry.until_us is None, entry.until_us or 0), default=None)

    def operate(self, command: AddAllow | RemoveAllow, at_us: int) -> tuple[AllowChange, ...]:
        """Carry out a person's order and return what it changed. Raises OperationRefused with nothing changed."""
        self._forget(at_us)
        return (self._add(command, at_us),) if isinstance(command, AddAllow) else self._remove(command, at_us)

    def restore(self, entries: Iterable[AllowEntry], now_us: int) -> None:
        """Take over what people ordered, in place of what stands; those of guard.yaml stay."""
        self._ordered = {entry.id: entry for entry in entries}
        self._forget(now_us)

    def save(self) -> list[dict[str, Any]]:
        """Return what people ordered, ready for JSON."""
        return [allow_to_json(entry) for entry in self._ordered.values()]

    def load(self, saved: Iterable[Mapping[str, Any]]) -> None:
        """Take over what `save` returned."""
        self._ordered = {entry.id: entry for entry in map(allow_from_json, saved)}

    def _forget(self, at_us: int) -> None:
        self._ordered = {name: entry for name, entry in self._ordered.items() if not entry.is_over(at_us)}

    def _add(self, command: AddAllow, at_us: int) -> AllowChange:
        target = checked_target(command.target, self._aliases)
        if target.kind is TargetKind.EXCHANGE:
            raise OperationRefused("an allow entry is for a market, a symbol or a base asset; found a whole exchange")
        if command.for_us <= 0:
            raise OperationRefused(f"an allow entry for {target} needs a length above 0, found {command.for_us / 1e6:g} s")
        if OPERATOR_RULE in command.rules:
            raise OperationRefused("an allow entry never overrides a person's own hold: release that instead")
        if len(self._ordered) >= _ENTRIES_MAX:
            raise OperationRefused(f"there are {_ENTRIES_MAX} allow entries, and no more are kept; take one back first")
        until_us = at_us + command.for_us
        rules = frozenset(command.rules)
        alike = [each for each in self._ordered.values() if (each.target, each.rules) == (target, rules)]
        same = max(alike, key=lambda each: each.until_us or 0, default=None)
        if same is not None and same.until_us is not None and same.until_us >= until_us:
            raise OperationRefused(f"{target} is allowed until {utc(same.until_us)} already ({same.id}); take that back first")
        entry = AllowEntry(target, rules, until_us, command.reason, command.actor, at_us)
        self._ordered[entry.id] = entry
        return AllowChange(at_us, entry, "added", command.actor, command.reason)

    def _remove(self, command: RemoveAllow, at_us: int) -> tuple[AllowChange, ...]:
        if command.target is None and command.id is None:
            raise OperationRefused("an allow entry is taken back by id or target, found neither")
        target = None if command.target is None else checked_target(command.target, self._aliases)
        written = [each for each in self._written if each.id == command.id or each.target == target]
        found = [each for each in self._ordered.values() if each.id == command.id or (command.id is None and each.target == target)]
        if not found and written:
            raise OperationRefused(f"the entry for {written[0].target} stands in {ALLOW_FILE}; take it out there")
        if not found:
            known = ", ".join(f"{each.id} ({each.target})" for each in list(self._ordered.values())[:_NAMED_MAX]) or "none"
            raise OperationRefused(f"no allow entry {command.id or f'for {target}'}; ordered are {known}")
        for each in found:
            del self._ordered[each.id]
        return tuple(AllowChange(at_us, each, "removed", command.actor, command.reason) for each in found)
