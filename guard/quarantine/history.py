"""Ended quarantines that still matter: they escalate the next one, or give grace."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from guard.quarantine.opening import forgotten_us

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.model.quarantine import Quarantine, Target

__all__ = ["History"]


class History:
    """The last ended quarantine of each rule and target, until it is forgotten."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, Target], Quarantine] = {}
        self._heap: list[tuple[int, str, str, Target]] = []

    def __iter__(self) -> Iterator[Quarantine]:
        """Go through all that is remembered."""
        return iter(self._last.values())

    def last(self, rule: str, target: Target) -> Quarantine | None:
        """Return the last ended quarantine of `rule` on `target`, None where there is none or it is forgotten."""
        return self._last.get((rule, target))

    def remember(self, quarantine: Quarantine) -> None:
        """Take an ended quarantine, in place of an earlier one of the same rule and target."""
        rule, target = quarantine.hold.rule, quarantine.target
        # Behind all others, so that the order does not depend on when the earlier one was forgotten.
        self._last.pop((rule, target), None)
        self._last[rule, target] = quarantine
        heappush(self._heap, (forgotten_us(quarantine), str(target), rule, target))

    def forget(self, now_us: int) -> None:
        """Let go of what ceased to matter by `now_us`."""
        while self._heap and self._heap[0][0] <= now_us:
            until_us, _, rule, target = heappop(self._heap)
            last = self._last.get((rule, target))
            if last is not None and forgotten_us(last) == until_us:
                del self._last[rule, target]
