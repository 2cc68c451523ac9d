"""What the operator's socket can be asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from guard.dsl.problems import did_you_mean
from guard.errors import OperationRefused, Unavailable
from guard.model import AddQuarantine, ExtendQuarantine, IsolationState, ReleaseQuarantine, Target, TargetKind
from guard.runtime.allowing import AllowDesk
from guard.runtime.arguments import duration_of, is_whole, market_of, near_target, target_of, text_of
from guard.runtime.explaining import explained, held_record, of_rule
from guard.runtime.lines import action_record, transition_line
from guard.runtime.maintenance import MaintenanceDesk
from guard.runtime.market_records import market_figures, market_records
from guard.runtime.slices import Slices
from guard.runtime.status import quarantine_record, status_document

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from guard.model.ports import Store
    from guard.runtime.live import Live
    from guard.runtime.market_records import MarketRecords
    from guard.runtime.rulebook import Rulebook

__all__ = ["Operators"]

_HISTORY_MAX = 1000
_ACTIONS_SHOWN = 20
_MARKETS_SHOWN = 8


class Operators:
    """Handlers of the operator's socket; each takes a mapping of arguments and returns a JSON-able mapping.

    An order is answered after its COMMIT, with the sequence number. Raises OperationRefused with the reason.
    """

    def __init__(
        self,
        live: Live,
        rulebook: Rulebook,
        store: Store,
        *,
        bypass_path: str,
        jump_us: Callable[[], int],
        keep_windows: Callable[[], None] = lambda: None,
    ) -> None:
        self._live = live
        self._rulebook = rulebook
        self._store = store
        self._bypass_path = bypass_path
        self._jump_us = jump_us
        self._upkeep = MaintenanceDesk(live, self._check_exchange, keep_windows)
        self._allows = AllowDesk(live, self._check_exchange)
        # Tells how recording fares, where something is to be recorded.
        self.recording: Callable[[], Mapping[str, Any] | None] = lambda: None
        # What else the status document tells, by name.
        self.sections: dict[str, Callable[[], Any]] = {}

    def handlers(self) -> dict[str, Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]]:
        """Return the operations by name."""
        return {
            "status": self.status,
            "why": self.why,
            "quarantine.ls": self.quarantines,
            "quarantine.add": self.add,
            "quarantine.release": self.release,
            "quarantine.extend": self.extend,
            "quarantine.history": self.history,
            "alerts.outbox": self.outbox,
            "reload": self.reload,
            **self._upkeep.handlers(),
            **self._allows.handlers(),
        }

    async def status(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the status document."""
        del arguments
        slices = Slices(self._live.clock.monotonic_us)
        return await self._document(await market_records(self._live, slices), slices)

    async def figures(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the status document with the level, state and data of each market alone, which costs a tenth."""
        del arguments
        slices = Slices(self._live.clock.monotonic_us)
        return await self._document(await market_figures(self._live, slices), slices)

    async def _document(self, markets: MarketRecords, slices: Slices) -> Mapping[str, Any]:
        try:
            outbox = await self._live.outbox.counts()
        except Unavailable:
            # Who asks how guard fares, asks when the ledger does not answer above all; `durable` and the log tell of it.
            outbox = {}
        await slices.turn()
        found = status_document(
            self._live,
            self._rulebook,
            bypass_path=self._bypass_path,
            outbox=outbox,
            markets=markets,
            clock_jump_us=self._jump_us(),
        )
        told = {"recording": self.recording()}
        for name, record in self.sections.items():
            await slices.step()
            told[name] = record()
        return {**found, **told}

    async def why(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Explain what every rule, or one, makes of a market now."""
        market = market_of(arguments)
        pipeline = self._live.pipeline
        row = pipeline.engine.markets.get(market)
        if row is None:
            known = [str(each) for each in pipeline.engine.markets]
            hint = did_you_mean(str(market), known) or f"watched are {', '.join(known[:8]) or 'none'}"
            raise OperationRefused(f"{market} is not watched; {hint}")
        found = explained(pipeline, row)
        return of_rule(found, text_of(arguments, "rule")) if arguments.get("rule") else found

    async def quarantines(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """List what is held."""
        del arguments
        pipeline = self._live.pipeline
        return {
            "quarantines": [held_record(pipeline, held) for held in pipeline.isolation.active()],
            "market_wide": pipeline.desk.records(),
        }

    async def add(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Hold a target."""
        for_us = duration_of(arguments, days_max=30)
        target = target_of(arguments)
        self._check_exchange(target)
        command = AddQuarantine(target, for_us, text_of(arguments, "reason"), text_of(arguments, "actor"))
        answer = await self._operate(command)
        aliases = self._live.pipeline.isolation.aliases
        held = [str(market) for market in self._live.pipeline.engine.markets if target.covers(market, aliases)]
        near = "" if held else near_target(target, self._live.pipeline.engine.markets)
        more = max(0, len(held) - _MARKETS_SHOWN)
        return {**answer, "markets": held[:_MARKETS_SHOWN], "markets_more": more, **({"near": near} if near else {})}

    def _check_exchange(self, target: Target) -> None:
        names = [feed.plan.name for feed in self._live.feeds]
        exchange = {TargetKind.EXCHANGE: target.name, TargetKind.MARKET: target.name.partition(":")[0]}.get(target.kind)
        if exchange is not None and exchange not in names:
            raise OperationRefused(f"guard.yaml has no exchange {exchange!r}; it has {', '.join(names)}")

    async def release(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Release by id or target."""
        identity = text_of(arguments, "id") if arguments.get("id") else None
        target = None if identity else target_of(arguments)
        command = ReleaseQuarantine(target, identity, text_of(arguments, "reason"), text_of(arguments, "actor"))
        return await self._operate(command)

    async def extend(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Hold what is held by id or target for longer."""
        for_us = duration_of(arguments, days_max=30)
        identity = text_of(arguments, "id") if arguments.get("id") else None
        target = None if identity else target_of(arguments)
        command = ExtendQuarantine(target, identity, for_us, text_of(arguments, "reason"), text_of(arguments, "actor"))
        return await self._operate(command)

    async def _operate(self, command: AddQuarantine | ReleaseQuarantine | ExtendQuarantine) -> Mapping[str, Any]:
        decision, seq = await self._live.operate(command)
        return {
            "seq": seq,
            "transitions": [transition_line(transition) for transition in decision.transitions],
            "released": [
                transition.quarantine.id
                for transition in decision.transitions
                if transition.quarantine.state is IsolationState.NORMAL
            ],
        }

    async def history(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the newest audit rows."""
        limit = arguments.get("limit", 50)
        if not is_whole(limit) or not 0 < limit <= _HISTORY_MAX:
            raise OperationRefused(f"limit must be 1 to {_HISTORY_MAX}, found {limit!r}")
        target = text_of(arguments, "target") if arguments.get("target") else None
        return {"history": list(await self._store.audit(target=target, limit=limit))}

    async def outbox(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return counts of deliveries by channel and state, the last error of each channel that fails, and the newest actions."""
        del arguments
        errors = {name: health.error for name, health in self._live.outbox.health().items() if health.error}
        newest = [action_record(each) for each in await self._store.actions(limit=_ACTIONS_SHOWN)]
        return {"channels": await self._live.outbox.counts(), "errors": errors, "actions": newest}

    async def reload(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read the rules anew, without waiting for files to rest, and tell what came of it, once that is in the ledger.

        `since` is when the rules that run were taken over, None where they run since the start. `unattended` is what is held by
        rules that hold nothing any more.
        """
        del arguments
        # Whoever asked may go away meanwhile: a reload is not left halfway.
        outcome = await asyncio.shield(asyncio.ensure_future(self._rulebook.reload()))
        is_kept = await self._live.all_committed()
        return {
            "outcome": str(outcome.state),
            "since": self._rulebook.counts.since,
            "seq": self._live.seq,
            "durable": is_kept,
            "active": self._rulebook.active,
            "added": outcome.added,
            "removed": outcome.removed,
            "changed": outcome.changed,
            "settings": outcome.settings,
            "problem": outcome.problem,
            "errors": [problem._asdict() for problem in outcome.problems],
            "unattended": [quarantine_record(held) for held in self._live.pipeline.unattended()],
        }
