"""What guard.yaml says about decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from guard.alerts.policy import AlertPolicy
from guard.model import Mode
from guard.model.assets import NO_ALIASES
from guard.quarantine.market_wide import BrakePolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.model.allow import AllowEntry

__all__ = ["Settings"]


class Settings(NamedTuple):
    """What guard.yaml says about decisions.

    `references` maps an exchange to the symbol that leads it; `on_unknown` is described at `guard.model.Image`; `has_peers`
    tells that three or more exchanges are watched, so that their prices can be compared. `aliases` tell which asset a base is, see
    `guard.model.assets`; `brake` what happens where a whole exchange moves.
    """

    mode: Mode = Mode.ENFORCE
    alerts: AlertPolicy = AlertPolicy(channels=())
    allow: tuple[AllowEntry, ...] = ()
    references: Mapping[str, str] = {}
    on_unknown: Mapping[str, Mapping[str, bool]] = {}
    has_peers: bool = False
    aliases: Mapping[str, str] = NO_ALIASES
    brake: BrakePolicy = BrakePolicy()
