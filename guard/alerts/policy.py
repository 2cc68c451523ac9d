"""Who is told what: the alert policy, as guard.yaml sets it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from guard.dsl.patterns import matches_any
from guard.model import Level, Mode

if TYPE_CHECKING:
    from guard.dsl.settings import AlertSettings

__all__ = ["AlertPolicy", "ChannelPolicy", "alert_policy"]

_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US


class ChannelPolicy(NamedTuple):
    """What one channel gets.

    `levels` are pushed at once; what is not listed goes to the board and the daily digest. `daily_max` messages a day (UTC day
    of event time) are pushed, then one summary; guard's own troubles have a second budget of the same size. An undelivered
    message dies after `ttl_us`, a critical one after `critical_ttl_us`.
    `rules` are the rules it is told of at all, ``*`` allowed; guard's own troubles always pass.
    The loader of guard.yaml checks the ranges: `daily_max` >= 1, times > 0.
    """

    name: str
    levels: frozenset[Level] = frozenset({Level.DANGER, Level.CRITICAL})
    daily_max: int = 10
    ttl_us: int = _HOUR_US
    critical_ttl_us: int = _DAY_US
    rules: tuple[str, ...] = ("*",)

    def hears(self, rule: str) -> bool:
        """Whether the channel is told of `rule`; an empty name is guard itself or a person."""
        return not rule or matches_any(self.rules, rule)


class AlertPolicy(NamedTuple):
    """How events become messages.

    `mode` is the ceiling of guard.yaml: under observe nothing but guard's own troubles is pushed, all else is in the digest.
    Quarantines that join a zone already told wait `zone_wait_us` and come as one message. A verdict without a block is not pushed
    again for the same rule and market within `repeat_us` unless its level rises.
    """

    channels: tuple[ChannelPolicy, ...]
    mode: Mode = Mode.ENFORCE
    zone_wait_us: int = 60_000_000
    repeat_us: int = 4 * _HOUR_US

    def routed(self, level: Level) -> frozenset[str]:
        """Return the channels that get `level` at once.

        Where nobody lists danger or critical, it goes to the channels with the highest level that is listed: a gap in the routing
        never swallows a block.
        """
        names = frozenset(channel.name for channel in self.channels if level in channel.levels)
        if names or level < Level.DANGER:
            return names
        listed = [listed for channel in self.channels for listed in channel.levels]
        return frozenset(channel.name for channel in self.channels if listed and max(listed) in channel.levels)


def alert_policy(settings: AlertSettings, mode: Mode) -> AlertPolicy:
    """Return the policy that the section ``alerts`` of guard.yaml describes, under the ceiling `mode`."""
    channels = tuple(
        ChannelPolicy(name, frozenset(Level[level.upper()] for level in each.levels), each.daily_max, rules=tuple(each.rules))
        for name, each in settings.channels.items()
    )
    return AlertPolicy(channels, mode=mode, repeat_us=settings.repeat_us)
