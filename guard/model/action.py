"""Actions that a rule orders beside telling people and holding a market back: posting to a webhook, calling installed code."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.model.risk import Level

__all__ = ["ActionEvent", "ActionHold", "ActionKind", "ActionOrder"]


class ActionKind(StrEnum):
    """How an action leaves guard; also the `kind` of its delivery."""

    WEBHOOK = "webhook"
    CALL = "call"


class ActionOrder(NamedTuple):
    """One action that a rule lists at a level.

    `name` is a webhook of guard.yaml or an installed action, `timeout_us` the longest time of one call (0 for a webhook: guard.yaml
    says), `arguments` the JSON text of what the rule hands to a call.

    Examples
    --------
    >>> ActionOrder(ActionKind.WEBHOOK, "my_bot").lane
    'webhook:my_bot'
    """

    kind: ActionKind
    name: str
    timeout_us: int = 0
    arguments: str = "{}"

    @property
    def lane(self) -> str:
        """The name under which its deliveries wait in the outbox: all of one webhook, or of one installed action."""
        return f"{self.kind}:{self.name}"


class ActionHold(NamedTuple):
    """The quarantine that an event speaks of; `until` is its end as known then, ISO 8601 in UTC."""

    id: str
    target: str
    state: str
    block: str
    until: str


class ActionEvent(NamedTuple):
    """What an installed action is told.

    `id` is the same for every attempt: whoever has seen it has done it. `event` is ``level`` (the level of `rule` on `market`
    rose), ``clear`` (it is back to normal) or ``quarantine`` (the state of one that was told of changed); calls get ``level`` only.
    `score` in [0, 1] and the `factors` in [0, 1] are None where unknown. `mode` is what the rule may do under the ceiling of
    guard.yaml, `at` the event's time, ISO 8601 in UTC. `repeat`: the rule ordered the same for this market a short while ago.
    `group` is what has the level under a rule that judges markets together, ``symbol:PEPE/USDT``, `market` then the one that tipped
    it.
    """

    id: str
    event: str
    rule: str
    market: str
    level: Level
    previous: Level
    score: float | None
    factors: Mapping[str, float | None]
    mode: str
    at: str
    episode: str
    repeat: bool
    quarantine: ActionHold | None
    group: str | None = None
