"""The embedded exchange as guard sees it: a child process read through ccxt."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from guard.errors import ConfigurationError, Disconnected
from guard.model import Channel, Flag, Kind, Market, Status
from guard.model.ports import ConnectorContext
from guard.runtime.clock import SystemClock, seeded_random
from guard_sim import SimConnector
from guard_sim.child import Child

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

LIMIT_S = 15.0
MOON = Market("sim", "MOON/USDT")
BTC = Market("sim", "BTC/USDT")
PARENT = """
import asyncio
from guard_sim.child import Child

async def main():
    child = await Child.start("guard_sim.server", "{}")
    await child.first_line()
    print(child.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
UNTIL_GONE = """
import os, sys, time
for _ in range(1000):
    try:
        os.kill(int(sys.argv[1]), 0)
    except OSError:
        sys.exit(0)
    time.sleep(0.01)
sys.exit(1)
"""


class Rows:
    """A sink that keeps rows and tells when one of a kind has come."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self._came = asyncio.Event()

    def append(self, kind: int, market: int, **columns: Any) -> None:
        self.rows.append({"kind": Kind(kind), "market": market, **columns})
        self._came.set()

    async def until(self, is_enough: Callable[[list[dict[str, Any]]], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not is_enough(self.rows):
                self._came.clear()
                await self._came.wait()


@asynccontextmanager
async def _connected(folder: Path, **options: Any) -> AsyncIterator[tuple[SimConnector, list[str]]]:
    reports: list[str] = []
    context = ConnectorContext(
        name="sim",
        options={"symbols": ["MOON/USDT"], "schedule": "calm", **options},
        streams=frozenset({"trades", "book"}),
        clock=SystemClock(),
        random=seeded_random(1),
        cache_folder=str(folder),
        report=reports.append,
    )
    connector = SimConnector(context)
    try:
        yield connector, reports
    finally:
        await connector.close()


async def test_history_and_streams_arrive_as_from_any_exchange(tmp_path: Path) -> None:
    schedule = [{"pattern": "pump_dump", "symbol": "MOON/USDT", "at": 0}]
    async with _connected(tmp_path, inbox=0, schedule=schedule) as (connector, _):
        facts = {fact.market: fact for fact in await connector.open()}
        assert set(facts) == {BTC, MOON}
        assert facts[MOON].tick == 1e-7
        assert 1e6 < (facts[MOON].volume_24h_usd or 0) < 2e7
        past, live = Rows(), Rows()
        now_us = SystemClock().now_us()
        await connector.history(MOON, 1, past, since_us=now_us - 3_600_000_000)
        assert past.rows[-1]["key"] == Status.WARM
        assert sum(bool(row.get("flags", 0) & Flag.BACKFILL) for row in past.rows) > 100
        streaming = asyncio.create_task(connector.stream({BTC: 0, MOON: 1}, live))
        await live.until(lambda rows: {row["market"] for row in rows if row["kind"] is Kind.TRADE} == {0, 1})
        await live.until(lambda rows: any(row["kind"] is Kind.LEVEL and not row.get("flags", 0) & Flag.SNAPSHOT for row in rows))
        (act,) = await connector.truth()
        assert (act["market"], act["pattern"], act["phases"][0]["phase"]) == ("sim:MOON/USDT", "pump_dump", "accumulation")
        assert (await connector.inbox())["received"] == 0
        assert "inbox at http://127.0.0.1:" in connector.health().notes[-1]
        streaming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await streaming


async def test_a_dead_server_is_reported_and_ends_the_stream(tmp_path: Path) -> None:
    async with _connected(tmp_path) as (connector, reports):
        await connector.open()
        rows = Rows()
        streaming = asyncio.create_task(connector.stream({BTC: 0}, rows))
        await rows.until(lambda found: any(row["kind"] is Kind.TRADE for row in found))
        assert connector._server is not None
        os.kill(connector._server.pid, signal.SIGKILL)
        with pytest.raises(Disconnected, match="ended with code -9"):
            await asyncio.wait_for(streaming, LIMIT_S)
        assert any("ended by itself with code -9: the embedded exchange" in line for line in reports)
        with pytest.raises(Disconnected):
            await connector.truth()


async def test_a_fault_of_the_exchange_shows_as_a_gap(tmp_path: Path) -> None:
    async with _connected(tmp_path) as (connector, _):
        await connector.open()
        rows = Rows()
        streaming = asyncio.create_task(connector.stream({BTC: 0}, rows))
        await rows.until(lambda found: any(row["kind"] is Kind.TRADE for row in found))
        await connector.fault("drop")
        await rows.until(lambda found: any(row["kind"] is Kind.STATUS and row["key"] == Status.LOST for row in found))
        lost = len(rows.rows)
        await rows.until(lambda found: any(row["kind"] is Kind.TRADE for row in found[lost:]))
        assert connector.health().reconnects >= 1
        assert {row["side"] for row in rows.rows if row["kind"] is Kind.STATUS} <= set(Channel)
        streaming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await streaming


async def test_the_demo_bot_trades_and_tells_what_it_was_refused(tmp_path: Path) -> None:
    async with _connected(tmp_path, bot=True, snapshot=str(tmp_path / "none"), symbols=None) as (connector, _):
        await connector.open()
        streaming = asyncio.create_task(connector.stream({BTC: 0}, Rows()))
        for _ in range(200):
            if len(connector.bot_log()) >= 2:
                break
            await asyncio.sleep(0.05)
        await connector.stop_bot()
        *lines, summary = connector.bot_log()
        assert lines[0]["market"] == "sim:MOON/USDT"
        # No guard writes here, so nothing is let in.
        assert {(line["reason"], line["sent"]) for line in lines} == {("guard_silent", False)}
        assert summary["summary"]
        assert summary["markets"]["MOON/USDT"]["refused"] >= 1
        streaming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await streaming


async def test_a_demo_bot_that_dies_is_reported(tmp_path: Path) -> None:
    async with _connected(tmp_path, bot=True) as (connector, reports):
        await connector.open()
        streaming = asyncio.create_task(connector.stream({BTC: 0}, Rows()))
        for _ in range(400):
            if connector._bot is not None and reports:
                break
            if connector._bot is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(connector._bot.pid, signal.SIGKILL)
            await asyncio.sleep(0.01)
        assert reports == ["ended by itself with code -9: the demo bot"]
        streaming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await streaming


async def test_what_is_not_open_says_so(tmp_path: Path) -> None:
    async with _connected(tmp_path) as (connector, _):
        assert connector.health().received == 0
        assert connector.bot_log() == []
        with pytest.raises(Disconnected):
            await connector.stream({}, Rows())
        with pytest.raises(Disconnected):
            await connector.truth()
        await connector.close()
        await connector.close()
        with pytest.raises(Disconnected):
            await connector.open()


async def test_a_taken_port_is_told(tmp_path: Path) -> None:
    blocker = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = blocker.sockets[0].getsockname()[1]
    async with blocker, _connected(tmp_path, port=port) as (connector, _):
        with pytest.raises(Disconnected, match=r"options\.port of this exchange in guard\.yaml to a free port"):
            await connector.open()


async def test_a_server_refuses_options_as_the_connector_does() -> None:
    child = await Child.start("guard_sim.server", json.dumps({"schedule": "wild"}))
    with pytest.raises(ConfigurationError, match="schedule must be"):
        await child.first_line()


def test_the_server_leaves_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
        parent.wait(LIMIT_S)
        # Its end shows when its number is free.
        assert subprocess.run([sys.executable, "-c", UNTIL_GONE, str(pid)], check=False, timeout=LIMIT_S).returncode == 0
