"""A decision: all that one step of the pipeline wants to happen, and what the world may see of it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.model.alert import Delivery
    from guard.model.allow import AllowChange
    from guard.model.bot import BotPolicy
    from guard.model.clearance import Mode
    from guard.model.quarantine import Quarantine, Transition
    from guard.model.verdict import Verdict

__all__ = ["NOTHING", "Decision", "Image", "MarketView", "PublishedBypass"]


class Decision(NamedTuple):
    """Verdicts, transitions and deliveries of one step. Committed as a whole or not at all.

    `log` holds the verdicts and transitions in the order in which they happened. `allows` are allow entries that a person changed.
    Nearly every batch of events decides nothing; that is `NOTHING`, which has no time of its own.
    """

    at_us: int
    verdicts: tuple[Verdict, ...] = ()
    transitions: tuple[Transition, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    log: tuple[Verdict | Transition, ...] = ()
    allows: tuple[AllowChange, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit or to tell."""
        return not (self.verdicts or self.transitions or self.deliveries or self.allows)


NOTHING: Final = Decision(0)


class MarketView(NamedTuple):
    """What a bot may know of one watched market.

    `data` is a `DataState`; `level` and `score` are the worst rule's. `listed_until_us` is when a market that was listed less than
    30 days ago is, or was, 72 hours old; None for all others.
    """

    data: str
    level: str
    score: float | None
    rules_active: int
    rules_expected: int
    listed_until_us: int | None = None


class PublishedBypass(NamedTuple):
    """A bypass as bots of other users see it, who may not read its file: its ends on both clocks, and who ordered it why."""

    until_us: int
    until_boot_ns: int
    boot_id: str
    began_us: int
    reason: str
    actor: str


class Image(NamedTuple):
    """The published state: every watched market and every block with its absolute end.

    `on_unknown` maps a bot's name (``*`` for all others) to the reasons of unknown and whether each permits. `unreached` has
    exchanges whose list of markets is not known yet: nobody can tell there what is watched, so each market not in `markets` looks
    like that. `aliases` tell which asset a base is, as in guard.yaml: blocks of an asset hold by it. `bots` has the policies of
    bots (``*`` for all others), `rule_tags` the tags of the rules that run; those of any other rule are not known. `bypass` is in
    force while guard lives.
    """

    mode: Mode
    at_us: int
    markets: Mapping[str, MarketView]
    blocks: tuple[Quarantine, ...]
    on_unknown: Mapping[str, Mapping[str, bool]]
    is_running: bool = True
    unreached: Mapping[str, MarketView] = MappingProxyType({})
    bots: Mapping[str, BotPolicy] = MappingProxyType({})
    rule_tags: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    bypass: PublishedBypass | None = None
    aliases: Mapping[str, str] = MappingProxyType({})
