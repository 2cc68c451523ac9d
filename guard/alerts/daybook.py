"""One channel's day: what was pushed, what waits for the digest."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.alerts.policy import ChannelPolicy

__all__ = ["DAY_US", "DayBook"]

DAY_US = 86_400_000_000
_MARKETS_MAX = 200
_MARKETS_SHOWN = 10


class DayBook:
    """Counts of one UTC day (`day` = event time // 24 h) for one channel, at most 200 markets by name.

    `pushed` counts messages about markets, `system` those about guard itself; each is bounded by the channel's `daily_max`.
    `held` counts events that the bound kept back, `kinds` and `markets` what the digest will tell.
    """

    def __init__(self, policy: ChannelPolicy) -> None:
        self.policy = policy
        self.day = 0
        self._reset()

    def _reset(self) -> None:
        self.pushed = 0
        self.system = 0
        self.held = 0
        self.is_summarised = False
        self.kinds: Counter[str] = Counter()
        self.markets: Counter[str] = Counter()
        self.others = 0

    @property
    def has_digest(self) -> bool:
        """Whether the day's end has something to tell."""
        return bool(self.kinds)

    def turn(self, at_us: int) -> None:
        """Begin the day of `at_us` if it is a later one."""
        if at_us // DAY_US > self.day:
            self.day = at_us // DAY_US
            self._reset()

    def keep(self, kind: str, market: str, count: int) -> None:
        """Put `count` events of `kind` into the digest."""
        self.kinds[kind] += count
        if not market:
            return
        if market in self.markets or len(self.markets) < _MARKETS_MAX:
            self.markets[market] += count
        else:
            self.others += count

    def digest(self) -> dict[str, Any]:
        """Return what the digest's template needs."""
        shown = sorted(self.markets.items(), key=lambda item: (-item[1], item[0]))
        return {
            "total": self.kinds.total(),
            "lines": [f"{kind}: {count}" for kind, count in sorted(self.kinds.items())],
            "held": self.held,
            "daily_max": self.policy.daily_max,
            "markets": [{"name": name, "count": count} for name, count in shown[:_MARKETS_SHOWN]],
            "others": self.others + sum(count for _, count in shown[_MARKETS_SHOWN:]),
        }

    def save(self) -> dict[str, Any]:
        """Return the state as JSON."""
        state = {name: getattr(self, name) for name in ("day", "pushed", "system", "held", "is_summarised", "others")}
        return {**state, "kinds": dict(self.kinds), "markets": dict(self.markets)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take a state that `save` returned."""
        for name in ("day", "pushed", "system", "held", "is_summarised", "others"):
            setattr(self, name, state[name])
        self.kinds = Counter(state["kinds"])
        self.markets = Counter(state["markets"])
