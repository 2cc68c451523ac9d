"""What guard.yaml says of one bot: which blocks count for it, and how far."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from guard.model.clearance import Mode

__all__ = ["EVERY_BOT", "NEW_US", "BotPolicy", "ListingAnswer", "NewListings", "listed_until"]

EVERY_BOT = "*"
"""The name whose policy holds for every bot without an entry of its own."""

NEW_US = 72 * 3600 * 1_000_000
"""How long after its listing the data of a market counts as new."""


_TOLD_US = 30 * 24 * 3600 * 1_000_000


def listed_until(listed_us: int | None, now_us: int) -> int | None:
    """Return when a market that was listed at `listed_us` is 72 hours old; None where that is unknown or longer ago than 30 days.

    Examples
    --------
    >>> listed_until(5, 6) == 5 + NEW_US, listed_until(None, 6), listed_until(5, 10**15)
    (True, None, None)
    """
    return listed_us + NEW_US if listed_us is not None and now_us - listed_us < _TOLD_US else None


class ListingAnswer(StrEnum):
    """What a bot is told of a market that was listed a short time ago."""

    PERMIT = "permit"
    SHRINK = "shrink"
    REFUSE = "refuse"


class NewListings(NamedTuple):
    """How a bot treats new listings for `for_us` after the listing; shrink leaves at most `max_fraction` of the usual size."""

    answer: ListingAnswer = ListingAnswer.PERMIT
    for_us: int = NEW_US
    max_fraction: float = 0.25


class BotPolicy(NamedTuple):
    """What one bot is held back from; exits pass whatever stands here.

    `mode` lowers the ceiling for this bot and never raises it; None takes the ceiling. A rule's block counts if its rule matches
    one of `rules` (``*`` allowed) or has one of `tags` (all count where both are empty), and if its level is `min_level` or above.
    What a person, an imported list or a market-wide brake holds always counts. Orders are held back on `exchanges` only (none: on
    all) and only on `sides`.
    """

    mode: Mode | None = None
    rules: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    min_level: str = "warning"
    sides: tuple[str, ...] = ("buy", "sell")
    exchanges: tuple[str, ...] = ()
    new_listings: NewListings = NewListings()
