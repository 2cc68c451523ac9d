"""What the alert manager remembers of incidents: zones of many markets, and who was told how much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from guard.model import Level, Market

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guard.model import Quarantine

__all__ = ["Bounded", "SystemNotice", "Told", "Zone", "concerns"]

Key = TypeVar("Key")
Value = TypeVar("Value")


class Bounded(dict[Key, Value], Generic[Key, Value]):
    """A dict that forgets its oldest key when it holds more than `capacity`.

    Examples
    --------
    >>> memory = Bounded(2)
    >>> for key in "abc":
    ...     memory[key] = 1
    >>> list(memory)
    ['b', 'c']
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity

    def __setitem__(self, key: Key, value: Value) -> None:
        """Store and forget."""
        self.pop(key, None)
        super().__setitem__(key, value)
        if len(self) > self.capacity:
            del self[next(iter(self))]

    def refill(self, items: Iterable[tuple[Key, Value]]) -> None:
        """Forget all and take `items`, oldest first."""
        self.clear()
        for key, value in items:
            self[key] = value


class Told:
    """Which channel was told up to which level of which alert (a quarantine's, an episode's or a zone's id)."""

    def __init__(self, capacity: int = 4096) -> None:
        self._levels: Bounded[str, dict[str, Level]] = Bounded(capacity)

    def level(self, alert_id: str, channel: str) -> Level:
        """Return the highest level told, NORMAL where nothing was."""
        return self._levels.get(alert_id, {}).get(channel, Level.NORMAL)

    def channels(self, alert_id: str) -> frozenset[str]:
        """Return the channels that were told anything of it."""
        return frozenset(self._levels.get(alert_id, ()))

    def note(self, alert_id: str, channel: str, level: Level) -> None:
        """Remember that `channel` was told."""
        levels = self._levels.get(alert_id, {})
        levels[channel] = max(level, levels.get(channel, Level.NORMAL))
        self._levels[alert_id] = levels

    def save(self) -> list[Any]:
        """Return the state as JSON, in order of age."""
        return [[alert_id, {name: int(level) for name, level in levels.items()}] for alert_id, levels in self._levels.items()]

    def load(self, state: list[Any]) -> None:
        """Take a state that `save` returned."""
        self._levels.refill((alert_id, {name: Level(level) for name, level in levels.items()}) for alert_id, levels in state)


class SystemNotice(NamedTuple):
    """The last thing told about one of guard's own troubles, and to whom."""

    level: Level
    title: str
    channels: frozenset[str]


class Zone:
    """One incident: the quarantines that are still open, and those that wait to be told together.

    `waiting` holds the facts of each (what the template needs), `due_us` when they are told, None while nobody waits. `is_shared`
    tells that it ever had more than one.
    """

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.is_shared = False
        self.waiting: list[dict[str, Any]] = []
        self.due_us: int | None = None

    def enter(self, identities: Iterable[str]) -> None:
        """Take quarantines in."""
        self.open.update(identities)
        self.is_shared = self.is_shared or len(self.open) > 1

    def wait(self, abouts: Iterable[dict[str, Any]], due_us: int) -> None:
        """Let more of the zone wait; the first of them sets the time."""
        self.waiting += abouts
        if self.due_us is None:
            self.due_us = due_us

    def take(self) -> list[dict[str, Any]]:
        """Return all that wait, and wait no longer."""
        waiting, self.waiting, self.due_us = self.waiting, [], None
        return waiting

    def save(self) -> dict[str, Any]:
        """Return the state as JSON."""
        return {"open": sorted(self.open), "waiting": self.waiting, "due_us": self.due_us, "shared": self.is_shared}

    @classmethod
    def loaded(cls, state: Mapping[str, Any]) -> Zone:
        """Return the zone that `save` described."""
        zone = cls()
        zone.open = set(state["open"])
        zone.waiting = list(state["waiting"])
        zone.due_us = state["due_us"]
        zone.is_shared = state.get("shared", True)
        return zone


def concerns(quarantine: Quarantine, market: str) -> bool:
    """Whether a quarantine holds a market, or came from it."""
    if market in {str(quarantine.target), str(quarantine.hold.market)}:
        return True
    try:
        return quarantine.target.covers(Market.parse(market))
    except ValueError:
        # What judges markets together names none of them.
        return False
