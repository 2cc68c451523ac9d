"""The same rules in other modes, as an override would make them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from guard.dsl.document import Entry, Scalar, Table
from guard.dsl.problems import Place, Source
from guard.dsl.rules import RuleSet, rule_hashes, set_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.dsl.rules import RuleSource
    from guard.model import RuleMode

__all__ = ["with_mode", "with_modes"]


def with_mode(rule: RuleSource, mode: RuleMode, *, why: str) -> RuleSource:
    """Return a rule with another mode; its hash is the one that it would have were that mode written in its file.

    `why` stands for the file of the mode where somebody asks where it comes from.
    """
    place = Place(Source.of(why, ""))
    node = Table({**rule.node.entries, "mode": Entry(place, Scalar(str(mode), str(mode), place))}, rule.node.place)
    spec = None if rule.spec is None else rule.spec.model_copy(update={"mode": mode})
    whole, level = rule_hashes(rule.id, node, rule.lists, rule.macros)
    return replace(rule, spec=spec, node=node, hash=whole, level_hash=level)


def with_modes(rules: RuleSet, modes: Mapping[str, RuleMode], *, why: str) -> RuleSet:
    """Return a set in which some rules, by their id, have another mode."""
    if not modes:
        return rules
    changed = tuple(with_mode(rule, modes[rule.id], why=why) if rule.id in modes else rule for rule in rules.rules)
    return replace(rules, rules=changed, hash=set_hash(changed))
