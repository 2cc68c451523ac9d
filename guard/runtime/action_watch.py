"""Looks after webhooks and calls: people are told when one does not get through, and when it does again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.alerts.outbox import ChannelHealth
from guard.model import ActionKind, Level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guard.alerts.orders import OrderDesk
    from guard.alerts.outbox import Outbox
    from guard.dsl import Program
    from guard.model import Delivery
    from guard.model.ports import Clock

__all__ = ["ActionWatch", "is_lane", "lanes_of"]

_LOOK_S = 1.0
_PREFIXES = tuple(f"{kind}:" for kind in ActionKind)


def is_lane(channel: str) -> bool:
    """Whether a channel of the outbox carries actions, not messages."""
    return channel.startswith(_PREFIXES)


def lanes_of(program: Program, webhooks: Iterable[str] = (), pending: Iterable[Delivery] = ()) -> list[str]:
    """Return the lanes that rules, guard.yaml's `webhooks` and what still waits in the ledger need, sorted."""
    ordered = {order.lane for rule in program.rules for actions in rule.actions.values() for order in actions.orders}
    waiting = {delivery.channel for delivery in pending if is_lane(delivery.channel)}
    return sorted(ordered | waiting | {f"{ActionKind.WEBHOOK}:{name}" for name in webhooks})


class ActionWatch:
    """Tells people of a lane that fails, that gave an order up, or that refused one, once; and of its end.

    Parameters
    ----------
    outbox
        Delivers.
    orders
        Counts what was ordered.
    announce
        Tells people about guard itself: key, title, body, level.
    clock
        The machine's clock.
    """

    def __init__(self, outbox: Outbox, orders: OrderDesk, announce: Callable[[str, str, str, Level], None], clock: Clock) -> None:
        self._outbox = outbox
        self._orders = orders
        self._announce = announce
        self._clock = clock
        self._seen: dict[str, ChannelHealth] = {}
        # What was told before a restart ends with the first order that gets through: it says nothing where nothing was told.
        self._well: set[str] = set()
        self._refused: dict[str, int] = {}

    async def run(self) -> None:
        """Look once a second, until cancelled."""
        while True:
            self.look()
            await self._clock.sleep(_LOOK_S)

    def look(self) -> None:
        """Tell what is new."""
        for lane, health in self._outbox.health().items():
            if is_lane(lane):
                self._look_at(lane, health)
        for lane, counts in self._orders.counts.items():
            refused = counts.get("refused", 0)
            if refused > self._refused.get(lane, 0):
                body = f"orders refused so far: {refused}; no lane takes more than 1,000 in an hour"
                self._announce(f"orders:{lane}", f"too many orders for {lane}", body, Level.DANGER)
            self._refused[lane] = refused

    def _look_at(self, lane: str, health: ChannelHealth) -> None:
        before = self._seen.get(lane, ChannelHealth(is_failing=False, delivered=0, failed=0, dead=0, error=""))
        self._seen[lane] = health
        if health.dead > before.dead or (health.is_failing and not before.is_failing):
            self._well.discard(lane)
            why = health.error or "it was too late for an order"
            body = f"{why}\norders given up since the start: {health.dead}\nguard alerts outbox"
            self._announce(f"action:{lane}", f"{lane} does not get through", body, Level.DANGER)
        elif health.delivered > before.delivered and lane not in self._well:
            self._well.add(lane)
            self._announce(f"action:{lane}", f"{lane} gets through again", "An order was carried out.", Level.NORMAL)

    def summary(self) -> dict[str, Any]:
        """Return for the summary of a run what became of each lane's orders; nothing where there were none."""
        health = self._outbox.health()
        rows = {lane: {**counts, **_done(health.get(lane))} for lane, counts in self._orders.counts.items()}
        return {"actions": rows} if rows else {}


def _done(health: ChannelHealth | None) -> dict[str, int]:
    return {} if health is None else {"done": health.delivered, "dead": health.dead}
