"""The seeded market through the pipeline in virtual time: an hour of it in minutes, and nothing waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.alerts.orders import ACTION_KINDS
from guard.model import Batch
from guard.runtime.summary import RunRecord

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from guard.model import Decision
    from guard.pipeline import Pipeline
    from guard.runtime.clock import SystemClock

__all__ = ["Simulation"]

_ROWS = 65_536
_SLICE_US = 250_000


class Simulation:
    """Runs a virtual market through a fresh pipeline and holds what it decided against what was staged.

    Parameters
    ----------
    pipeline
        Decides.
    tape
        The module ``guard_sim.tape``; guard imports no connector.
    on_decision
        Told of every decision.
    """

    def __init__(self, pipeline: Pipeline, tape: ModuleType, *, on_decision: Callable[[Decision], None]) -> None:
        self.pipeline = pipeline
        self.record = RunRecord()
        self.pushed = 0
        self._tape = tape
        self._on_decision = on_decision
        self._batch = Batch(_ROWS)
        self._events = 0

    def run(self, *, seconds: float, history_s: float, clock: SystemClock, name: str = "sim", **options: Any) -> dict[str, Any]:  # noqa: ANN401 - VirtualMarket's own
        """Run `seconds` of the market after `history_s` of its past, and return the summary."""
        chosen = {key: options[key] for key in ("symbols", "count") if key in options}
        markets = {facts.market.symbol: self.pipeline.open(facts) for facts in self._tape.facts(name=name, **chosen)}
        started_us = clock.monotonic_us()
        virtual = self._tape.VirtualMarket(self, rows=markets, **options)
        virtual.fill_past(history_s=history_s)
        for now_us in virtual.play(seconds, slice_us=_SLICE_US):
            self._flush()
            self._take(self.pipeline.advance(now_us))
        summary = self.record.summary(
            events=self._events,
            markets=len(markets),
            seconds=(clock.monotonic_us() - started_us) / 1e6,
            now_us=self.pipeline.now_us,
        )
        truth = [{**act.document(), "market": f"{name}:{act.symbol}"} for act in virtual.truth]
        return {
            **summary,
            "virtual_seconds": seconds,
            "pushes": self.pushed,
            **({"actions": ordered} if (ordered := self.pipeline.orders.counts) else {}),
            **self.record.against(truth, can_tell=self.pipeline.can_tell),
        }

    def append(self, kind: int, market: int, **columns: Any) -> None:  # noqa: ANN401 - the columns of Batch.append
        """Take one row of the market."""
        if self._batch.is_full:
            self._flush()
        self._batch.append(kind, market, **columns)
        self._events += 1

    def _flush(self) -> None:
        self._take(self.pipeline.process(self._batch))
        self._batch.clear()

    def _take(self, decision: Decision) -> None:
        if not decision.is_empty:
            self.pushed += sum(delivery.kind not in ACTION_KINDS for delivery in decision.deliveries)
            self.record.take(decision)
            self._on_decision(decision)
