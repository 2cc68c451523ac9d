"""What is said of ``bots:`` in guard.yaml beyond its keys: names that stand for nothing, and a mode that cannot hold."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from guard.dsl.document import Items, Scalar, find
from guard.dsl.problems import did_you_mean
from guard.model import EVERY_BOT, Mode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from guard.dsl.document import Table
    from guard.dsl.problems import Report
    from guard.dsl.rules import RuleSource
    from guard.dsl.settings import GuardConfig

__all__ = ["lint_bots", "lint_bots_and_rules"]

_STRICTNESS = (Mode.OBSERVE, Mode.ALERT, Mode.ENFORCE)


def lint_bots(config: GuardConfig, tree: Table, report: Report) -> None:
    """Report what can be told of bots without the rules: exchanges, modes and names. `tree` is that of guard.yaml."""
    for name, bot in config.bots.items():
        for word in _words(tree, name, "exchanges"):
            if str(word.value) not in config.exchanges:
                message = f"the bot {name} is held back on {str(word.value)!r}, which is no exchange of guard.yaml"
                report.add("E097", word.place, message, did_you_mean(str(word.value), config.exchanges))
        if bot.locks is not None and bot.locks.exchange not in config.exchanges:
            entry, _ = find(tree, ("bots", name, "locks", "exchange"))
            message = f"the bot {name} gets locks for {bot.locks.exchange!r}, which is no exchange of guard.yaml"
            report.add("E097", entry.key, message, did_you_mean(bot.locks.exchange, config.exchanges))
        if bot.mode is not None and _STRICTNESS.index(bot.mode) > _STRICTNESS.index(config.mode):
            entry, _ = find(tree, ("bots", name, "mode"))
            message = f"the bot {name} has mode {bot.mode}, but the ceiling is mode {config.mode}: {config.mode} holds"
            report.add("W095", entry.key, message, f"leave it out, or set mode: {bot.mode} at the top")
        if EVERY_BOT in name and name != EVERY_BOT:
            entry, _ = find(tree, ("bots", name))
            report.add(
                "W096", entry.key, f"{name!r} is no pattern: only a bot with that very name gets this", "write it out, or '*'"
            )


def lint_bots_and_rules(config: GuardConfig, tree: Table, rules: Iterable[RuleSource], report: Report) -> None:
    """Report rules and tags under ``bots:`` that no rule has: what they were meant to hold back would pass."""
    known = list(rules)
    names = {rule.id for rule in known}
    tags = {tag for rule in known if rule.spec is not None for tag in rule.spec.tags}
    for bot in config.bots:
        for word in _words(tree, bot, "rules"):
            text = str(word.value)
            if not any(fnmatchcase(name, text) for name in names):
                report.add(
                    "E095", word.place, f"the bot {bot} counts the rule {text!r}, which there is not", did_you_mean(text, names)
                )
        for word in _words(tree, bot, "tags"):
            text = str(word.value)
            if text not in tags:
                report.add(
                    "E096", word.place, f"the bot {bot} counts the tag {text!r}, which no rule has", did_you_mean(text, tags)
                )


def _words(tree: Table, bot: str, key: str) -> Iterator[Scalar]:
    node = tree
    for part in ("bots", bot, key):
        entries = getattr(node, "entries", {})
        if part not in entries:
            return
        node = entries[part].node
    for item in node.items if isinstance(node, Items) else (node,):
        if isinstance(item, Scalar):
            yield item
