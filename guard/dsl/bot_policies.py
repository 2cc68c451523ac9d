"""The keys of guard.yaml under ``bots:``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from guard.dsl.bot_models import BotLocks  # noqa: TC001 - pydantic reads it
from guard.dsl.values import Duration, Model, OrText, Ratio, Words
from guard.model import NEW_US, BotPolicy, ListingAnswer, Mode, NewListings

__all__ = ["BotName", "BotSettings", "NewListingsSettings", "OnUnknown"]

BotName = Annotated[str, Field(min_length=1, max_length=64)]
Answer = Literal["refuse", "permit"]
_LISTING_MAX_US = 30 * 24 * 3600 * 1_000_000
_SILENT_MAX_US = 7 * 24 * 3600 * 1_000_000


class OnUnknown(Model):
    """What a bot is told when guard does not know."""

    guard_silent: Answer = "refuse"
    """No sign of life from guard."""
    feed_stale: Answer = "refuse"
    """The exchange's data stopped."""
    warming: Answer = "permit"
    """Too little has been seen yet."""
    not_watched: Answer = "permit"
    """Nobody asked guard to watch this market."""

    def permits(self) -> dict[str, bool]:
        """Return for each reason whether an order is permitted."""
        return {reason: answer == "permit" for reason, answer in self.model_dump().items()}


def _listings(value: Any) -> Any:  # noqa: ANN401 - what stands in the file may be anything
    """Read ``refuse 24h`` as the mapping it stands for."""
    words = value.split() if isinstance(value, str) else []
    if not words or len(words) > 2:  # noqa: PLR2004 - the word and its duration
        return value
    return {"answer": words[0], **({"for": words[1]} if len(words) > 1 else {})}


def _bounded(for_us: int) -> int:
    if for_us > _LISTING_MAX_US:
        raise ValueError("a market counts as a new listing for at most 30d")
    return for_us


class NewListingsSettings(Model):
    """What a bot is told of markets that were listed a short time ago; in short `refuse 24h`."""

    answer: ListingAnswer = ListingAnswer.PERMIT
    """permit; shrink: in a part of the usual size only; refuse."""
    for_us: Annotated[Duration, Field(alias="for", gt=0), AfterValidator(_bounded)] = NEW_US
    """How long after the listing, at most 30d."""
    max_fraction: Annotated[Ratio, Field(gt=0)] = 0.25
    """With shrink: the part of the usual size that may be opened."""


class BotSettings(Model):
    """One bot, or `*` for all others; what is left out has its default here, not what stands at `*`."""

    mode: Mode | None = None
    """Lowers the ceiling of guard.yaml for this bot, never raises it."""
    on_unknown: OnUnknown = OnUnknown()
    """What this bot is told when guard does not know."""
    rules: Words = ()
    """Only what these rules hold counts, `*` allowed; without rules and tags all of them."""
    tags: Words = ()
    """What rules with one of these tags hold counts, too."""
    min_level: Literal["warning", "danger", "critical"] = "warning"
    """Only what rules hold at this level or above counts."""
    sides: Annotated[tuple[Literal["buy", "sell"], ...], Field(min_length=1)] = ("buy", "sell")
    """Only orders of these sides are held back."""
    exchanges: Words = ()
    """Only orders on these exchanges are held back; none means all."""
    new_listings: Annotated[
        NewListingsSettings, BeforeValidator(_listings), OrText(r"^(permit|shrink|refuse)( [0-9]+(ms|s|m|h|d))?$")
    ] = NewListingsSettings()
    """What it is told of markets that were listed a short time ago."""
    silent_after_us: Annotated[Duration | None, Field(alias="silent_after", ge=0, le=_SILENT_MAX_US)] = None
    """People are told when it was not heard for so long, even if it never was since the start; 0s for never. Left out: 10m, once it
    has told what it holds."""

    locks: BotLocks | None = None
    """Set what this bot may not enter as locks of Freqtrade, too; nothing is pushed without it."""

    def policy(self) -> BotPolicy:
        """Return it as bots get it."""
        listings = self.new_listings
        return BotPolicy(
            mode=self.mode,
            rules=self.rules,
            tags=self.tags,
            min_level=self.min_level,
            sides=self.sides,
            exchanges=self.exchanges,
            new_listings=NewListings(listings.answer, listings.for_us, listings.max_fraction),
        )
