"""Rules as texts that mean the same anywhere: resolved, with overrides, each with the lists and macros of its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from guard.dsl.document import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.dsl import RuleSet

__all__ = ["rule_texts"]


def rule_texts(rules: RuleSet) -> Iterator[tuple[str, str]]:
    """Yield the id of each rule and a pack that has it alone; read in this order they make a set with the same hash."""
    for rule in rules.rules:
        document = {
            "version": 1,
            "lists": {name: list(words) for name, words in rule.lists.items()},
            "macros": {name: plain(macro) for name, macro in rule.macros.items()},
            "rules": {rule.id: plain(rule.node)},
        }
        yield rule.id, yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
