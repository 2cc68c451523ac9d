"""How long a bot's question takes beside a guard that publishes, back to back and spaced, against `dict.get` in the same rhythm."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import TYPE_CHECKING, NamedTuple

from guard.client import Guard
from guard.client.clock import MACHINE
from guard.errors import Unavailable
from guard.runtime.bench.publishing import writer
from guard.runtime.bench.rows import Bar, Row, figure_of, judged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guard.runtime.bench.plan import Plan

__all__ = ["measure"]

_MARKETS = 300
_PUBLISH_S = 1.0
_LIVE_S = 600.0
_CALLS = 20_000
_SPACED_CALLS = 1_200
_SPACE_S = 0.0015
_P50_US, _P99_US = 0.5, 5.0
_HUNDRED = 100


class _Times(NamedTuple):
    p50_us: float
    p99_us: float


def measure(plan: Plan) -> Iterator[Row]:
    """Yield the median and the 99th percentile of single questions, the clock included, a round each."""
    with TemporaryDirectory(prefix="guard-bench-") as folder, writer(Path(folder), _MARKETS, _PUBLISH_S, _LIVE_S):
        guard = Guard(Path(folder) / "guard.snapshot", tells=False)
        if not guard.check("sim", "M7/USDT").permitted:
            raise Unavailable(str(guard.problem))
        table = {("sim", f"M{number}/USDT", None, None): number for number in range(_MARKETS)}
        ask, get = partial(guard.check, "sim", "M7/USDT"), partial(table.get, ("sim", "M7/USDT", None, None))
        calls, spaced = max(200, int(_CALLS * plan.scale)), max(100, int(_SPACED_CALLS * plan.scale))
        together, apart = [], []
        for _ in range(plan.rounds):
            together.append((_timed(ask, calls), _timed(get, calls)))
            apart.append((_timed(ask, spaced, space_s=_SPACE_S), _timed(get, spaced, space_s=_SPACE_S)))
    yield from _rows("s", "a question, back to back", together)
    yield from _rows("s.spaced", f"a question every {_SPACE_S * 1e3:g} ms", apart)


def _rows(key: str, title: str, rounds: list[tuple[_Times, _Times]]) -> Iterator[Row]:
    for name, limit in (("p50", _P50_US), ("p99", _P99_US)):
        ours, floor = ([getattr(side, f"{name}_us") for side in column] for column in zip(*rounds, strict=True))
        row = judged(Row(key, f"{title}, beside a guard that publishes: {name}", "us", "any", Bar(limit, is_ceiling=True)), ours)
        least = figure_of(floor)
        yield row._replace(
            note=f"{name}: dict.get in the same rhythm takes {least.median:.2f} us ({least.low:.2f} - {least.high:.2f})"
        )


def _timed(ask: Callable[[], object], calls: int, *, space_s: float = 0.0) -> _Times:
    now_ns, pause = MACHINE.boot_ns, Event().wait
    times = []
    for _ in range(calls):
        if space_s:
            pause(space_s)
        began_ns = now_ns()
        ask()
        times.append(now_ns() - began_ns)
    times.sort()
    return _Times(times[calls // 2] / 1e3, times[min(calls - 1, calls * (_HUNDRED - 1) // _HUNDRED)] / 1e3)
