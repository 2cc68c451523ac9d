"""What is said of ``bots:`` in guard.yaml beyond its keys: names that stand for nothing, and a mode that cannot hold."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from guard.dsl.document import Items, Scalar, Table, find
from guard.dsl.problems import did_you_mean
from guard.model import EVERY_BOT, Mode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from guard.dsl.problems import Report
    from guard.dsl.rules import RuleSource

__all__ = ["lint_bots", "lint_bots_and_rules"]

_STRICTNESS = (Mode.OBSERVE, Mode.ALERT, Mode.ENFORCE)


def lint_bots(tree: Table, report: Report) -> None:
    """Report what can be told of bots without the rules: exchanges, modes and names.

    `tree` is that of guard.yaml, which may have mistakes: one look is to find them all.
    """
    exchanges = _keys(tree, "exchanges")
    ceiling = _mode(tree, ("mode",))
    for name in _keys(tree, "bots"):
        for word in _words(tree, name, "exchanges") if exchanges else ():
            if str(word.value) not in exchanges:
                message = f"the bot {name} is held back on {str(word.value)!r}, which is no exchange of guard.yaml"
                report.add("E097", word.place, message, did_you_mean(str(word.value), exchanges))
        for word in _words(tree, name, "locks", "exchange") if exchanges else ():
            if str(word.value) not in exchanges:
                message = f"the bot {name} gets locks for {str(word.value)!r}, which is no exchange of guard.yaml"
                report.add("E097", word.place, message, did_you_mean(str(word.value), exchanges))
        mode = _mode(tree, ("bots", name, "mode"))
        if mode is not None and ceiling is not None and _STRICTNESS.index(mode) > _STRICTNESS.index(ceiling):
            entry, _ = find(tree, ("bots", name, "mode"))
            message = f"the bot {name} has mode {mode}, but the ceiling is mode {ceiling}: {ceiling} holds"
            report.add("W095", entry.key, message, f"leave it out, or set mode: {mode} at the top")
        if EVERY_BOT in name and name != EVERY_BOT:
            entry, _ = find(tree, ("bots", name))
            report.add(
                "W096", entry.key, f"{name!r} is no pattern: only a bot with that very name gets this", "write it out, or '*'"
            )


def lint_bots_and_rules(tree: Table, rules: Iterable[RuleSource], report: Report) -> None:
    """Report rules and tags under ``bots:`` that no rule has: what they were meant to hold back would pass.

    Of a rule with mistakes the tags are not known: then nothing is said of tags.
    """
    known = list(rules)
    names = {rule.id for rule in known}
    tags = {tag for rule in known if rule.spec is not None for tag in rule.spec.tags}
    has_all_tags = all(rule.spec is not None for rule in known)
    for bot in _keys(tree, "bots"):
        for word in _words(tree, bot, "rules"):
            text = str(word.value)
            if not any(fnmatchcase(name, text) for name in names):
                report.add(
                    "E095", word.place, f"the bot {bot} counts the rule {text!r}, which there is not", did_you_mean(text, names)
                )
        for word in _words(tree, bot, "tags") if has_all_tags else ():
            text = str(word.value)
            if text not in tags:
                report.add(
                    "E096", word.place, f"the bot {bot} counts the tag {text!r}, which no rule has", did_you_mean(text, tags)
                )


def _keys(tree: Table, key: str) -> tuple[str, ...]:
    entry = tree.entries.get(key)
    return tuple(entry.node.entries) if entry is not None and isinstance(entry.node, Table) else ()


def _mode(tree: Table, path: tuple[str, ...]) -> Mode | None:
    """Return the mode that stands there; None where none does, and for a word that is none."""
    entry, walked = find(tree, path)
    word = entry.node.value if walked == path and isinstance(entry.node, Scalar) else None
    if word is None and path == ("mode",):
        return Mode.OBSERVE
    return next((mode for mode in Mode if mode == word), None)


def _words(tree: Table, bot: str, *keys: str) -> Iterator[Scalar]:
    node = tree
    for part in ("bots", bot, *keys):
        entries = getattr(node, "entries", {})
        if part not in entries:
            return
        node = entries[part].node
    for item in node.items if isinstance(node, Items) else (node,):
        if isinstance(item, Scalar):
            yield item
