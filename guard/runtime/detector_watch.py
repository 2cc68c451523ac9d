"""Detectors in plain Python: what they cost, how often they fail, and when guard stops asking them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from guard.model import Control, Level, event_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.dsl import Program
    from guard.dsl.plain_detectors import PlainCall
    from guard.engine import Engine
    from guard.model.ports import Clock
    from guard.runtime.inlet import Inlet

__all__ = ["DetectorWatch", "Limits"]

_log = structlog.get_logger(__name__)
_HOUR_US = 3_600_000_000
_NS = 1000


class Limits(NamedTuple):
    """What a detector may do before it is demoted.

    `faults_in_row` calls that fail one after the other, or `faults_in_hour` within an hour; a mean above `mean_us` over at least
    `calls`, or one call longer than `call_us`. Microseconds of wall time: what blocks the loop counts, whatever it waits for.
    """

    faults_in_row: int = 3
    faults_in_hour: int = 10
    calls: int = 200
    mean_us: int = 50
    call_us: int = 50_000


class DetectorWatch:
    """Measures the plain detectors of a running engine and demotes those that fail or take too long.

    Parameters
    ----------
    engine, inlet
        Whose detectors, and where the CONTROL row goes that switches one off.
    clock
        Measures calls.
    announce
        Tells people: key, title, body, level.
    ends
        Ends guard: what failed, and the error.
    limits
        When one is demoted.

    Notes
    -----
    A demotion is decided here, by time that no recording holds, and done by the engine when it gets the CONTROL row; whoever
    records what the pipeline got records that too. It lasts until guard starts anew, or a reload brings another class.
    """

    def __init__(
        self,
        engine: Engine,
        inlet: Inlet,
        clock: Clock,
        announce: Callable[[str, str, str, Level], None],
        ends: Callable[[str, Exception], None],
        *,
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self._engine = engine
        self._inlet = inlet
        self._clock = clock
        self._announce = announce
        self._ends = ends
        self._program: Program | None = None
        self._why: dict[str, str] = {}
        self._bad: dict[str, str] = {}
        self._meters: list[_Meter] = []
        self._measure()

    def _measure(self) -> None:
        self._meters = [_Meter(call, self.limits) for call in self._engine.program.plain_detectors]
        for meter in self._meters:
            meter.call.clock = self._nanoseconds

    def _adopt(self) -> None:
        """Measure the detectors of the rules that run from now on; says which are switched off still, and which no longer."""
        self._program = self._engine.program
        self._measure()
        self._bad.clear()
        demoted = self._engine.demoted
        self._why = {name: why for name, why in self._why.items() if name in demoted}
        for name in demoted:
            _log.warning("a detector stays switched off: its class did not change", detector=name, why=self._why.get(name, ""))
        for name in sorted({meter.call.name for meter in self._meters} - set(demoted)):
            # It says nothing where nothing was told of that detector.
            self._announce(
                f"detector:{name}", f"the detector {name} is asked again", "Its class is new, or guard is.", Level.NORMAL
            )

    def _nanoseconds(self) -> int:
        return self._clock.monotonic_us() * _NS

    def look(self) -> None:
        """Look at every detector of the rules that run now; one that must be demoted is, in the next turn of the loop.

        Not at once: a connector may be in the middle of its rows.
        """
        if self._program is not self._engine.program:
            self._adopt()
        had = len(self._bad)
        for meter in self._meters:
            call = meter.call
            if meter.calls != call.calls and not call.is_off:
                why = meter.fault(self._clock.monotonic_us)
                if why:
                    self._bad.setdefault(call.name, why)
        if had == 0 and self._bad:
            asyncio.get_running_loop().call_soon(self._demote)

    def _demote(self) -> None:
        try:
            self._demote_bad()
        except Exception as error:  # noqa: BLE001 - nobody is above who could be told; guard ends with it
            self._ends("a detector could not be switched off, guard ends", error)

    def _demote_bad(self) -> None:
        """Switch off what `look` found, and tell people, once for each."""
        bad, self._bad = self._bad, {}
        for name, why in bad.items():
            self._why[name] = why
            self._inlet.control(Control.DEMOTE_DETECTOR, at_us=self._clock.now_us(), key=event_key(name))
            if name not in self._engine.demoted:
                # The pipeline broke before it took the row; that ends guard, and is told by itself.
                continue
            _log.error("a detector was switched off", detector=name, why=why)
            body = (
                f"{why}. Rules that need its score are unknown from now on: they neither warn nor block, and holds that wait for "
                "their calm run to their latest end. Mend the detector and start guard anew."
            )
            self._announce(f"detector:{name}", f"the detector {name} was switched off", body, Level.DANGER)

    def records(self) -> list[dict[str, Any]]:
        """Return what each detector costs and how it fares, JSON-able, by name.

        `calls`, `mean_us`, `slowest_us` and `faults` count since the rules were loaded; `state` is active or demoted.
        """
        names = sorted({meter.call.name for meter in self._meters})
        return [self._record(name, [meter.call for meter in self._meters if meter.call.name == name]) for name in names]

    def _record(self, name: str, calls: list[PlainCall]) -> dict[str, Any]:
        count = sum(call.calls for call in calls)
        is_off = any(call.is_off for call in calls)
        return {
            "detector": name,
            "calls": count,
            "mean_us": round(sum(call.nanoseconds for call in calls) / _NS / count, 1) if count else None,
            "slowest_us": max(call.slowest for call in calls) // _NS if count else None,
            "faults": sum(call.faults for call in calls),
            "fault": next((call.fault for call in calls if call.fault), None),
            "state": "demoted" if is_off else "active",
            "why": self._why.get(name, "switched off before guard started") if is_off else None,
        }


class _Meter:
    """One call of a detector, and how far it was looked at."""

    __slots__ = ("_faults", "_limits", "_since_calls", "_since_ns", "_times", "call", "calls")

    def __init__(self, call: PlainCall, limits: Limits) -> None:
        self.call = call
        self.calls = call.calls
        self._limits = limits
        self._since_calls = call.calls
        self._since_ns = call.nanoseconds
        self._faults = call.faults
        self._times: deque[int] = deque(maxlen=limits.faults_in_hour)

    def fault(self, now_us: Callable[[], int]) -> str:
        """Return why the detector must be demoted, nothing where it need not."""
        call, limits = self.call, self._limits
        self.calls = call.calls
        if call.faults != self._faults:
            more = min(call.faults - self._faults, limits.faults_in_hour)
            self._times.extend([now_us()] * more)
            self._faults = call.faults
            if call.faults_in_row >= limits.faults_in_row:
                return f"{call.faults_in_row} calls in a row failed: {call.fault}"
            if len(self._times) == limits.faults_in_hour and self._times[-1] - self._times[0] <= _HOUR_US:
                return f"{limits.faults_in_hour} calls within an hour failed: {call.fault}"
        if call.slowest > limits.call_us * _NS:
            return f"one call took {call.slowest / 1e6:.0f} ms; {limits.call_us / 1e3:.0f} ms is the most"
        count = call.calls - self._since_calls
        if count >= limits.calls:
            mean_us = (call.nanoseconds - self._since_ns) / _NS / count
            self._since_calls, self._since_ns = call.calls, call.nanoseconds
            if mean_us > limits.mean_us:
                return f"{count} calls took {mean_us:.0f} us each; {limits.mean_us} us is the most"
        return ""
