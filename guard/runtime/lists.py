"""Imported lists: read on time, applied in small steps, told once, never emptied in silence."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import structlog

from guard.errors import OperationRefused, Unavailable
from guard.model import ApplyList, Level, Market
from guard.model.moments import stamp
from guard.quarantine import is_extended, is_listed, latest_end_us, list_changes, list_rule
from guard.runtime.list_formats import ListUnreadable, read_list
from guard.runtime.list_sources import fetch_list

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from guard.dsl.list_models import ListSettings
    from guard.model import ListedTarget, Quarantine, Target
    from guard.runtime.list_formats import Reading
    from guard.runtime.live import Live

__all__ = ["ImportedLists"]

_log = structlog.get_logger(__name__)
# Each transition is written out on the loop, some 0.1 ms; a step stays far below a heartbeat.
_STEP: Final = 50
_FIRST_S: Final = 1.0
_RETRY_S: Final = 60.0
_SOONEST_S: Final = 5.0
_NAMED_MAX: Final = 3
_ERROR_MAX: Final = 300
# A list that loses more than half of at least so many entries in one reading is not believed.
_FEW: Final = 4


class _State:
    """What is known of one list."""

    def __init__(self) -> None:
        self.read_us: int | None = None
        self.failures = 0
        self.failed = 0
        self.readings = 0
        self.problem: str | None = None
        self.doubt: str | None = None
        self.entries = 0
        self.bad: tuple[str, ...] = ()
        self.passed_over: tuple[str, ...] = ()
        self.named_us: dict[Target, int] = {}


class ImportedLists:
    """Keep what lists name held.

    Parameters
    ----------
    settings
        ``lists:`` of guard.yaml.
    live
        The running guard: quarantines go through its own door, into its ledger.
    folder
        Where relative paths begin.

    Notes
    -----
    An entry is a quarantine of the rule ``list:NAME``: one transition when it comes, one when it goes, and one when its end is
    moved on, which is written hours ahead (`latest_end_us`); one message a reading at most. It is released `ttl` after the last
    reading that named it, after a restart `ttl` after that; a list that cannot be read changes nothing before. A reading
    releases what it does not name, except where it is doubtful: rows that are not understood, nothing at all, or less than half
    of what stood. Then what is missing stands until its end, and people are told. A blocklist of another guard says itself that
    it is whole and fresh, and may be empty.
    """

    def __init__(self, settings: Mapping[str, ListSettings], live: Live, folder: Path) -> None:
        self._settings = settings
        self._live = live
        self._folder = folder
        self._states = {name: _State() for name in settings}
        self._since_us = live.clock.now_us()

    async def run(self) -> None:
        """Read each list on time until cancelled."""
        while not await self._let_go_of_others():
            await self._live.clock.sleep(_RETRY_S)
        async with asyncio.TaskGroup() as group:
            for name in self._settings:
                group.create_task(self._follow(name), name=f"list {name}")
            # With no list at all this waits, as every task of guard does.
            group.create_task(self._wait(), name="lists")

    async def _wait(self) -> None:
        await asyncio.Event().wait()

    async def _follow(self, name: str) -> None:
        settings = self._settings[name]
        await self._live.clock.sleep(_FIRST_S)
        while True:
            is_read = await self.refresh(name)
            # What is about to run out is asked for once more before it is let go.
            due_us = await self.let_run_out(name)
            every_s = settings.every_us / 1e6
            wait_s = every_s if is_read else min(every_s, _RETRY_S)
            if due_us is not None:
                wait_s = min(wait_s, max(_SOONEST_S, (due_us - self._live.clock.now_us()) / 1e6))
            await self._live.clock.sleep(wait_s)

    async def let_run_out(self, name: str) -> int | None:
        """Release what was not named for the list's time to live; returns when the next is due, None where nothing is held."""
        ttl_us, now_us = self._settings[name].ttl_us, self._live.clock.now_us()
        ends = {each.target: self._end_us(name, each) for each in self._held(name) if not is_extended(each)}
        over = [target for target, end_us in ends.items() if end_us <= now_us]
        if over:
            try:
                await self._operate(name, (), over, now_us, f"list {name}: not named for {ttl_us / 1e6:g} s")
            except (OperationRefused, Unavailable) as error:
                _log.warning("entries of a list that are over are not released yet", list=name, error=str(error))
        return min((end_us for end_us in ends.values() if end_us > now_us), default=None)

    def _end_us(self, name: str, held: Quarantine) -> int:
        """Return when an entry ends that is not named again; what an earlier run was told counts from the start of this one."""
        own_us = self._states[name].named_us.get(held.target, self._since_us) + self._settings[name].ttl_us
        return held.until_us if is_extended(held) else min(held.until_us, own_us)

    async def refresh(self, name: str) -> bool:
        """Read one list and apply it; returns whether it was read well."""
        settings, state = self._settings[name], self._states[name]
        # Of markets that are not open yet the last run's names are known: what a pattern held there is not missing.
        earlier = map(Market.parse, self._live.watchlist.markets)
        watched = (*self._live.pipeline.engine.markets, *earlier)
        try:
            raw = await fetch_list(settings, self._folder)
            now_us = self._live.clock.now_us()
            reading = await asyncio.to_thread(
                read_list,
                raw,
                settings,
                now_us=now_us,
                symbols=frozenset(market.symbol for market in watched),
                exchanges=frozenset(feed.plan.name for feed in self._live.feeds),
            )
            await self._apply(name, reading, now_us)
        except (ListUnreadable, OperationRefused, Unavailable) as error:
            self._failed(name, str(error))
            return False
        except Exception as error:  # noqa: BLE001 - the supervisor of a worker: a list must not end guard, nor pass for read
            _log.exception("a list could not be read for a mistake of guard", list=name)
            self._failed(name, f"{type(error).__name__}: {error}")
            return False
        state.failures, state.problem, state.read_us = 0, None, now_us
        state.readings += 1
        self._live.announce(f"list:{name}", f"list {name} is read again", f"It has {state.entries} entries.", Level.NORMAL)
        return True

    async def _apply(self, name: str, reading: Reading, now_us: int) -> None:
        settings, state = self._settings[name], self._states[name]
        held = self._held(name)
        # By the asset's own name, as quarantines are kept: 1000PEPE is PEPE.
        aliases = self._live.pipeline.isolation.aliases
        entries = tuple(each._replace(target=each.target.canonical(aliases=aliases)) for each in reading.entries)
        reading = reading._replace(entries=entries)
        doubt = _doubt(held, reading, is_whole=settings.format == "guard")
        keeps_missing = doubt is not None
        changes = list_changes(held, reading.entries, now_us=now_us, ttl_us=settings.ttl_us, keeps_missing=keeps_missing)
        # Named before it is held: it must never be over while it is on its way.
        earlier = {each.target: state.named_us.get(each.target, self._since_us) for each in held}
        state.named_us = earlier | dict.fromkeys((each.target for each in entries), now_us)
        await self._operate(name, changes.hold, changes.gone, latest_end_us(now_us, settings.ttl_us))
        state.entries, state.bad, state.passed_over = len(reading.entries), reading.bad, reading.passed_over
        self._tell(name, doubt, changes.new, len(changes.gone))

    async def _operate(
        self, name: str, hold: Sequence[ListedTarget], gone: Sequence[Target], until_us: int, why: str | None = None
    ) -> None:
        source = self._settings[name].path or self._settings[name].url if name in self._settings else "not in guard.yaml any more"
        reason, actor = (why or f"list {name}: {source}")[:_ERROR_MAX], list_rule(name)
        # What is to be held comes first.
        for start in range(0, len(hold), _STEP):
            await self._live.operate(ApplyList(name, tuple(hold[start : start + _STEP]), (), until_us, reason, actor))
        for start in range(0, len(gone), _STEP):
            await self._live.operate(ApplyList(name, (), tuple(gone[start : start + _STEP]), until_us, reason, actor))

    def _held(self, name: str) -> tuple[Quarantine, ...]:
        rule = list_rule(name)
        return tuple(each for each in self._live.pipeline.isolation.active() if each.hold.rule == rule)

    async def _let_go_of_others(self) -> bool:
        """Release what lists hold that guard.yaml does not have any more; returns whether that could be done."""
        gone: dict[str, list[Target]] = {}
        for each in self._live.pipeline.isolation.active():
            name = each.hold.rule.partition(":")[2]
            if is_listed(each) and name not in self._settings:
                gone.setdefault(name, []).append(each.target)
        for name, targets in gone.items():
            try:
                await self._operate(name, (), targets, self._live.clock.now_us())
            except (OperationRefused, Unavailable) as error:
                _log.warning("entries of a list that is gone are not released yet", list=name, error=str(error))
                return False
            self._live.announce(f"list:{name}", f"list {name} is not configured any more", f"{len(targets)} entries are released.")
        return True

    def _tell(self, name: str, doubt: str | None, new: int, gone: int) -> None:
        """Tell people what a reading changed: doubt until it ends, other news in the log."""
        state = self._states[name]
        key = f"list:{name}:doubt"
        if doubt is not None:
            ttl_s = self._settings[name].ttl_us / 1e6
            body = f"{doubt}. What is missing stands until its end, {ttl_s:.0f} s at most after it was last named."
            self._live.announce(key, f"list {name} is read with doubt", body)
        elif state.doubt is not None:
            self._live.announce(key, f"list {name} is believed again", f"It has {state.entries} entries.", Level.NORMAL)
        if doubt is None and (new or gone):
            _log.info("a list changed", list=name, entries=state.entries, held=new, released=gone)
        state.doubt = doubt

    def _failed(self, name: str, error: str) -> None:
        state = self._states[name]
        state.failures += 1
        state.failed += 1
        state.problem = error[:_ERROR_MAX]
        held = self._held(name)
        _log.warning("a list cannot be read", list=name, error=state.problem, failures=state.failures)
        if state.failures == 1 and state.read_us is not None:
            # Once is nothing: the next reading comes before any entry ends.
            return
        body = f"{state.problem}\n" + (
            f"Its {len(held)} entries stand until {stamp(max(self._end_us(name, each) for each in held))} at the latest."
            if held
            else "Nothing is held by it."
        )
        body += f"\nMend lists: {name}: in guard.yaml, or what it names. `guard --json status` shows each list under lists."
        title = f"list {name} cannot be read"
        if not held and state.read_us is not None and state.entries:
            title = f"list {name} could not be read for so long that its entries have ended"
        self._live.announce(f"list:{name}", title, body)

    def records(self) -> list[dict[str, Any]]:
        """Return how each list fares, for the status document."""
        return [self._record(name, settings) for name, settings in self._settings.items()]

    def _record(self, name: str, settings: ListSettings) -> dict[str, Any]:
        state, held = self._states[name], self._held(name)
        return {
            "name": name,
            "source": settings.path or settings.url,
            "format": settings.format,
            "read": None if state.read_us is None else stamp(state.read_us),
            "readings": state.readings,
            "failed": state.failed,
            "problem": state.problem,
            "doubt": state.doubt,
            "entries": state.entries,
            "held": len(held),
            "until": stamp(max(self._end_us(name, each) for each in held)) if held else None,
            "bad_rows": len(state.bad),
            "passed_over": len(state.passed_over),
            "rows": [*state.bad[:_NAMED_MAX], *state.passed_over[:_NAMED_MAX]],
        }


def _doubt(held: Sequence[Quarantine], reading: Reading, *, is_whole: bool) -> str | None:
    """Return why a reading is not to be believed where it names less than before; `is_whole` says that nothing can be cut off."""
    if reading.bad:
        return f"{len(reading.bad)} rows are not understood, the first: {reading.bad[0]}"
    if is_whole:
        return None
    named = {entry.target for entry in reading.entries}
    missing = [each for each in held if each.target not in named]
    if held and not named:
        return f"it names nothing at all, {len(held)} entries stood"
    if len(held) >= _FEW and 2 * len(missing) > len(held):
        return f"{len(missing)} of {len(held)} entries are missing"
    return None
