"""Changes of clearances, told as they happen: for makers, who must pull their quotes."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from guard.client.clock import rest
from guard.client.layout import Word
from guard.model.clearance import Clearance, ClearanceStatus
from guard.model.market import Market

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

    from guard.client.check import Guard

__all__ = ["POLL_S", "Watch", "watched"]

POLL_S = 0.015
"""How often the header of the snapshot is looked at: three looks within the 50 ms that are promised."""

_MARKETS_MAX = 10_000
_LOOK_EVERY = 10
_GENERATION, _STATE, _HEARTBEAT = int(Word.GENERATION), int(Word.STATE), int(Word.HEARTBEAT)
# What moves all the time, or follows from the rest, is no change.
_Told = tuple[ClearanceStatus, bool, bool, str, str | None, float, bool, str]


class Watcher:
    """Compares what guard says of some markets with what it said before. Not for several threads.

    Parameters
    ----------
    guard
        Is asked.
    markets
        As ``exchange:SYMBOL``; None: whatever is watched or held. Raises ValueError for one that is none, or for too many.
    """

    def __init__(self, guard: Guard, markets: Iterable[str | Market] | None) -> None:
        self._guard = guard
        self._markets = None if markets is None else _markets(markets)
        self._told: dict[Market, _Told] = {}
        self._mark: tuple[object, ...] = ()
        self._due_ns = 0
        self._looks = 0

    def changed(self, *, is_first: bool = False) -> tuple[tuple[Market, Clearance], ...]:
        """Return what changed since the last call; the first time what is not plainly permitted."""
        guard = self._guard
        if not is_first and not self._is_due():
            return ()
        guard._look()  # noqa: SLF001 - one part of the client, in two files
        self._mark = self._marks()
        states, self._due_ns = guard._states(self._asked())  # noqa: SLF001 - likewise
        found = []
        for market, clearance in states.items():
            told = _told(clearance)
            before = self._told.get(market)
            if told != before:
                self._told[market] = told
                if before is not None or not _is_plain(clearance):
                    found.append((market, clearance))
        return tuple(found)

    def _is_due(self) -> bool:
        """Whether anything may have changed: looks at the live header, every tenth time at the file and the bypass, too."""
        guard = self._guard
        self._looks += 1
        window = guard._window  # noqa: SLF001 - likewise
        ready = window[4]
        now_ns = guard._boot_ns()  # noqa: SLF001 - likewise
        if now_ns >= self._due_ns or self._looks % _LOOK_EVERY == 0 or ready.mapping is None or not ready.mapping.is_whole:
            guard._look()  # noqa: SLF001 - likewise
            return now_ns >= self._due_ns or self._marks() != self._mark
        words = ready.mapping.words
        is_silent = not 0 <= now_ns - words[_HEARTBEAT] <= ready.lease_ns
        return is_silent != (ready.lease_ns < 0) or words[_GENERATION] != ready.generation

    def _marks(self) -> tuple[object, ...]:
        """Return what answers depend on, but for time."""
        ready = self._guard._ready  # noqa: SLF001 - likewise
        return (ready.mapping, ready.says or ready.generation, ready.lease_ns, ready.bypass)

    def _asked(self) -> tuple[Market, ...]:
        if self._markets is not None:
            return self._markets
        snapshot = self._guard._follower.look().snapshot  # noqa: SLF001 - likewise
        names = [] if snapshot is None else list(snapshot.markets)[:_MARKETS_MAX]
        return tuple({**dict.fromkeys(map(Market.parse, names)), **dict.fromkeys(self._told)})


class Watch:
    """One `Guard.on_change`.

    `calls` and `failures` count calls of the callback and those of them that raised, `last_error` is what it raised last. `problem`
    tells what ended it, None while it runs and after `close`.
    """

    def __init__(
        self, guard: Guard, markets: Iterable[str | Market] | None, callback: Callable[[Market, Clearance], object]
    ) -> None:
        self._watcher = Watcher(guard, markets)
        self._callback = callback
        self._stopped = threading.Event()
        self._pid = os.getpid()
        self._task: Any = None
        self.calls = 0
        self.failures = 0
        self.last_error: BaseException | None = None

    @property
    def is_alive(self) -> bool:
        """Whether it goes on."""
        return not self._stopped.is_set() and (self._task is None or not self._task.done())

    @property
    def problem(self) -> str | None:
        """What ended it without `close`, and how to mend that."""
        if self._stopped.is_set():
            return None
        if self._pid != os.getpid():
            return "on_change does not survive a fork: call it again in the child, or close() it there"
        if self._task is not None and self._task.done():
            return "on_change ended with its event loop: call it again in the new one, or close() it"
        return None

    def start(self) -> None:
        """Begin: as a task where an event loop runs here, else in a thread."""
        loop = sys.modules["asyncio"]._get_running_loop() if "asyncio" in sys.modules else None  # noqa: SLF001 - never raises
        if loop is not None:
            self._task = loop.create_task(self._in_loop(), name="guard on_change")
        else:
            threading.Thread(target=self._in_thread, name="guard on_change", daemon=True).start()

    def close(self) -> None:
        """Call back no more; safe to call twice, and from the callback."""
        self._stopped.set()

    def _in_thread(self) -> None:
        is_first = True
        while not self._stopped.is_set():
            for market, clearance in self._found(is_first=is_first):
                if not self._stopped.is_set():
                    self._call(market, clearance)
            is_first = False
            self._stopped.wait(POLL_S)

    async def _in_loop(self) -> None:
        is_first = True
        while not self._stopped.is_set():
            for market, clearance in self._found(is_first=is_first):
                if self._stopped.is_set():
                    break
                waits = self._call(market, clearance)
                if hasattr(waits, "__await__"):
                    await self._awaited(waits)
            is_first = False
            await rest(POLL_S)

    def _found(self, *, is_first: bool) -> tuple[tuple[Market, Clearance], ...]:
        try:
            return self._watcher.changed(is_first=is_first)
        except Exception as error:  # noqa: BLE001 - a strict Guard raises here; the watch goes on
            self._failed(error)
            return ()

    def _call(self, market: Market, clearance: Clearance) -> Any:  # noqa: ANN401 - what a callback returns is its own
        self.calls += 1
        try:
            return self._callback(market, clearance)
        except Exception as error:  # noqa: BLE001 - a bot's code; counted
            self._failed(error)
            return None

    async def _awaited(self, waits: Any) -> None:  # noqa: ANN401 - likewise
        try:
            await waits
        except Exception as error:  # noqa: BLE001 - likewise
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        self.failures += 1
        self.last_error = error


async def watched(
    guard: Guard, markets: Iterable[str | Market] | None, *, timeout_s: float | None, tells_first: bool
) -> AsyncGenerator[tuple[tuple[Market, Clearance], ...], None]:
    """Yield what changed, each time something did; ends after `timeout_s` without a change."""
    watcher = Watcher(guard, markets)
    found = watcher.changed(is_first=True)
    if found and tells_first:
        yield found
    waited_s = 0.0
    while timeout_s is None or waited_s < timeout_s:
        await rest(POLL_S)
        waited_s += POLL_S
        if found := watcher.changed():
            waited_s = 0.0
            yield found


def _markets(markets: Iterable[str | Market]) -> tuple[Market, ...]:
    if isinstance(markets, str):
        raise ValueError(f"markets are a list of exchange:SYMBOL, found the text {markets!r}")  # noqa: TRY004 - its word is wrong
    found = tuple(dict.fromkeys(market if isinstance(market, Market) else Market.parse(market) for market in markets))
    if len(found) > _MARKETS_MAX:
        raise ValueError(f"at most {_MARKETS_MAX} markets can be followed, found {len(found)}")
    return found


def _told(clearance: Clearance) -> _Told:
    return (
        clearance.status, clearance.permitted, clearance.would_block, clearance.reason, clearance.quarantine_id,
        clearance.max_fraction, clearance.bypassed, clearance.permitted_by,
    )  # fmt: skip


def _is_plain(clearance: Clearance) -> bool:
    return clearance.permitted and not clearance.would_block and clearance.max_fraction >= 1.0
