"""Allow entries: ordered by people, kept in the ledger, shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guard.errors import OperationRefused
from guard.model import AddAllow, Market, RemoveAllow, TargetKind
from guard.model.allow import ALLOW_FILE
from guard.model.moments import stamp
from guard.runtime.arguments import duration_of, near_target, target_of, text_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from guard.model import AllowEntry, Target
    from guard.runtime.live import Live

__all__ = ["AllowDesk", "allow_record"]

_LONGEST_DAYS: Final = 366
_RULES_MAX: Final = 64


class AllowDesk:
    """The operator's requests about allow entries; an order is answered after its COMMIT.

    Parameters
    ----------
    live
        The running guard.
    check
        Raises OperationRefused for a target of an exchange that guard.yaml does not have.
    """

    def __init__(self, live: Live, check: Callable[[Target], None]) -> None:
        self._live = live
        self._check = check

    def handlers(self) -> dict[str, Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]]:
        """Return the operations by name."""
        return {"allow.ls": self.ls, "allow.add": self.add, "allow.rm": self.remove}

    async def ls(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """List what stands: the entries of guard.yaml and what people ordered."""
        del arguments
        pipeline = self._live.pipeline
        return {"allowed": [allow_record(entry) for entry in pipeline.isolation.allowed.all(self._live.clock.now_us())]}

    async def add(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Let rules not hold a target; tells what holds it all the same, until it is released or ends."""
        for_us, rules = duration_of(arguments, days_max=_LONGEST_DAYS), arguments.get("rules", [])
        if not isinstance(rules, list) or len(rules) > _RULES_MAX or not all(isinstance(name, str) for name in rules):
            raise OperationRefused(f"rules must be a list of at most {_RULES_MAX} ids, found {rules!r}")
        target = target_of(arguments)
        self._check(target)
        running = {rule.id for rule in self._live.pipeline.engine.program.rules}
        reason, actor = text_of(arguments, "reason"), text_of(arguments, "actor")
        decision, seq = await self._live.operate(AddAllow(target, tuple(sorted(set(rules))), for_us, reason, actor))
        entry = decision.allows[0].entry
        markets = self._live.pipeline.engine.markets
        is_watched = any(target.covers(market, self._live.pipeline.isolation.aliases) for market in markets)
        return {
            "seq": seq,
            "allowed": [allow_record(entry)],
            "watched": is_watched,
            "near": "" if is_watched else near_target(target, markets),
            "unknown_rules": sorted(set(rules) - running),
            "held": self._held(entry.target),
        }

    async def remove(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Take entries back, by `id` or by `target`; what they kept from holding holds at once, where its rule still says so."""
        identity = text_of(arguments, "id") if arguments.get("id") else None
        target = None if identity else target_of(arguments)
        command = RemoveAllow(target, identity, text_of(arguments, "reason"), text_of(arguments, "actor"))
        decision, seq = await self._live.operate(command)
        begun = [each.quarantine for each in decision.transitions if each.cause in {"rule", "reoffence"}]
        return {
            "seq": seq,
            "removed": [allow_record(change.entry) for change in decision.allows],
            "held": [{"id": held.id, "target": str(held.target), "rule": held.hold.rule} for held in begun],
        }

    def _held(self, target: Target) -> list[dict[str, Any]]:
        isolation = self._live.pipeline.isolation
        over = {held.id: held for held in isolation.active() if held.target == target}
        named = (Market.parse(target.name),) if target.kind is TargetKind.MARKET else ()
        for market in (*self._live.pipeline.engine.markets, *named):
            if target.covers(market, isolation.aliases):
                over |= {held.id: held for held in isolation.covering(market)}
        return [{"id": held.id, "target": str(held.target), "rule": held.hold.rule} for held in over.values()]


def allow_record(entry: AllowEntry) -> dict[str, Any]:
    """Return an allow entry as commands show it; `until` is None where it has no end, `since` where it stands in guard.yaml."""
    return {
        "id": entry.id,
        "target": str(entry.target),
        "rules": sorted(entry.rules),
        "until": None if entry.until_us is None else stamp(entry.until_us),
        "since": None if entry.actor == ALLOW_FILE else stamp(entry.since_us),
        "reason": entry.reason,
        "actor": entry.actor,
    }
