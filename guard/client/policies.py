"""The policies of bots in a snapshot: written, read, and held against a block."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from guard.model.bot import EVERY_BOT, BotPolicy, ListingAnswer, NewListings
from guard.model.clearance import Mode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guard.client.payload import PublishedBlock, Snapshot

__all__ = ["SIDES", "bot_policy", "counts", "policy_record", "read_policy", "stray_name"]

_LEVELS = ("normal", "warning", "danger", "critical")
SIDES = frozenset({"buy", "sell"})
_NAMED_MAX = 8


def policy_record(policy: BotPolicy) -> dict[str, Any]:
    """Return a policy as JSON."""
    listings = policy.new_listings
    return {
        **policy._asdict(),
        "mode": None if policy.mode is None else str(policy.mode),
        "new_listings": {"answer": str(listings.answer), "for_us": listings.for_us, "max_fraction": listings.max_fraction},
    }


def read_policy(record: Mapping[str, Any]) -> BotPolicy:
    """Read a policy. Raises ValueError or KeyError for one that guard would not write: none may read as a milder one."""
    listings = record["new_listings"]
    level, sides = record["min_level"], _words(record["sides"])
    if level not in _LEVELS or not SIDES.issuperset(sides):
        raise ValueError(f"not a snapshot of guard: a bot's policy with level {level!r} and sides {sides!r}")
    return BotPolicy(
        mode=None if record["mode"] is None else Mode(record["mode"]),
        rules=_words(record["rules"]),
        tags=_words(record["tags"]),
        min_level=level,
        sides=sides,
        exchanges=_words(record["exchanges"]),
        new_listings=NewListings(
            ListingAnswer(listings["answer"]), int(listings["for_us"]), min(1.0, max(0.0, float(listings["max_fraction"])))
        ),
    )


def bot_policy(snapshot: Snapshot | None, bot: str | None) -> BotPolicy:
    """Return the policy of `bot`: its own, else that of ``*``, else the one of a guard without policies."""
    if snapshot is None or not snapshot.bots:
        return BotPolicy()
    policies = snapshot.bots
    return (policies.get(bot) if bot else None) or policies.get(EVERY_BOT) or BotPolicy()


def stray_name(bot: str | None, named: Iterable[str]) -> str | None:
    """Return what to tell a bot whose name guard.yaml does not have although it names bots; None where all is well.

    Examples
    --------
    >>> stray_name("gird", ["*", "grid"])
    "guard.yaml has no bot 'gird' under bots:, so that it gets what stands there for '*'; it names grid"
    """
    names = sorted(set(named) - {EVERY_BOT})
    if not bot or not names or bot in names:
        return None
    shown = ", ".join(names[:_NAMED_MAX]) + (", ..." if len(names) > _NAMED_MAX else "")
    return f"guard.yaml has no bot {bot!r} under bots:, so that it gets what stands there for '*'; it names {shown}"


def counts(policy: BotPolicy, block: PublishedBlock) -> bool:
    """Tell whether a block holds back the bot with `policy`.

    What a person, a list or a brake holds always does, and so does whatever this client cannot judge: a level it does not know,
    tags that guard does not know yet.
    """
    if block.source != "rule":
        return True
    if block.level in _LEVELS and _LEVELS.index(block.level) < _LEVELS.index(policy.min_level):
        return False
    if not policy.rules and not policy.tags:
        return True
    if any(fnmatchcase(block.rule, pattern) for pattern in policy.rules):
        return True
    return bool(policy.tags) and (block.tags is None or not block.tags.isdisjoint(policy.tags))


def _words(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - what stands in the file may be anything
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ValueError("not a snapshot of guard: a bot's policy without lists of words")
    return tuple(value)
