"""Windows of maintenance: announced by people, kept for a restart, shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import structlog

from guard.errors import OperationRefused
from guard.model import AddMaintenance, EndMaintenance, Market, TargetKind
from guard.model.moments import stamp
from guard.runtime.arguments import is_whole, target_of, text_of
from guard.runtime.whole_file import replace_file

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from guard.engine import Window
    from guard.model import Target
    from guard.pipeline import Pipeline
    from guard.runtime.live import Live

__all__ = ["MaintenanceDesk", "MaintenanceFile", "maintenance_records"]

_log = structlog.get_logger(__name__)
_VERSION: Final = 1
_BYTES_MAX: Final = 4 * 1024 * 1024


class MaintenanceFile:
    """The file ``maintenance.json`` of the state folder, so that a restart keeps what people announced.

    Notes
    -----
    Not the ledger: a window holds nobody back and releases nobody, and it ends by itself. The order itself is in the log, and with
    `record` on the recording. A file that cannot be read is told and left behind: guard starts without windows.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: list[dict[str, Any]] | None = None

    def open(self, pipeline: Pipeline, now_us: int) -> None:
        """Hand what was kept to the pipeline."""
        try:
            with self._path.open("rb") as file:
                document = json.loads(file.read(_BYTES_MAX))
            pipeline.announced({_VERSION: document["windows"]}[document["version"]], now_us)
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            _log.error("announced maintenance was not taken over", file=str(self._path), error=repr(error)[:300])
            return
        self._kept = pipeline.windows.save()

    def keep(self, pipeline: Pipeline) -> None:
        """Write the windows where they changed. Raises OSError."""
        windows = pipeline.windows.save()
        if windows != (self._kept or []):
            replace_file(self._path, [json.dumps({"version": _VERSION, "windows": windows}).encode()])
            self._kept = windows


class MaintenanceDesk:
    """The operator's requests about maintenance.

    Parameters
    ----------
    live
        The running guard.
    check
        Raises OperationRefused for a target of an exchange that guard.yaml does not have.
    keep
        Keeps the windows for a restart. Raises OSError.
    """

    def __init__(self, live: Live, check: Callable[[Target], None], keep: Callable[[], None]) -> None:
        self._live = live
        self._check = check
        self._keep = keep

    def handlers(self) -> dict[str, Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]]:
        """Return the operations by name."""
        return {"maintenance.ls": self.ls, "maintenance.add": self.add, "maintenance.rm": self.remove}

    async def ls(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """List what is announced."""
        del arguments
        return {"windows": maintenance_records(self._live)}

    async def add(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Announce a window: `from_us` (None: now), and `until_us` or `for_us`."""
        target = target_of(arguments)
        self._check(target)
        now_us = self._live.clock.now_us()
        from_us, until_us, for_us = (arguments.get(name) for name in ("from_us", "until_us", "for_us"))
        if from_us is not None and not is_whole(from_us):
            raise OperationRefused(f"from_us must be a moment in microseconds, found {from_us!r}")
        start_us = now_us if from_us is None else from_us
        if (until_us is None) == (for_us is None):
            raise OperationRefused("a window has an end or a length, one of them")
        end = start_us + for_us if is_whole(for_us) else until_us
        if not is_whole(end):
            raise OperationRefused(f"the end must be a moment in microseconds, found {until_us if for_us is None else for_us!r}")
        before = {each.id for each in self._live.pipeline.windows.all()}
        reason, actor = text_of(arguments, "reason"), text_of(arguments, "actor")
        decision, seq = await self._live.operate(AddMaintenance(target, start_us, end, reason, actor))
        _log.warning("maintenance announced", target=str(target), start=stamp(start_us), end=stamp(end), reason=reason, actor=actor)
        self._keep_or_refuse("it holds")
        added = [record for record in maintenance_records(self._live) if record["id"] not in before]
        markets = self._live.pipeline.engine.markets
        is_watched = target.kind is not TargetKind.MARKET or Market.parse(target.name) in markets
        return {"seq": seq, "at": stamp(decision.at_us), "windows": added, "watched": is_watched}

    async def remove(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Take windows back, by `id` or by `target`."""
        identity = text_of(arguments, "id") if arguments.get("id") else None
        target = None if identity else target_of(arguments)
        before = {record["id"]: record for record in maintenance_records(self._live)}
        reason, actor = text_of(arguments, "reason"), text_of(arguments, "actor")
        _, seq = await self._live.operate(EndMaintenance(target, identity, reason, actor))
        _log.warning("maintenance taken back", what=identity or str(target), reason=reason, actor=actor)
        self._keep_or_refuse("it is taken back")
        left = {record["id"] for record in maintenance_records(self._live)}
        return {"seq": seq, "windows": [record for name, record in before.items() if name not in left]}

    def _keep_or_refuse(self, what: str) -> None:
        try:
            self._keep()
        except OSError as error:
            raise OperationRefused(f"{what} until guard is started anew, which will not know of it: {error}") from error


def maintenance_records(live: Live) -> list[dict[str, Any]]:
    """Return the windows as commands show them."""
    now_us = live.clock.now_us()
    return [_record(window, now_us) for window in live.pipeline.windows.all()]


def _record(window: Window, now_us: int) -> dict[str, Any]:
    return {
        "id": window.id,
        "target": str(window.target),
        "from": stamp(window.from_us),
        "until": stamp(window.until_us),
        "state": "running" if window.from_us <= now_us else "announced",
        "reason": window.reason,
        "actor": window.actor,
    }
