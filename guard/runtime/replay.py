"""Recorded trades through the same pipeline that runs live."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from guard.model import Batch, Channel, Flag, Kind, MarketFacts, Status
from guard.runtime.blocked import BlockedTime
from guard.runtime.lines import DecisionLog, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from guard.model import Decision, Market
    from guard.pipeline import Pipeline
    from guard.runtime.clock import SystemClock

__all__ = ["Replay"]


class Replay:
    """Feed trade files to a pipeline and log what it decides.

    Parameters
    ----------
    pipeline
        A fresh pipeline.
    batch_rows
        Rows given to the pipeline at once, > 0; the decisions do not depend on it.
    write
        Takes each record of the decision log.
    """

    def __init__(self, pipeline: Pipeline, *, batch_rows: int, write: Callable[[dict[str, Any]], None]) -> None:
        self.pipeline = pipeline
        self.log = DecisionLog()
        self.events = 0
        self._batch = Batch(batch_rows)
        self._write = write
        self._rows: dict[Market, int] = {}
        self._blocked = BlockedTime()

    def run(self, paths: Sequence[Path], *, exchange: str, clock: SystemClock) -> dict[str, Any]:
        """Replay the files, merged by time, and return the summary. Raises ConfigurationError for a file that is no tape."""
        (point,) = entry_points(group="guard.connectors", name="tape")
        tape = point.load()(paths, exchange=exchange)
        started_us = clock.monotonic_us()
        for trade in tape:
            self._append(trade)
        self._flush()
        seconds = max(1, clock.monotonic_us() - started_us) / 1e6
        return {
            "type": "summary",
            "events": self.events,
            "markets": len(self._rows),
            "seconds": round(seconds, 3),
            "events_per_second": round(self.events / seconds),
            "verdicts": self.log.verdicts,
            "quarantines": len(self.log.quarantines),
            "blocked_minutes": round(self._blocked.minutes(self.pipeline.now_us), 3),
            "rejected": dict(tape.rejected),
            "rejected_examples": tape.examples,
            "repeated": tape.repeated,
            "digest": self.log.digest,
        }

    def _append(self, trade: Any) -> None:  # noqa: ANN401 - a tape's rows are its own type; guard imports no connector
        row = self._rows.get(trade.market)
        if row is None:
            row = self._open(trade.market, trade.at_us)
        self._put(
            Kind.TRADE,
            row,
            at_us=trade.at_us,
            received_us=trade.at_us,
            price=trade.price,
            amount=trade.amount,
            side=trade.side,
            flags=Flag.NONE if trade.side else Flag.INFERRED_SIDE,
        )
        self.events += 1

    def _open(self, market: Market, at_us: int) -> int:
        self._flush()
        row = self._rows[market] = self.pipeline.open(MarketFacts(market, streams=frozenset({"trades"})))
        self._put(Kind.STATUS, row, at_us=at_us, received_us=at_us, side=Channel.TRADES, key=Status.LIVE)
        return row

    def _put(self, kind: Kind, row: int, **columns: Any) -> None:  # noqa: ANN401 - the columns of Batch.append
        if self._batch.is_full:
            self._flush()
        self._batch.append(kind, row, **columns)

    def _flush(self) -> None:
        self._take(self.pipeline.process(self._batch))
        self._batch.clear()

    def _take(self, decision: Decision) -> None:
        for transition in decision.transitions:
            self._blocked.take(transition)
        for record in lines_of(decision):
            self.log.write(record)
            self._write(record)
