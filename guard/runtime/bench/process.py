"""A whole ``guard run`` without the extra `fast`, over three embedded exchanges of 80 markets: memory and processor."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple
from urllib.request import urlopen

from guard.api.call import call
from guard.client.clock import pause
from guard.client.places import locate
from guard.errors import NotRunning, Timeout, Unavailable
from guard.runtime.bench.rows import Bar, Row, figure_of, judged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.model.ports import Clock
    from guard.runtime.bench.plan import Plan

__all__ = ["Sample", "measure", "usage"]

_EXCHANGES = 3
_MARKETS = 80
_OPENED_S = 240.0
_SETTLED_S = 15.0
_WATCHED_S = 60.0
_SAMPLES = 6
_RESIDENT_MB_MAX = 400.0
_CORE_MAX = 0.25
_MESSAGES_MIN = 500
_REST = re.compile(r"rest at (http://[\d.:]+)")
_STOP_S = 20.0
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_WITHOUT_FAST = """
import sys
sys.modules.update(dict.fromkeys(("numba", "msgspec", "uvloop")))
from guard.cli import main
main(["--json", "run"])
"""


class Sample(NamedTuple):
    """What a process has used: seconds of processor since it began, bytes resident now."""

    cpu_s: float
    resident: int


def measure(plan: Plan) -> Iterator[Row]:
    """Yield resident memory and the share of a core, medians of stretches of ten seconds."""
    with TemporaryDirectory(prefix="guard-bench-") as folder:
        config = Path(folder) / "guard.yaml"
        config.write_text(_config(max(2, int(_MARKETS * plan.scale))), encoding="utf-8")
        env = {**os.environ, "GUARD_STATE": str(Path(folder) / "state")}
        with (Path(folder) / "log").open("wb") as log:
            guard = subprocess.Popen([sys.executable, "-c", _WITHOUT_FAST], cwd=folder, env=env, stdout=log, stderr=log)  # noqa: S603 - guard itself
            try:
                socket = locate(env["GUARD_STATE"]).socket
                try:
                    markets = _wait_until_streaming(guard, socket, plan.clock)
                except Unavailable as error:
                    raise Unavailable(f"{error}; it said last: {_last_line(Path(log.name))}") from error
                pause(plan.seconds(_SETTLED_S))
                cores, resident, rates = _watched(guard.pid, socket, plan)
            finally:
                _stop(guard)
    rate = figure_of(rates).median
    whose = f"{_EXCHANGES} exchanges, {markets} markets, {rate:,.0f} messages/s, without fast"
    row = Row("i.memory", f"guard run, {whose}", "MB resident", "plain", Bar(_RESIDENT_MB_MAX, is_ceiling=True))
    yield judged(row, resident)
    row = judged(Row("i.core", f"guard run, {whose}", "cores", "plain", Bar(_CORE_MAX, is_ceiling=True)), cores)
    too_quiet = rate < _MESSAGES_MIN and row.is_met
    yield row._replace(is_met=None, note=f"the bar is for {_MESSAGES_MIN} messages/s") if too_quiet else row


def _config(markets: int) -> str:
    exchanges = "".join(
        f"  e{number}: {{connector: sim, markets: ['*/USDT'], options: {{seed: {number}, count: {markets}, schedule: calm}}}}\n"
        for number in range(_EXCHANGES)
    )
    packs = "[guard:pump_dump, guard:wash_trading, guard:spoofing, guard:divergence, guard:spread_blowout]"
    return f"version: 1\nmode: enforce\nrules: {packs}\nexchanges:\n{exchanges}"


def _wait_until_streaming(guard: subprocess.Popen[bytes], socket: str, clock: Clock) -> int:
    """Return the number of markets once every exchange streams. Raises Unavailable where that takes too long."""
    ends_us = clock.monotonic_us() + int(_OPENED_S * 1e6)
    problem = "it did not answer"
    while clock.monotonic_us() < ends_us:
        if guard.poll() is not None:
            raise Unavailable(f"guard run ended with code {guard.returncode}")
        pause(1.0)
        try:
            status = call(socket, "status")
        except (NotRunning, Timeout) as error:
            problem = str(error)
            continue
        waiting = [feed for feed in status["feeds"] if not feed["streaming"]]
        if status["feeds"] and not waiting:
            return int(status["watched"])
        problem = "; ".join(f"{feed['exchange']}: {feed['problem']}" for feed in waiting)
    raise Unavailable(f"not every exchange streams after {_OPENED_S:.0f} s: {problem}")


def _watched(pid: int, socket: str, plan: Plan) -> tuple[list[float], list[float], list[float]]:
    """Return the share of a core, megabytes, and messages a second, for each stretch."""
    cores, resident, rates = [], [], []
    hubs = [found for feed in call(socket, "status")["feeds"] for found in _REST.findall(" ".join(feed["notes"]))]
    before, sent, at_us = usage(pid), _sent(hubs), plan.clock.monotonic_us()
    for _ in range(_SAMPLES):
        pause(plan.seconds(_WATCHED_S) / _SAMPLES)
        after, total, now_us = usage(pid), _sent(hubs), plan.clock.monotonic_us()
        seconds = (now_us - at_us) / 1e6
        cores.append((after.cpu_s - before.cpu_s) / seconds)
        resident.append(after.resident / 1e6)
        rates.append((total - sent) / seconds)
        before, sent, at_us = after, total, now_us
    return cores, resident, rates


def _sent(exchanges: list[str]) -> int:
    """Return how many messages the embedded exchanges have sent."""
    total = 0
    for address in exchanges:
        with urlopen(f"{address}/control/health", timeout=5) as answer:  # noqa: S310 - the loopback address that guard told
            total += int(json.load(answer)["sent"])
    return total


def usage(pid: int) -> Sample:
    """Return what a process has used, its children not counted. Raises OSError where it is gone."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    # The name of the program stands in brackets and may hold anything.
    fields = stat.rpartition(")")[2].split()
    return Sample((int(fields[11]) + int(fields[12])) / _TICKS, int(fields[21]) * _PAGE)


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "nothing"


def _stop(guard: subprocess.Popen[bytes]) -> None:
    guard.terminate()
    try:
        guard.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        guard.kill()
        guard.wait()
