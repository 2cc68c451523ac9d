"""Keeps Freqtrade's locks in step with what a bot may not enter, through its REST interface: off unless guard.yaml asks for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import structlog

from guard.api.locks import locks_of, plan_of
from guard.client.snapshot import SnapshotUnusable, read_snapshot
from guard.errors import GuardError, StateError
from guard.model import Level
from guard.runtime.freqtrade import call_bot
from guard.runtime.trouble import News, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from guard.api.locks import Lock, Plan
    from guard.dsl.bot_models import BotLocks
    from guard.model.ports import Clock
    from guard.runtime.publish import SnapshotPublisher

__all__ = ["LockPusher", "LockPushers"]

_log = structlog.get_logger(__name__)
_LOOK_S: Final = 0.25
_AGAIN_US: Final = 2_000_000
_POSTED: Final = 200
_DROPPED_MAX: Final = 200
# What Freqtrade's longest timeframe is worth, for a bot that does not tell its own.
_CANDLE_MAX_US: Final = 30 * 86_400_000_000
_ERROR_MAX: Final = 300


class LockPusher:
    """The locks of one bot.

    Parameters
    ----------
    bot
        Its name under ``bots:``, whose policy counts.
    settings
        Where it is.
    publisher
        What bots are told.
    jump_us
        How far the machine's wall clock is ahead of `clock`.
    announce
        Tells people: key, title, body, level.

    Attributes
    ----------
    problem
        Why the locks may be out of date, None where they are not. People are told once it has lasted for two minutes.

    Notes
    -----
    Each round lists the bot's locks, adds what is missing and takes away those of guard's own that are not wanted any more: nothing
    is remembered, so a restart of either side needs no care. Locks of others are never touched. Additions come first. What stands
    when guard ends stays until its end.
    """

    def __init__(
        self,
        bot: str,
        settings: BotLocks,
        *,
        publisher: SnapshotPublisher,
        clock: Clock,
        jump_us: Callable[[], int],
        announce: Callable[[str, str, str, Level], None],
    ) -> None:
        self.problem: str | None = None
        self._bot = bot
        self._settings = settings
        self._publisher = publisher
        self._clock = clock
        self._jump_us = jump_us
        self._announce = announce
        self._trouble = Trouble()
        self._standing = self._added = self._dropped = self._failures = 0
        self._seen: tuple[object, ...] = ()

    async def run(self) -> None:
        """Push until cancelled: when what is published changes, and now and then."""
        due_us = 0
        while True:
            seen = self._published()
            if seen and (seen != self._seen or self._clock.monotonic_us() >= due_us):
                self._seen = seen
                is_well = await self.push()
                due_us = self._clock.monotonic_us() + (self._settings.every_us if is_well else _AGAIN_US)
            await self._clock.sleep(_LOOK_S)

    def _published(self) -> tuple[object, ...]:
        said = self._publisher.said
        return (said["blocks"], said["bypass"], said["mode"], said["bots"]) if said else ()

    async def push(self) -> bool:
        """Make the bot's locks what they should be; returns whether that went well."""
        try:
            pairs = (await self._call("GET", "whitelist"))["whitelist"]
            candle_ms = (await self._call("GET", "show_config")).get("timeframe_ms")
            listed = (await self._call("GET", "locks"))["locks"]
            wanted = self._wanted(pairs)
            plan = plan_of(wanted, listed, candle_us=int(candle_ms) * 1000 if candle_ms else _CANDLE_MAX_US)
            await self._carry_out(plan)
        except GuardError as error:
            self._tell(str(error))
            return False
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self._tell(
                f"{self._settings.url} answers no list of locks; is it Freqtrade's interface? {type(error).__name__}: {error}"
            )
            return False
        except Exception as error:  # noqa: BLE001 - the supervisor of a worker: locks must not end guard, nor pass for pushed
            _log.exception("locks could not be pushed for a mistake of guard", bot=self._bot)
            self._tell(f"{type(error).__name__}: {error}")
            return False
        self._standing = len(wanted)
        self._tell(None)
        return True

    def _wanted(self, pairs: Iterable[str]) -> tuple[Lock, ...]:
        try:
            # What bots read; nothing else is published before it is made use of.
            snapshot = read_snapshot(str(self._publisher.path))
        except (SnapshotUnusable, ValueError, OSError) as error:
            raise StateError(f"what guard publishes cannot be read: {error}") from error
        if snapshot is None:
            raise StateError("guard has published nothing yet")
        return locks_of(
            snapshot,
            self._settings.exchange,
            pairs,
            bot=self._bot,
            now_us=self._clock.now_us(),
            ahead_us=self._jump_us(),
            is_bypassed=snapshot.bypass is not None,
        )

    async def _carry_out(self, plan: Plan) -> None:
        for start in range(0, len(plan.add), _POSTED):
            some = plan.add[start : start + _POSTED]
            await self._call("POST", "locks", [lock.payload() for lock in some])
            self._added += len(some)
        for number in plan.drop[:_DROPPED_MAX]:
            await self._call("DELETE", f"locks/{number}")
            self._dropped += 1
        if plan.add or plan.drop:
            _log.info("locks of a bot changed", bot=self._bot, added=len(plan.add), taken_away=len(plan.drop))

    async def _call(self, method: str, path: str, body: Any = None) -> Any:  # noqa: ANN401 - JSON
        settings = self._settings
        return await call_bot(
            method,
            settings.url,
            path,
            user=settings.user,
            password=None if settings.password is None else settings.password.get_secret_value(),
            token=None if settings.token is None else settings.token.get_secret_value(),
            body=body,
        )

    def _tell(self, problem: str | None) -> None:
        problem = None if problem is None else problem[:_ERROR_MAX]
        self._failures += problem is not None
        if problem and problem != self.problem:
            _log.warning("locks of a bot cannot be pushed", bot=self._bot, problem=problem)
        self.problem = problem
        news = self._trouble.look(self._clock.monotonic_us(), is_bad=problem is not None)
        key = f"locks:{self._bot}"
        if news is News.BEGUN:
            body = f"{problem}\nLocks that stand end by themselves; new blocks do not reach it this way."
            self._announce(key, f"the bot {self._bot} does not take locks", body, Level.WARNING)
        elif news is News.OVER:
            self._announce(key, f"the bot {self._bot} takes locks again", f"It has {self._standing} of guard.", Level.NORMAL)

    def record(self) -> dict[str, Any]:
        """Return how it fares, for the status document."""
        return {
            "bot": self._bot,
            "exchange": self._settings.exchange,
            "locks": self._standing,
            "added": self._added,
            "taken_away": self._dropped,
            "failures": self._failures,
            "problem": self.problem,
        }


class LockPushers:
    """Those of all bots that guard.yaml gives ``locks:``; none by default."""

    def __init__(self, settings: Mapping[str, BotLocks], make: Callable[[str, BotLocks], LockPusher]) -> None:
        self._pushers = [make(bot, locks) for bot, locks in settings.items()]

    async def run(self) -> None:
        """Push until cancelled."""
        async with asyncio.TaskGroup() as group:
            for pusher in self._pushers:
                group.create_task(pusher.run())
            # With none at all this waits, as every task of guard does.
            group.create_task(_wait(), name="locks")

    def records(self) -> list[dict[str, Any]]:
        """Return how each fares, for the status document."""
        return [pusher.record() for pusher in self._pushers]


async def _wait() -> None:
    await asyncio.Event().wait()
