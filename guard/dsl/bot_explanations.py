"""What the pages say of mistakes under ``bots:``, ``allow:``, ``lists:`` and ``aliases:`` in guard.yaml."""

from __future__ import annotations

from typing import Final

__all__ = ["OF_BOTS"]

OF_BOTS: Final[dict[str, tuple[str, str]]] = {
    "E095": (
        "A bot of guard.yaml counts a rule that there is not.",
        (
            "Only what the rules and tags under `bots:` hold counts for that bot, so a misspelled one would let everything pass. "
            "`guard rules list` shows the names."
        ),
    ),
    "E096": (
        "A bot of guard.yaml counts a tag that no rule has.",
        (
            "Only what the rules and tags under `bots:` hold counts for that bot, so a misspelled one would "
            "let everything pass. Tags "
            "are those of rules, not of markets."
        ),
    ),
    "E097": (
        "A bot of guard.yaml is held back on an exchange that guard.yaml does not have.",
        (
            "With `exchanges` a bot is held back there and nowhere else: a misspelled name would let "
            "everything pass. Exchanges have "
            "the names that they have under `exchanges:`."
        ),
    ),
    "W095": (
        "A bot has a stricter mode than the whole of guard.yaml.",
        (
            "`mode` at the top is the ceiling: a bot's own mode can only lower it, and a person who lowers the ceiling must not be "
            "held up by an entry of one bot. The ceiling holds."
        ),
    ),
    "W096": (
        "A name under bots: looks like a pattern.",
        "Names of bots are compared as they stand. `'*'` alone stands for every bot without an entry of its own.",
    ),
    "W097": (
        "An allow entry, a list or an alias names an exchange that guard.yaml does not have.",
        "It has no effect. Exchanges have the names that they have under `exchanges:`.",
    ),
    "W098": (
        "An allow entry or an alias names a market that is not watched.",
        (
            "By `markets`, `exclude` and `quotes` of the exchanges nothing that it could stand for is watched, so it has no "
            "effect. Where a bot chooses the markets (`from_bot`) nothing is said."
        ),
    ),
    "W099": (
        "An allow entry is over.",
        "Its `until` has passed: rules hold again what it names. A day counts to its end, UTC.",
    ),
    "W100": (
        "An allow entry overrides a rule that there is not.",
        (
            "With `rules` an entry overrides these rules and no other, so a misspelled one overrides nothing. `guard rules list` "
            "shows the names; an imported list has the name `list:NAME`. What a person holds is never overridden."
        ),
    ),
}
"""By id: what it is, and why it matters."""
