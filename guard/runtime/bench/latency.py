"""Arrival to verdict inside a running loop, against the same with a timer of 50 ms."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import TYPE_CHECKING

import numpy as np

from guard.errors import Unavailable
from guard.runtime.bench.rows import Bar, Row, judged
from guard.runtime.bench.sender import BURST
from guard.runtime.bench.subject import Warmed, best_build
from guard.runtime.bench.workload import Markets, stream
from guard.runtime.inlet import Inlet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from guard.model import Batch
    from guard.pipeline import Pipeline
    from guard.runtime.bench.plan import Plan

__all__ = ["measure"]

_MARKETS = 200
_PER_SECOND = 50_000
# What the plain kernel keeps up with; its figures show the loop, and are not judged.
_PLAIN_PER_SECOND = 2_000
_GAP_US = 1_000
_SECONDS = 3.0
_LIVE_S = 400
_TIMER_S = 0.05
_TIMES_MIN = 100.0
_QUANTILES = {"e.p50": 50, "e.p99": 99}


def measure(plan: Plan) -> Iterator[Row]:
    """Yield median and 99th percentile of the time from a row's sending by another process to the end of its processing."""
    build = best_build(plan)
    bursts = int(plan.seconds(_SECONDS) * 1e6 / _GAP_US)
    markets = Markets(_MARKETS)
    per_second = _PER_SECOND if build.is_jitted else _PLAIN_PER_SECOND
    burst_rows = per_second * _GAP_US // 1_000_000
    columns = stream(markets, bursts * burst_rows, per_second=per_second)
    warmed = Warmed(markets, is_jitted=build.is_jitted, behind=plan.behind(_LIVE_S))
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    figures: dict[str, tuple[list[float], list[float]]] = {key: ([], []) for key in _QUANTILES}
    for number in range(plan.rounds):
        for place in (0, 1) if number % 2 else (1, 0):
            trial = Trial(plan, warmed.fresh(), rows, burst_rows=burst_rows, timer_s=_TIMER_S if place else None)
            found = asyncio.run(trial.run(bursts))
            for key, quantile in _QUANTILES.items():
                figures[key][place].append(float(np.percentile(found, quantile)))
    for key, (ours, timers) in figures.items():
        row = Row(
            key,
            f"arrival to verdict, {per_second:,} events/s, {_MARKETS} markets, {key[2:]}: times below a 50 ms timer",
            "us",
            build.name,
            Bar(_TIMES_MIN, is_ceiling=False),
            reference_name="50 ms timer",
        )
        yield build.judge(judged(row, ours, timers, is_inverse=True))


class Trial:
    """One run: a process sends bursts over a socket, this one appends their rows to an inlet, which feeds the pipeline.

    With `timer_s` the inlet is flushed that often, otherwise once a turn of the loop, as live.
    """

    def __init__(
        self, plan: Plan, subject: Pipeline, rows: list[tuple[Any, ...]], *, burst_rows: int, timer_s: float | None
    ) -> None:
        self._clock = plan.clock
        self._subject = subject
        self._rows = rows
        self._burst_rows = burst_rows
        self._timer_s = timer_s
        self._appended = 0
        self._taken = 0
        self._pending: list[tuple[int, int]] = []
        self._lags: list[tuple[int, int]] = []

    async def run(self, bursts: int) -> np.ndarray[Any, Any]:
        """Return how long each row took, in microseconds. Raises Unavailable where the sender fails."""
        loop = asyncio.get_running_loop()
        soon: Callable[[Callable[[], None]], object] = loop.call_soon if self._timer_s is None else lambda _flush: None
        self._inlet = Inlet(self._take, call_soon=soon, now_us=self._clock.now_us, monotonic_us=self._clock.monotonic_us)
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        with theirs:
            words = ("-m", "guard.runtime.bench.sender", str(theirs.fileno()), str(bursts), str(self._burst_rows), str(_GAP_US))
            sender = await asyncio.create_subprocess_exec(sys.executable, *words, pass_fds=[theirs.fileno()])
        ticking = asyncio.create_task(self._tick()) if self._timer_s is not None else None
        try:
            while packet := await _burst(reader):
                self._arrive(*BURST.unpack(packet))
        finally:
            if ticking is not None:
                ticking.cancel()
            writer.close()
            code = await sender.wait()
        while self._inlet.waiting:
            self._inlet.flush()
        if code or self._appended != len(self._rows):
            raise Unavailable(f"the sender ended with code {code} after {self._appended} of {len(self._rows)} rows")
        if self._taken != self._appended:
            raise Unavailable(f"the pipeline did not keep up: {self._appended - self._taken} of {self._appended} rows were dropped")
        counts = [rows for rows, _ in self._lags]
        return np.repeat([lag for _, lag in self._lags], counts)

    async def _tick(self) -> None:
        assert self._timer_s is not None
        due_us = self._clock.monotonic_us()
        while True:
            due_us += int(self._timer_s * 1e6)
            await self._clock.sleep(max(0, due_us - self._clock.monotonic_us()) / 1e6)
            self._inlet.flush()

    def _arrive(self, sent_us: int, until: int) -> None:
        put = self._inlet.put
        self._pending.append((sent_us, until))
        for kind, market, at_us, received_us, price, amount, side, key, flags in self._rows[self._appended : until]:
            put(kind, market, at_us, received_us, price, amount, side, key, flags)
        self._appended = until

    def _take(self, batch: Batch) -> None:
        self._subject.process(batch)
        self._taken += len(batch)
        now_us = self._clock.monotonic_us()
        done = 0
        for sent_us, until in self._pending:
            if until > self._taken:
                break
            self._lags.append((self._burst_rows, now_us - sent_us))
            done += 1
        del self._pending[:done]


async def _burst(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readexactly(BURST.size)
    except asyncio.IncompleteReadError:
        return b""
