"""Runs installed actions, off the loop and each within its time."""

from __future__ import annotations

import asyncio
import json
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from guard.alerts.events import action_event
from guard.alerts.lane import Lane
from guard.dsl.actions import InstalledActions, fault_of, parameters_of
from guard.model import ActionKind
from guard.model.ports import Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from guard.model import Delivery
    from guard.model.ports import Action

__all__ = ["Calls"]

_ATTEMPTS_MAX = 5
_TEXT_MAX = 200
# An action whose threads hang is refused while so many do, and all of them together while that many do.
_HANGING_MAX = 4
_HANGING_ALL_MAX = 16
# A coroutine is cancelled at its time; what it does then still has this long.
_GRACE_S = 0.25
_DEADLINE_S = 60.0


class Calls:
    """A `Notifier` for deliveries of kind ``call``.

    Parameters
    ----------
    actions
        The installed actions by name; those of the entry points where None.

    Notes
    -----
    Each attempt runs in a daemon thread of its own, a coroutine with a loop of its own there: nothing that an action does holds up
    guard's loop, unless it keeps Python busy. A coroutine is cancelled when its time is over; a thread cannot be, so it is left
    alone, and the next attempt of the same event waits for it instead of running beside it. While 4 threads of one action hang, or
    16 of all, no more are begun. Five attempts, then the call is dead.
    """

    def __init__(self, actions: Mapping[str, type[Action]] | None = None) -> None:
        self._actions = InstalledActions() if actions is None else actions
        self._lanes: dict[str, Lane] = {}

    @property
    def hanging(self) -> dict[str, int]:
        """How many threads of each action run now."""
        return {name: lane.running for name, lane in self._lanes.items() if lane.running}

    async def send(self, delivery: Delivery) -> Outcome:
        """Try once within the time of the rule; a failed run is an outcome, never an exception."""
        name = delivery.channel.removeprefix(f"{ActionKind.CALL}:")
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(name, self._attempt, deadline_s=_DEADLINE_S, hanging_max=_HANGING_MAX)
        document = json.loads(delivery.body)
        timeout_s = document["timeout_us"] / 1e6
        if sum(self.hanging.values()) >= _HANGING_ALL_MAX and not lane.knows(delivery):
            outcome = Outcome(is_delivered=False, error=f"{_HANGING_ALL_MAX} runs of actions hang; no more are begun")
        else:
            outcome = await lane.send(delivery, deadline_s=timeout_s + _GRACE_S)
        return outcome._replace(is_final=outcome.is_final or delivery.attempts + 1 >= _ATTEMPTS_MAX)

    def _attempt(self, delivery: Delivery) -> Outcome:
        """Run an action in the calling thread; whatever it raises becomes an outcome."""
        try:
            document = json.loads(delivery.body)
            name = delivery.channel.removeprefix(f"{ActionKind.CALL}:")
            if name not in self._actions:
                return Outcome(is_delivered=False, error=f"no installed package has an action {name!r}", is_final=True)
            action = self._actions[name]
            fault = fault_of(action)
            if fault is not None:
                return Outcome(is_delivered=False, error=fault, is_final=True)
            found = action(parameters_of(action, document["arguments"])).run(action_event(document["event"]))
            if isawaitable(found):
                found = asyncio.run(_within(found, document["timeout_us"] / 1e6))
        except TimeoutError as error:
            return Outcome(is_delivered=False, error=_short(str(error) or "it was not done in time"))
        except BaseException as error:  # noqa: BLE001 - somebody's code may raise anything, SystemExit too; it is counted and told
            return Outcome(is_delivered=False, error=_short(f"{type(error).__name__}: {error}"))
        return Outcome(is_delivered=True, output="" if found is None else _short(str(found)))


async def _within(found: Awaitable[Any], seconds: float) -> Any:  # noqa: ANN401 - checked by the caller
    async with asyncio.timeout(seconds):
        return await found


def _short(text: str) -> str:
    """Return one line that moves no cursor. Who shows it in a chat or on a page escapes it there."""
    return "".join(sign if sign.isprintable() else "?" for sign in " ".join(text[: 2 * _TEXT_MAX].split()))[:_TEXT_MAX]
