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

    Attributes
    ----------
    due_us
        When the engine has to be told of a window that begins or ends next; None where there is none.

    Examples
    --------
    >>> windows, market = Windows(), Market("okx", "A/USDT")
    >>> _ = windows.add(AddMaintenance(Target(TargetKind.EXCHANGE, "okx"), 10, 20, "upgrade", "ann"), 5)
    >>> [(at, windows.until_us(market, at), windows.next_due_us(at)) for at in (5, 10, 20)]
    [(5, None, 10), (10, 20, 20), (20, None, None)]
    """

    def __init__(self) -> None:
        self._windows: dict[str, Window] = {}
        self._ordered: tuple[Window, ...] = ()
        self._followed_us = 0
        self.due_us: int | None = None

    def operate(self, command: AddMaintenance | EndMaintenance, now_us: int) -> None:
        """Carry out a person's order. Raises OperationRefused."""
        if isinstance(command, AddMaintenance):
            self.add(command, now_us)
        else:
            self.end(command)

    def follow(self, engine: Engine, now_us: int, *, only: int | None = None) -> bool:
        """Let the engine know which markets are in a window now; returns whether that changed something: it has to be run then.

        `only` is the row of a market that was just opened, where nothing else changed.
        """
        is_due = self.due_us is not None and self.due_us <= now_us
        self._followed_us = now_us
        self._windows = {identity: each for identity, each in self._windows.items() if each.until_us > now_us}
        self._arrange()
        if not self._windows and not engine.closing.is_announced:
            return False
        spans: dict[int, tuple[int, int] | None] = {}
        for row in range(len(engine.watched)) if only is None or is_due else (only,):
            watched = engine.watched[row]
            span = self._span(watched.facts.market, now_us)
            if (None if span is None else span[1]) != watched.health.announced_until_us:
                spans[row] = span
        if spans:
            engine.closing.announce(spans, now_us)
        return bool(spans)

    def _arrange(self) -> None:
        self._ordered = tuple(sorted(self._windows.values(), key=lambda each: (each.from_us, each.id)))
        self.due_us = self.next_due_us(self._followed_us)

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
        self._arrange()
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
        self._arrange()
        return found

    def all(self) -> tuple[Window, ...]:
        """Return the windows, the first to begin first."""
        return self._ordered

    def until_us(self, market: Market, now_us: int) -> int | None:
        """Return until when a market is in an announced window now, windows that follow without a pause included; else None."""
        span = self._span(market, now_us)
        return None if span is None else span[1]

    def _span(self, market: Market, now_us: int) -> tuple[int, int] | None:
        """Return from when until when a market is in windows that follow each other without a pause, one of them now."""
        span: tuple[int, int] | None = None
        for each in self._ordered:
            end_us = now_us if span is None else span[1]
            if each.from_us > end_us:
                break
            if end_us < each.until_us and each.target.covers(market):
                span = (each.from_us if span is None else span[0], each.until_us)
        return span

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
        self._arrange()
