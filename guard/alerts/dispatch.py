"""Hands each delivery to what carries its kind: people's channels, webhooks, installed actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.model import ActionKind

if TYPE_CHECKING:
    from guard.model import Delivery
    from guard.model.ports import Notifier, Outcome

__all__ = ["Dispatch"]


class Dispatch:
    """A `Notifier` that knows who carries what."""

    def __init__(self, people: Notifier, *, webhooks: Notifier, calls: Notifier) -> None:
        self._people = people
        self._others: dict[str, Notifier] = {ActionKind.WEBHOOK: webhooks, ActionKind.CALL: calls}

    async def send(self, delivery: Delivery) -> Outcome:
        """Try once."""
        return await self._others.get(delivery.kind, self._people).send(delivery)
