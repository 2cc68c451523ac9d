"""Holds that wait: what a rule asked for while a person's word, or a move of the whole market, kept it from holding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.quarantine.codec import hold_from_json, hold_to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guard.model.market import Market
    from guard.model.quarantine import Hold, Target

__all__ = ["Deferred", "Waiting"]

_WAITING_MAX: Final = 4_096


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
    market-wide state ends would be free for as long as the episode lasts. One rule waits once for each target; of more than 4,096
    the one that waits longest gives way.

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
        self._waiting: dict[tuple[str, Target], Waiting] = {}
        self._next_us: int | None = None

    @property
    def next_due_us(self) -> int | None:
        """When something has to be looked at again."""
        return self._next_us

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def put(self, hold: Hold, due_us: int, *, is_led: bool = False) -> None:
        """Let a hold wait; it must name its market."""
        assert hold.market is not None
        key = (hold.rule, hold.target)
        self._waiting.pop(key, None)
        if len(self._waiting) >= _WAITING_MAX:
            oldest = next(iter(self._waiting))
            due_us = min(due_us, self._waiting.pop(oldest).due_us)
        self._waiting[key] = Waiting(hold, due_us, is_led)
        self._find()

    def drop(self, rule: str, target: Target) -> None:
        """Wait no longer: it is held, or its rule says nothing more."""
        if self._waiting.pop((rule, target), None) is not None:
            self._find()

    def take(self, now_us: int) -> list[Waiting]:
        """Return, and let go of, what is due, the first to be due first."""
        due = [each for each in self._waiting.values() if each.due_us <= now_us]
        for each in due:
            del self._waiting[each.hold.rule, each.hold.target]
        self._find()
        return sorted(due, key=lambda each: (each.due_us, each.hold.rule, str(each.hold.target)))

    def hasten(self, now_us: int) -> None:
        """Look at all of them again now: what kept them may be gone."""
        self._waiting = {key: each._replace(due_us=min(each.due_us, now_us)) for key, each in self._waiting.items()}
        self._find()

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
        self._waiting = {(each.hold.rule, each.hold.target): each for each in found}
        self._find()

    def _find(self) -> None:
        self._next_us = min((each.due_us for each in self._waiting.values()), default=None)
