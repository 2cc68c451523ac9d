"""Sends the digest of the report, once for each interval of guard.yaml's `alerts.digest`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from guard.model import Decision, Level
from guard.model.aftermath import ORDER_FEE
from guard.model.moments import stamp, utc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from guard.analysis.report import Report
    from guard.dsl.settings import AlertSettings
    from guard.runtime.live import Live
    from guard.runtime.state import StateFolder

    class Notes(Protocol):
        """Keeps what guard has to remember; `guard.store.LedgerStore` is one."""

        async def note(self, name: str) -> Mapping[str, Any] | None:
            """Return a note."""

        async def keep_note(self, name: str, document: Mapping[str, Any] | None) -> None:
            """Write a note, or take it away."""


__all__ = ["DigestWatch", "last_end_us", "report_maker"]

_log = structlog.get_logger(__name__)
_NOTE: Final = "digest"
_LOOK_S: Final = 5.0
_RETRY_S: Final = 60.0
_FAILURES_TOLD: Final = 3
_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US
# 1970 began on a Thursday; weeks begin on Monday.
_MONDAY_US: Final = 4 * _DAY_US
# What the report counts is on the disk ten seconds later.
_SETTLED_US: Final = 20_000_000
_ERROR_MAX: Final = 300


class _Done(NamedTuple):
    """What was sent last: `end_us` ends the interval, of length `every_us`, or is where counting began; `is_sent` tells which."""

    every_us: int
    end_us: int
    is_sent: bool


class DigestWatch:
    """Looks every few seconds whether a digest is due, has it made in a thread and hands it to the outbox.

    Parameters
    ----------
    live
        The running guard: its clock, its channels, its way into the ledger.
    notes
        Where it remembers the last digest.
    alerts
        The section ``alerts`` of guard.yaml as it stands now; None for its `digest_us` sends nothing.
    make
        Returns the report from one moment to another; blocks.

    Notes
    -----
    Intervals are whole ones of UTC; a week begins on Monday. The first one is that which ends after the key was set or changed.
    What ended while guard was down is sent after the start, if it is the newest. Whether it was sent is noted after COMMIT, and a
    delivery's id tells its interval: a crash in between sends nothing twice, and forgets nothing.

    A digest is no alert: the levels and rules of a channel do not hold it back, nor does `daily_max`, nor mode observe. Each
    attempt that fails is counted and repeated after a minute; people are told after the third.
    """

    def __init__(self, live: Live, notes: Notes, alerts: Callable[[], AlertSettings], make: Callable[[int, int], Report]) -> None:
        self._live = live
        self._notes = notes
        self._alerts = alerts
        self._make = make
        self._done: _Done | None = None
        self._is_read = False
        self._in_a_row = 0
        self._problem: str | None = None
        self.failures = 0
        self.passed_over = 0

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - a digest must never end a guard that protects
                self._failed(error)
                await self._live.clock.sleep(_RETRY_S)
            else:
                self._went_well()
                await self._live.clock.sleep(_LOOK_S)

    async def look(self) -> None:
        """Send what is due. Raises what kept the digest from being made, or from the ledger."""
        if not self._is_read:
            self._done, self._is_read = _read(await self._notes.note(_NOTE)), True
        every_us, now_us = self._alerts().digest_us, self._live.clock.now_us()
        if every_us is None:
            if self._done is not None:
                await self._notes.keep_note(_NOTE, None)
                self._done = None
            return
        end_us = last_end_us(now_us, every_us)
        done = self._done
        # A digest of the future is one from before the clock was set back; should it come again, the outbox has its id.
        if done is None or done.every_us != every_us or done.end_us > now_us:
            await self._note(_Done(every_us, end_us, is_sent=False))
        elif done.end_us < end_us and now_us - end_us >= _SETTLED_US:
            is_sent = await self._send(every_us, end_us)
            missed = (end_us - done.end_us) // every_us - 1
            if missed:
                self.passed_over += missed
                _log.warning("guard was not there to send digests", passed_over=missed, newest=stamp(end_us))
            await self._note(_Done(every_us, end_us, is_sent=is_sent))

    def record(self) -> dict[str, Any] | None:
        """Return when the next digest comes and where to, for the status document; None where guard.yaml asks for none."""
        every_us = self._alerts().digest_us
        if every_us is None:
            return None
        end_us, done = last_end_us(self._live.clock.now_us(), every_us), self._done
        is_due = done is not None and done.every_us == every_us and done.end_us < end_us
        return {
            "every_s": every_us // 1_000_000,
            "next": stamp(end_us if is_due else end_us + every_us),
            "last": stamp(done.end_us) if done is not None and done.is_sent else None,
            "channels": self._channels(),
            "passed_over": self.passed_over,
            "failures": self.failures,
            "problem": self._problem,
        }

    def _channels(self) -> list[str]:
        """Return who gets it: a channel that guard.yaml has only since the start is not served yet."""
        served = {channel.name for channel in self._live.pipeline.alerts.policy.channels}
        return [name for name, channel in self._alerts().channels.items() if channel.digest and name in served]

    async def _send(self, every_us: int, end_us: int) -> bool:
        """Send one and return after COMMIT; False where no channel wants it."""
        names = self._channels()
        if not names:
            return False
        facts = await asyncio.to_thread(self._facts, end_us - every_us, end_us)
        now_us = self._live.clock.now_us()
        ttl_us = min(every_us, _DAY_US)
        sent = self._live.pipeline.alerts.report(names, facts, due_us=end_us, at_us=now_us, ttl_us=ttl_us)
        self._live.committer.make_sure_of_room()
        self._live.take(Decision(now_us, deliveries=sent))
        while not await self._live.all_committed():
            # The ledger cannot be written, which is told elsewhere; the digest waits with all else.
            pass
        return True

    def _facts(self, since_us: int, until_us: int) -> dict[str, Any]:
        from guard.analysis.report_text import count_of, details_of  # noqa: PLC0415 - only a digest needs it, and in its thread

        report = self._make(since_us, until_us)
        return {
            "since": _minute(since_us),
            "until": _minute(until_us),
            "hours": (until_us - since_us) // _HOUR_US,
            "count": count_of(report),
            "lines": list(details_of(report)),
        }

    async def _note(self, done: _Done) -> None:
        await self._notes.keep_note(_NOTE, done._asdict())
        self._done = done

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self._in_a_row += 1
        self._problem = (str(error) or type(error).__name__)[:_ERROR_MAX]
        _log.warning("the digest was not sent, guard tries again", error=self._problem, failures=self._in_a_row)
        if self._in_a_row == _FAILURES_TOLD:
            body = f"{self._problem}\nguard tries again each minute. What protects bots goes on."
            self._live.announce("digest", "the digest cannot be sent", body, Level.WARNING)

    def _went_well(self) -> None:
        if self._problem is not None:
            self._in_a_row, self._problem = 0, None
            self._live.announce("digest", "nothing keeps the digest any more", "guard report --digest", Level.NORMAL)


def last_end_us(now_us: int, every_us: int) -> int:
    """Return when the newest whole interval ended; weeks, and all else, are counted from a Monday.

    Examples
    --------
    >>> from guard.model.moments import stamp
    >>> stamp(last_end_us(1_800_000_000_000_000, 86_400_000_000)), stamp(last_end_us(1_800_000_000_000_000, 604_800_000_000))
    ('2027-01-15T00:00:00.000Z', '2027-01-11T00:00:00.000Z')
    """
    return now_us - (now_us - _MONDAY_US) % every_us


def report_maker(state: StateFolder) -> Callable[[int, int], Report]:
    """Return what makes the report of a state folder from one moment to another, with the default fee; it blocks."""

    def make(since_us: int, until_us: int) -> Report:
        from guard.runtime.reporting import make_report  # noqa: PLC0415 - only a digest needs it, and in its thread

        return make_report(state, since_us=since_us, until_us=until_us, fee=ORDER_FEE)

    return make


def _minute(at_us: int) -> str:
    """Return a moment without its seconds: every interval ends with an hour.

    Examples
    --------
    >>> _minute(1_800_000_000_000_000)
    '2027-01-15 08:00 UTC'
    """
    return utc(at_us).removesuffix(":00 UTC") + " UTC"


def _read(note: Mapping[str, Any] | None) -> _Done | None:
    """Return what a note tells; one that says nothing clear is none, and counting begins anew."""
    try:
        return None if note is None else _Done(int(note["every_us"]), int(note["end_us"]), bool(note["is_sent"]))
    except (KeyError, TypeError, ValueError):
        return None
