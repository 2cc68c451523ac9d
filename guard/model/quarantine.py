"""Quarantine: what is held back, why, until when."""

from __future__ import annotations

from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from guard.model.assets import NO_ALIASES, asset_in, symbol_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.model.market import Market
    from guard.model.risk import Level

__all__ = ["Block", "Hold", "IsolationState", "Quarantine", "Target", "TargetKind", "Transition", "quarantine_id"]


class TargetKind(StrEnum):
    """How wide a quarantine reaches."""

    MARKET = "market"
    SYMBOL = "symbol"
    BASE = "base"
    EXCHANGE = "exchange"


class Target(NamedTuple):
    """What is held: one market (``sim:X/USDT``), a symbol on all exchanges, a base asset, or an exchange.

    A symbol and a base asset mean the asset, however an exchange spells it: ``base:PEPE`` holds ``1000PEPE/USDT:USDT`` too, and
    ``symbol:PEPE/USDT`` the spot market ``1000PEPE/USDT``. Spot and contract are two symbols of one asset.

    Examples
    --------
    >>> str(Target(TargetKind.BASE, "PEPE"))
    'base:PEPE'
    """

    kind: TargetKind
    name: str

    def __str__(self) -> str:
        """Return the written form; a market is written as itself."""
        return self.name if self.kind is TargetKind.MARKET else f"{self.kind}:{self.name}"

    @property
    def misspelt(self) -> str:
        """What is wrong with a target that no market can ever be part of; empty where nothing is."""
        if self.kind is TargetKind.BASE and "/" in self.name:
            return f"a base asset is written base:PEPE, a symbol symbol:PEPE/USDT; found {str(self)!r}"
        if self.kind is TargetKind.SYMBOL and "/" not in self.name:
            return f"a symbol is written symbol:PEPE/USDT, a base asset base:PEPE; found {str(self)!r}"
        return ""

    def covers(self, market: Market, aliases: Mapping[str, str] = NO_ALIASES) -> bool:
        """Whether the target holds `market` back; `aliases` as in guard.yaml."""
        match self.kind:
            case TargetKind.MARKET:
                return self.name == str(market)
            case TargetKind.SYMBOL:
                return symbol_in("", self.name, aliases) == symbol_in(market.exchange, market.symbol, aliases)
            case TargetKind.BASE:
                return asset_in("", self.name, aliases) == asset_in(market.exchange, market.base, aliases)
            case _:
                return self.name == market.exchange

    def canonical(self, market: Market | None = None, aliases: Mapping[str, str] = NO_ALIASES) -> Target:
        """Return the target with the asset's own name, ``base:PEPE`` for ``base:1000PEPE``; that of `market` where one is given."""
        exchange = "" if market is None else market.exchange
        match self.kind:
            case TargetKind.SYMBOL:
                return self._replace(name=symbol_in(exchange, self.name if market is None else market.symbol, aliases))
            case TargetKind.BASE:
                return self._replace(name=asset_in(exchange, self.name if market is None else market.base, aliases))
            case _:
                return self


class IsolationState(StrEnum):
    """Where a target stands."""

    NORMAL = "normal"
    QUARANTINED = "quarantined"
    PROBATION = "probation"


class Block(StrEnum):
    """What is refused. Reducing and closing a position always passes."""

    ENTRIES = "entries"
    SHRINK = "shrink"


class Hold(NamedTuple):
    """What a rule (or a person) asks for when it quarantines.

    `for_us` is the floor: calm is not looked at before. `release_for_us` is how long calm must hold after it; a person's hold
    has `release_for_us` None and ends with its floor. `max_us` is the longest time in quarantine with all extensions.
    `escalate_factor` multiplies the floor at each repetition within `forget_us`; a repetition then lasts up to `jitter` (a share)
    longer, drawn from the quarantine's id. `probation_us` is how long entries are shrunk to `max_fraction` afterwards. `zone` is
    the id of the incident that it belongs to, empty for a person's own hold.
    """

    rule: str
    market: Market | None
    target: Target
    level: Level
    reason: str
    for_us: int
    max_us: int
    block: Block = Block.ENTRIES
    escalate_factor: float = 1.0
    forget_us: int = 0
    release_for_us: int | None = None
    probation_us: int = 0
    max_fraction: float = 0.25
    zone: str = ""
    jitter: float = 0.0


class Quarantine(NamedTuple):
    """One reason that holds one target. Several may hold the same target: strongest block, latest end.

    Times are microseconds since 1970, event time of the transition. `until_us` is the absolute end of the present state as
    known now; `floor_us` the earliest moment at which calm can release; `last_end_us` the latest end of this stay, whatever the
    data says. Once the state is normal, `until_us` is when it became so and `grace_until_us` when the same rule may hold again.
    `repetition` counts earlier holds of the same rule and target that are not forgotten. `actor` is ``guard`` or who ordered it.
    """

    id: str
    hold: Hold
    state: IsolationState
    opened_us: int
    floor_us: int
    until_us: int
    last_end_us: int
    repetition: int = 0
    actor: str = "guard"
    grace_until_us: int = 0

    @property
    def target(self) -> Target:
        """What is held."""
        return self.hold.target

    def founds_zone(self, at_us: int) -> bool:
        """Whether its zone is its own: no incident took in the stay that began at `at_us`."""
        return self.hold.zone in ("", quarantine_id(self.hold.rule, self.target, at_us))

    @property
    def block(self) -> Block:
        """What is refused now: probation shrinks, whatever the hold asked for."""
        return Block.SHRINK if self.state is IsolationState.PROBATION else self.hold.block


class Transition(NamedTuple):
    """One change of one quarantine; `quarantine` is as it stands after it.

    `cause` is ``rule``, ``operator``, ``list`` (an imported list names the target, or names it no more), ``calm`` (release
    condition held), ``floor`` (a timed hold ended), ``extend``, ``max`` (the longest time passed), ``probation_end``,
    ``reoffence``, ``clock`` (the wall clock was set between two runs: ends move with it), ``rule_gone`` (its rule holds nothing any
    more: it ends at the end that was announced, which nothing extends).
    """

    at_us: int
    quarantine: Quarantine
    previous: IsolationState
    cause: str
    actor: str
    reason: str


def quarantine_id(rule: str, target: Target, opened_us: int) -> str:
    """Return the id of a quarantine: 12 hex digits of a hash of rule, target and opening time, the same in every replay."""
    return sha256(f"{rule}|{target}|{opened_us}".encode()).hexdigest()[:12]
