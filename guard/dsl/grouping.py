"""What is wrong where a rule judges markets together: by its keys, each mistake at its own place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.dsl.document import Items, Table
from guard.model import Per, Quorum, RuleMode, TargetKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.dsl.document import Entry, Node
    from guard.dsl.problems import Place, Report
    from guard.dsl.rule_models import RuleSpec
    from guard.dsl.rules import RuleSource

__all__ = ["check_grouping"]

_PARTS = {Per.SYMBOL: "exchange", Per.EXCHANGE: "symbol"}
_WORDS = {
    Per.SYMBOL: "of a symbol on all exchanges; target: symbol or base does",
    Per.EXCHANGE: "of an exchange; target: exchange does",
}


def check_grouping(source: RuleSource, spec: RuleSpec, report: Report) -> None:
    """Report a quorum without a group or out of reach, a target that leaves markets out, and one market that blocks an exchange."""
    keys = source.node.entries
    if spec.per is Per.MARKET:
        if spec.quorum is not None:
            report.add("E066", keys["quorum"].key, "a quorum counts the markets of a group", "add per: symbol or per: exchange")
        return
    most = _members_max(spec)
    if most is not None and spec.quorum is not None and spec.quorum.needed(most) > most:
        place = keys["quorum" if "quorum" in keys else "per"].key
        named = f"{most} {_PARTS[spec.per]}{'' if most == 1 else 's'}"
        message = f"the scope names {named}: no group ever has {spec.quorum.needed(most)} markets"
        report.add("W066", place, message, "name more in scope, or ask for fewer")
    quarantines = list(_quarantines(source.node))
    for place, target in quarantines:
        if target is not None and not spec.per.is_covered_by(target):
            message = f"target: {target} does not hold every market {_WORDS[spec.per]}"
            report.add("E065", place, message, f"leave target out: it follows per: {spec.per}")
    if quarantines and spec.per is Per.EXCHANGE and spec.quorum == Quorum(1) and spec.mode is not RuleMode.DISABLED:
        place = keys["quorum" if "quorum" in keys else "per"].key
        report.add("W065", place, "a single market would block its whole exchange", "quorum: 3, or a share such as quorum: 30%")


def _members_max(spec: RuleSpec) -> int | None:
    """Return how many markets a group can have at most by what the scope names; None where it names them by patterns."""
    names = spec.scope.exchange if spec.per is Per.SYMBOL else spec.scope.symbol
    return len(set(names)) if names and not any(sign in name for name in names for sign in "*?") else None


def _quarantines(rule: Table) -> Iterator[tuple[Place, TargetKind | None]]:
    """Yield each quarantine among a rule's actions: where it stands, or its target does, and the target where it is written."""
    for entry in _entries(rule.entries.get("actions")).values():
        for step in entry.node.items if isinstance(entry.node, Items) else ():
            if not isinstance(step, Table):
                if getattr(step, "text", "") == "quarantine":
                    yield step.place, None
                continue
            order = step.entries.get("quarantine")
            if order is not None:
                target = _entries(order).get("target")
                yield (order.key, None) if target is None else (target.node.place, _kind(target.node))


def _entries(entry: Entry | None) -> dict[str, Entry]:
    return entry.node.entries if entry is not None and isinstance(entry.node, Table) else {}


def _kind(node: Node) -> TargetKind | None:
    text = getattr(node, "text", "")
    return TargetKind(text) if text in set(TargetKind) else None
