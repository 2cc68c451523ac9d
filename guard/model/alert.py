"""What is told to people: a delivery is one message to one channel."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from guard.model.risk import Level

__all__ = ["CANARY", "Delivery", "DeliveryState"]

# The channel that ends nowhere; no channel of guard.yaml can have this name.
CANARY = ".canary"


class DeliveryState(StrEnum):
    """Where a delivery stands in the outbox; dead ones stay visible."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


class Delivery(NamedTuple):
    """One message for one channel.

    `id` is a hash of what it tells and the channel: the same event never makes two. `alert_id` joins the messages of one
    episode. `kind` is ``quarantine``, ``release``, ``verdict``, ``summary``, ``system`` or ``test``. `due_us` is the earliest
    and `expires_us` the last moment of an attempt. `title` and `body` are plain text, made safe for display. For an action `kind`
    is ``webhook`` or ``call``, `channel` its lane (``webhook:my_bot``), `body` JSON, and `output` what it answered.
    """

    id: str
    alert_id: str
    channel: str
    kind: str
    level: Level
    title: str
    body: str
    created_us: int
    due_us: int
    expires_us: int
    market: str = ""
    rule: str = ""
    attempts: int = 0
    state: DeliveryState = DeliveryState.PENDING
    error: str = ""
    output: str = ""
