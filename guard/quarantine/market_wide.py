"""The brake: when an exchange moves as a whole, and when so much of it is held that its data is to be suspected."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.model.quarantine import Hold, Target, TargetKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guard.model.risk import Level

__all__ = ["MARKET_WIDE_RULE", "BrakePolicy", "MarketWide", "Mass", "MassChange", "State"]

MARKET_WIDE_RULE: Final = "market_wide"
_MINUTE_US: Final = 60_000_000
_DAY_US: Final = 1_440 * _MINUTE_US


class BrakePolicy(NamedTuple):
    """What happens when a whole exchange moves, and how much held at once is suspect.

    `pause_us` is how long entries pause, None where people are told only; `lasts_us` how long the state lasts after the last
    finding that the leader explains, where nothing is paused. Within `window_us`, `mass_count` quarantines, or more than
    `mass_ratio` of an exchange's markets and `mass_least` at least, are a mass.
    """

    pause_us: int | None = 10 * _MINUTE_US
    lasts_us: int = 10 * _MINUTE_US
    mass_count: int = 20
    mass_ratio: float = 0.3
    mass_least: int = 5
    window_us: int = 10 * _MINUTE_US


class State(NamedTuple):
    """A market-wide state of an exchange: since when, until when as known now, and how many findings it took in."""

    began_us: int
    until_us: int
    findings: int


class MarketWide:
    """Which exchanges move as a whole now. Pure: time comes in with each call.

    Notes
    -----
    A state begins with the first finding that the leader's move explains and ends when none came, or stood, for its length; after
    24 h it takes no more, and what is found is held one by one again.

    Examples
    --------
    >>> states = MarketWide(BrakePolicy(pause_us=600))
    >>> states.take("okx", 100), states.take("okx", 500), states.next_due_us
    (True, False, 1100)
    >>> states.ended(1100), states.next_due_us
    (['okx'], None)
    """

    def __init__(self, policy: BrakePolicy) -> None:
        self._length_us = policy.lasts_us if policy.pause_us is None else policy.pause_us
        self.states: dict[str, State] = {}

    @property
    def next_due_us(self) -> int | None:
        """When a state may end."""
        return min((state.until_us for state in self.states.values()), default=None)

    def may_take(self, exchange: str, at_us: int) -> bool:
        """Whether a finding may go into a state of the exchange: there is none yet, or it is not a day old."""
        state = self.states.get(exchange)
        return state is None or at_us - state.began_us < _DAY_US

    def take(self, exchange: str, at_us: int, *, is_new: bool = True) -> bool:
        """Take in a finding, or one that stands (not `is_new`); returns whether a state began with it."""
        state = self.states.get(exchange)
        before = State(at_us, at_us, 0) if state is None else state
        until_us = min(at_us + self._length_us, before.began_us + _DAY_US)
        self.states[exchange] = State(before.began_us, max(before.until_us, until_us), before.findings + is_new)
        return state is None

    def ended(self, now_us: int) -> list[str]:
        """Return, and let go of, the exchanges whose state is over by `now_us`."""
        over = sorted(exchange for exchange, state in self.states.items() if state.until_us <= now_us)
        for exchange in over:
            del self.states[exchange]
        return over

    def hold(self, exchange: str, level: Level, reason: str, *, pause_us: int) -> Hold:
        """Return the hold that pauses entries on an exchange."""
        target = Target(TargetKind.EXCHANGE, exchange)
        return Hold(MARKET_WIDE_RULE, None, target, level, reason, for_us=pause_us, max_us=_DAY_US)

    def save(self) -> dict[str, list[int]]:
        """Return the states, ready for JSON."""
        return {exchange: list(state) for exchange, state in self.states.items()}

    def load(self, saved: Mapping[str, Iterable[int]]) -> None:
        """Take over what `save` returned."""
        self.states = {exchange: State(*state) for exchange, state in saved.items()}


class MassChange(NamedTuple):
    """A mass of quarantines that began or ended on an exchange: how many there were in the window, of how many markets."""

    exchange: str
    is_on: bool
    held: int
    markets: int


class Mass:
    """How many markets of an exchange were quarantined in the last minutes. It tells, and neither holds nor releases.

    Examples
    --------
    >>> mass = Mass(BrakePolicy(mass_count=3, window_us=600))
    >>> [mass.add("okx", f"okx:{coin}/USDT", at_us, markets=90) for coin, at_us in (("A", 0), ("B", 10), ("C", 20))][2]
    MassChange(exchange='okx', is_on=True, held=3, markets=90)
    >>> mass.advance(610), mass.is_on("okx")
    ([MassChange(exchange='okx', is_on=False, held=1, markets=90)], False)
    """

    def __init__(self, policy: BrakePolicy) -> None:
        self._policy = policy
        self._openings: dict[str, deque[tuple[int, str]]] = {}
        self._on: dict[str, int] = {}

    @property
    def next_due_us(self) -> int | None:
        """When an opening leaves the window next."""
        firsts = (openings[0][0] for openings in self._openings.values() if openings)
        return min((first + self._policy.window_us for first in firsts), default=None)

    def is_on(self, exchange: str) -> bool:
        """Whether a mass is told of and not over."""
        return exchange in self._on

    def add(self, exchange: str, target: str, at_us: int, *, markets: int) -> MassChange | None:
        """Count a quarantine that a rule began on an exchange with so many markets; returns a mass that begins with it."""
        openings = self._openings.setdefault(exchange, deque(maxlen=self._most(markets)))
        if all(name != target for _, name in openings):
            openings.append((at_us, target))
        if exchange in self._on or not self._is_mass(len(openings), markets):
            return None
        self._on[exchange] = markets
        return MassChange(exchange, is_on=True, held=len(openings), markets=markets)

    def advance(self, now_us: int) -> list[MassChange]:
        """Let openings leave the window and return the masses that are over: half of what makes one is left."""
        over = []
        for exchange in sorted(self._openings):
            openings = self._openings[exchange]
            while openings and openings[0][0] + self._policy.window_us <= now_us:
                openings.popleft()
            markets = self._on.get(exchange)
            if markets is not None and not self._is_mass(2 * len(openings), markets):
                del self._on[exchange]
                over.append(MassChange(exchange, is_on=False, held=len(openings), markets=markets))
            if not openings:
                del self._openings[exchange]
        return over

    def save(self) -> dict[str, Any]:
        """Return the state, ready for JSON."""
        openings = {exchange: [openings.maxlen, *map(list, openings)] for exchange, openings in self._openings.items()}
        return {"openings": openings, "on": dict(self._on)}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over what `save` returned."""
        self._on = dict(saved["on"])
        self._openings = {
            exchange: deque(((at_us, name) for at_us, name in rest), maxlen=most)
            for exchange, (most, *rest) in saved["openings"].items()
        }

    def _is_mass(self, held: int, markets: int) -> bool:
        policy = self._policy
        return held >= policy.mass_count or (held >= policy.mass_least and held > policy.mass_ratio * markets)

    def _most(self, markets: int) -> int:
        return max(2 * self._policy.mass_count, markets, 1)
