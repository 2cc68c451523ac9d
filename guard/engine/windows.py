"""Windows of maintenance that people announced."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.errors import OperationRefused
from guard.model import AddMaintenance, EndMaintenance, Market, Target, TargetKind
from guard.model.moments import utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guard.engine.engine import Engine

__all__ = ["Window", "Windows"]

_LONGEST_US: Final = 7 * 86_400_000_000
_AHEAD_MAX_US: Final = 366 * 86_400_000_000
_WINDOWS_MAX: Final = 256
_NAMED_MAX: Final = 5


class Window(NamedTuple):
    """An announced maintenance: of an exchange or a market, from a moment until another, why, and who said so."""

    id: str
    target: Target
    from_us: int
    until_us: int
    reason: str
    actor: str


class Windows:
    """Announced windows of maintenance: those that hold and those to come. Pure: time comes in with each call.

    Examples
    --------
    >>> windows, market = Windows(), Market("okx", "A/USDT")
    >>> _ = windows.add(AddMaintenance(Target(TargetKind.EXCHANGE, "okx"), 10, 20, "upgrade", "ann"), 5)
    >>> [(at, windows.until_us(market, at), windows.next_due_us(at)) for at in (5, 10, 20)]
    [(5, None, 10), (10, 20, 20), (20, None, None)]
    """

    def __init__(self) -> None:
        self._windows: dict[str, Window] = {}
        self._followed_us = 0

    def operate(self, command: AddMaintenance | EndMaintenance, now_us: int) -> None:
        """Carry out a person's order. Raises OperationRefused."""
        if isinstance(command, AddMaintenance):
            self.add(command, now_us)
        else:
            self.end(command)

    def follow(self, engine: Engine, now_us: int) -> bool:
        """Let the engine know which markets are in a window now; returns whether that changed something: it has to be run then."""
        self._followed_us = now_us
        for over in [each.id for each in self._windows.values() if each.until_us <= now_us]:
            del self._windows[over]
        if not self._windows and not engine.is_announced:
            return False
        ends = {}
        for row, watched in enumerate(engine.watched):
            until_us = self.until_us(watched.facts.market, now_us)
            if until_us != watched.health.announced_until_us:
                ends[row] = until_us
        if ends:
            engine.announce(ends, now_us)
        return bool(ends)

    @property
    def due_us(self) -> int | None:
        """Return when the engine has to be told of a window that begins or ends."""
        return self.next_due_us(self._followed_us) if self._windows else None

    def add(self, command: AddMaintenance, now_us: int) -> Window:
        """Announce a window. Raises OperationRefused where that makes no sense."""
        target = command.target
        if target.kind not in (TargetKind.EXCHANGE, TargetKind.MARKET):
            raise OperationRefused(f"maintenance is of an exchange or of a market, found {target}")
        from_us = max(command.from_us, now_us)
        if command.until_us <= from_us:
            raise OperationRefused(f"a window ends after it begins and after now; found an end at {utc(command.until_us)}")
        if command.until_us - from_us > _LONGEST_US:
            raise OperationRefused(f"a window is at most 7d long, found one until {utc(command.until_us)}")
        if from_us - now_us > _AHEAD_MAX_US:
            raise OperationRefused(f"a window begins within 366d, found {utc(from_us)}")
        if len(self._windows) >= _WINDOWS_MAX:
            raise OperationRefused(f"there are {_WINDOWS_MAX} windows, and no more are kept; take one back first")
        identity = sha256(f"{target}|{from_us}|{command.until_us}".encode()).hexdigest()[:12]
        if identity in self._windows:
            raise OperationRefused(f"that window is announced already, id {identity}")
        window = self._windows[identity] = Window(identity, target, from_us, command.until_us, command.reason, command.actor)
        return window

    def end(self, command: EndMaintenance) -> tuple[Window, ...]:
        """Take windows back and return them. Raises OperationRefused where there is none such."""
        if command.target is None and command.id is None:
            raise OperationRefused("what is taken back is named by target or id, found neither")
        found = tuple(
            each for each in self.all() if each.id == command.id or (command.id is None and each.target == command.target)
        )
        if not found:
            known = ", ".join(f"{each.id} ({each.target})" for each in self.all()[:_NAMED_MAX]) or "none"
            raise OperationRefused(f"no window {command.id or f'of {command.target}'} is announced; announced are {known}")
        for each in found:
            del self._windows[each.id]
        return found

    def all(self) -> tuple[Window, ...]:
        """Return the windows, the first to begin first."""
        return tuple(sorted(self._windows.values(), key=lambda each: (each.from_us, each.id)))

    def until_us(self, market: Market, now_us: int) -> int | None:
        """Return until when a market is in an announced window now, windows that follow without a pause included; else None."""
        until_us = None
        for each in self.all():
            if each.from_us <= (until_us or now_us) < each.until_us and each.target.covers(market):
                until_us = each.until_us
        return until_us

    def next_due_us(self, now_us: int) -> int | None:
        """Return when the next window begins or ends after `now_us`."""
        dues = (due for each in self._windows.values() for due in (each.from_us, each.until_us) if due > now_us)
        return min(dues, default=None)

    def save(self) -> list[dict[str, Any]]:
        """Return the windows as JSON-able values."""
        return [{**each._asdict(), "target": [str(each.target.kind), each.target.name]} for each in self.all()]

    def restore(self, saved: Iterable[Mapping[str, Any]]) -> None:
        """Take over what `save` returned. Raises KeyError, TypeError or ValueError where it is something else."""
        windows = [
            Window(
                str(each["id"]),
                Target(TargetKind(each["target"][0]), str(each["target"][1])),
                int(each["from_us"]),
                int(each["until_us"]),
                str(each["reason"]),
                str(each["actor"]),
            )
            for each in saved
        ]
        self._windows = {each.id: each for each in windows[:_WINDOWS_MAX]}
