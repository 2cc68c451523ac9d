"""Holds that wait: what a rule asked for while a person's word, or a move of the whole market, kept it from holding."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.quarantine.codec import hold_from_json, hold_to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guard.model.market import Market
    from guard.model.quarantine import Hold, Target

    _Key = tuple[str, Target, Market | None]

__all__ = ["Deferred", "Waiting"]

_STALE_MIN: Final = 64


class Waiting(NamedTuple):
    """A hold that is looked at again at `due_us`; `is_led` where a move of the whole market explained it."""

    hold: Hold
    due_us: int
    is_led: bool = False


class Deferred:
    """What is to be held once nothing speaks against it, if its rule still says so then.

    Notes
    -----
    A rule orders a hold when its level rises, once. Without this a market whose level stands when an allow entry, a grace or a
    market-wide state ends would be free for as long as the episode lasted. Of several markets that ask for one target each waits
    for itself: what one of them takes back says nothing of the others. At most rules times targets of each market wait.

    Examples
    --------
    >>> from guard.model import Hold, Level, Market, Target, TargetKind
    >>> market = Market.parse("sim:X/USDT")
    >>> deferred = Deferred()
    >>> deferred.put(Hold("pump", market, Target(TargetKind.MARKET, str(market)), Level.DANGER, "", for_us=1, max_us=1), 60)
    >>> deferred.next_due_us, len(deferred.take(59)), len(deferred.take(60)), deferred.next_due_us
    (60, 0, 1, None)
    """

    def __init__(self) -> None:
        self._waiting: dict[_Key, Waiting] = {}
        # What was put off or dropped leaves its entry behind, until it comes to the top.
        self._heap: list[tuple[int, str, str, str, _Key]] = []

    @property
    def next_due_us(self) -> int | None:
        """When something has to be looked at again."""
        while self._heap:
            due_us, *_, key = self._heap[0]
            waiting = self._waiting.get(key)
            if waiting is not None and waiting.due_us == due_us:
                return due_us
            heappop(self._heap)
        return None

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def put(self, hold: Hold, due_us: int, *, is_led: bool = False) -> None:
        """Let a hold wait; it must name its market."""
        assert hold.market is not None
        self._waiting[_key(hold)] = waiting = Waiting(hold, due_us, is_led)
        heappush(self._heap, _entry(waiting))
        if len(self._heap) > _STALE_MIN + 2 * len(self._waiting):
            self._arrange()

    def drop(self, hold: Hold) -> None:
        """Wait no longer with what this market asked for: it is held."""
        self._waiting.pop(_key(hold), None)

    def take(self, now_us: int) -> list[Waiting]:
        """Return, and let go of, what is due, the first to be due first."""
        due = []
        while (due_us := self.next_due_us) is not None and due_us <= now_us:
            due.append(self._waiting.pop(heappop(self._heap)[-1]))
        return due

    def hasten(self, now_us: int) -> None:
        """Look at all of them again now: what kept them may be gone."""
        self._waiting = {key: each._replace(due_us=min(each.due_us, now_us)) for key, each in self._waiting.items()}
        self._arrange()

    def led(self, exchange: str) -> list[Market]:
        """Return the markets of an exchange on which a move of the whole market explains a hold that waits."""
        held = (each.hold.market for each in self._waiting.values() if each.is_led)
        return sorted({market for market in held if market is not None and market.exchange == exchange})

    def save(self) -> list[dict[str, Any]]:
        """Return what waits, ready for JSON."""
        return [{"hold": hold_to_json(each.hold), "due_us": each.due_us, "is_led": each.is_led} for each in self._waiting.values()]

    def load(self, saved: Iterable[Mapping[str, Any]]) -> None:
        """Take over what `save` returned."""
        found = [Waiting(hold_from_json(each["hold"]), each["due_us"], each["is_led"]) for each in saved]
        self._waiting = {_key(each.hold): each for each in found}
        self._arrange()

    def _arrange(self) -> None:
        self._heap = [_entry(each) for each in self._waiting.values()]
        heapify(self._heap)


def _key(hold: Hold) -> _Key:
    return hold.rule, hold.target, hold.market


def _entry(waiting: Waiting) -> tuple[int, str, str, str, _Key]:
    hold = waiting.hold
    return waiting.due_us, hold.rule, str(hold.target), str(hold.market), _key(hold)
