"""All that is held now: found by rule, target and market, and by its next deadline."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any

from guard.model.assets import NO_ALIASES, asset_in, symbol_in
from guard.model.quarantine import Target, TargetKind
from guard.quarantine.calm import CalmClock
from guard.quarantine.codec import quarantine_from_json, quarantine_to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from guard.model.market import Market
    from guard.model.quarantine import Quarantine

__all__ = ["Case", "Cases"]

# Deadlines that moved leave a stale entry in the heap; it is rebuilt before they outnumber the live ones by more than this.
_STALE_PER_CASE = 4
_STALE_MIN = 64


class Case:
    """One quarantine with its calm clock. `due_us` is its deadline, kept by `Cases.schedule`."""

    __slots__ = ("calm", "due_us", "quarantine")

    def __init__(self, quarantine: Quarantine, calm: CalmClock, due_us: int = -1) -> None:
        self.quarantine = quarantine
        self.calm = calm
        self.due_us = due_us

    @classmethod
    def load(cls, saved: Mapping[str, Any]) -> Case:
        """Return the case that `save` described."""
        return cls(quarantine_from_json(saved["quarantine"]), CalmClock.load(saved["calm"]), saved["due_us"])

    def save(self) -> dict[str, Any]:
        """Return the state, ready for JSON."""
        return {"quarantine": quarantine_to_json(self.quarantine), "calm": self.calm.save(), "due_us": self.due_us}


class Cases:
    """The live cases. One rule holds one target at most once; `aliases` tell which asset a base is."""

    def __init__(self, aliases: Mapping[str, str] = NO_ALIASES) -> None:
        self._aliases = aliases
        self._by_target: dict[Target, dict[str, Case]] = {}
        self._heap: list[tuple[int, str, str, Target]] = []
        self._count = 0

    def __iter__(self) -> Iterator[Case]:
        """Go through all cases, oldest target first."""
        for rules in self._by_target.values():
            yield from rules.values()

    def __len__(self) -> int:
        """Return how many there are."""
        return self._count

    def get(self, rule: str, target: Target) -> Case | None:
        """Return the case of `rule` on exactly `target`."""
        return self._by_target.get(target, {}).get(rule)

    def on(self, target: Target) -> tuple[Case, ...]:
        """Return all cases on exactly `target`."""
        return tuple(self._by_target.get(target, {}).values())

    def over(self, market: Market) -> Iterator[Case]:
        """Go through all cases whose target covers `market`."""
        for target in self._targets_over(market):
            yield from self._by_target.get(target, {}).values()

    def of_rule_over(self, rule: str, market: Market) -> tuple[Case, ...]:
        """Return the cases of `rule` whose target covers `market`."""
        if not self._by_target:
            return ()
        found = (self._by_target.get(target, {}).get(rule) for target in self._targets_over(market))
        return tuple(case for case in found if case is not None)

    def enter(self, case: Case) -> None:
        """Take in a new case; `schedule` it afterwards."""
        rules = self._by_target.setdefault(case.quarantine.target, {})
        assert case.quarantine.hold.rule not in rules
        rules[case.quarantine.hold.rule] = case
        self._count += 1

    def leave(self, case: Case) -> None:
        """Let go of a case."""
        target = case.quarantine.target
        rules = self._by_target[target]
        del rules[case.quarantine.hold.rule]
        if not rules:
            del self._by_target[target]
        self._count -= 1

    def schedule(self, case: Case, due_us: int) -> None:
        """Set the deadline of a case that was entered."""
        if due_us == case.due_us:
            return
        case.due_us = due_us
        heappush(self._heap, _entry(case))
        if len(self._heap) > _STALE_MIN + _STALE_PER_CASE * self._count:
            self.reschedule()

    def reschedule(self) -> None:
        """Build the heap of deadlines from the cases."""
        self._heap = [_entry(case) for case in self]
        heapify(self._heap)

    def next_due_us(self) -> int | None:
        """Return the earliest deadline."""
        first = self._first() if self._heap else None
        return None if first is None else first.due_us

    def pop_due(self, now_us: int) -> Case | None:
        """Return the case with the earliest deadline up to `now_us`, which has to be scheduled anew or to leave."""
        first = self._first()
        if first is None or first.due_us > now_us:
            return None
        heappop(self._heap)
        return first

    def _targets_over(self, market: Market) -> Iterator[Target]:
        yield Target(TargetKind.MARKET, str(market))
        symbol = symbol_in(market.exchange, market.symbol, self._aliases)
        asset = asset_in(market.exchange, market.base, self._aliases)
        yield Target(TargetKind.SYMBOL, symbol)
        yield Target(TargetKind.BASE, asset)
        if asset != market.base:
            # What an earlier version of guard held by the exchange's own spelling.
            yield Target(TargetKind.SYMBOL, market.symbol)
            yield Target(TargetKind.BASE, market.base)
        yield Target(TargetKind.EXCHANGE, market.exchange)

    def _first(self) -> Case | None:
        while self._heap:
            due_us, _, rule, target = self._heap[0]
            case = self.get(rule, target)
            if case is not None and case.due_us == due_us:
                return case
            heappop(self._heap)
        return None


def _entry(case: Case) -> tuple[int, str, str, Target]:
    quarantine = case.quarantine
    return case.due_us, str(quarantine.target), quarantine.hold.rule, quarantine.target
