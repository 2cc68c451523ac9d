"""A running guard whose exchange fails, falls silent, was not reached yet or is in maintenance: who is told, and what is known."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from alerts.support import MovedClock, settle
from runtime.feeds import A, B, Script
from runtime.test_live import bench, told

from guard.errors import Disconnected
from guard.model import AddMaintenance, Channel, Kind, Status, Target, TargetKind
from guard.runtime.watchlist import Watchlist

if TYPE_CHECKING:
    from pathlib import Path

    from guard.runtime.live import Live


async def looked_at(live: Live, clock: MovedClock, seconds: int) -> None:
    for _ in range(0, seconds, 5):
        await clock.advance(5)
        live._feed_watch.look(live.feeds)


async def test_an_exchange_that_fails_is_told_once_after_two_minutes_and_so_is_its_return(tmp_path: Path) -> None:
    clock, script = MovedClock(), Script()
    async with bench(tmp_path, clock=clock) as at_work:
        task = asyncio.create_task(at_work.feed(script).run())
        await looked_at(at_work.live, clock, 60)
        script.does["open"] = Disconnected("no route to host")
        script.fail.set()
        await looked_at(at_work.live, clock, 115)
        assert told(at_work.live) == []
        await looked_at(at_work.live, clock, 600)
        assert told(at_work.live) == ["[DANGER] guard: x does not deliver"]
        script.does["open"] = None
        await looked_at(at_work.live, clock, 200)
        assert [title.partition("guard: ")[2] for title in told(at_work.live)] == ["x does not deliver", "x is back"]
        task.cancel()


async def test_a_short_failure_is_told_to_nobody(tmp_path: Path) -> None:
    clock, script = MovedClock(), Script()
    async with bench(tmp_path, clock=clock) as at_work:
        task = asyncio.create_task(at_work.feed(script).run())
        await looked_at(at_work.live, clock, 60)
        script.fail.set()
        await looked_at(at_work.live, clock, 600)
        assert script.made == 2
        assert told(at_work.live) == []
        task.cancel()


async def test_an_exchange_whose_markets_fall_silent_is_told_though_its_connector_runs(tmp_path: Path) -> None:
    clock, script = MovedClock(), Script()
    async with bench(tmp_path, clock=clock) as at_work:
        task = asyncio.create_task(at_work.feed(script).run())
        await looked_at(at_work.live, clock, 60)
        for row in (0, 1):
            now_us = clock.now_us()
            at_work.live.inlet.append(Kind.STATUS, row, at_us=now_us, received_us=now_us, side=Channel.ALL, key=Status.STALLED)
        at_work.live.inlet.flush()
        await looked_at(at_work.live, clock, 130)
        assert told(at_work.live) == ["[DANGER] guard: x does not deliver"]
        task.cancel()


async def test_a_failed_exchange_makes_its_markets_stale_and_not_merely_silent(tmp_path: Path) -> None:
    clock, script = MovedClock(), Script()
    async with bench(tmp_path, clock=clock) as at_work:
        task = asyncio.create_task(at_work.feed(script).run())
        await settle(60)
        script.does["open"] = "hang"
        script.fail.set()
        await settle(60)
        at_work.live.inlet.flush()
        assert {view.data for view in at_work.live.image().markets.values()} == {"stale"}
        task.cancel()


async def test_markets_of_the_last_run_stay_known_until_their_exchange_was_reached(tmp_path: Path) -> None:
    Watchlist(tmp_path / "watched.json").remember(["x:A/USDT", "x:OLD/USDT", "gone:C/USDT"])
    clock, script = MovedClock(), Script(open=Disconnected("no route"))
    async with bench(tmp_path, clock=clock) as at_work:
        feed = at_work.feed(script)
        assert at_work.live.image().markets["x:OLD/USDT"].data == "warming"
        task = asyncio.create_task(feed.run())
        await settle(60)
        at_work.live.names.keep()
        markets = at_work.live.image().markets
        assert {name: view.data for name, view in markets.items()} == {"x:A/USDT": "stale", "x:OLD/USDT": "stale"}
        script.does["open"] = None
        await clock.advance(2)
        at_work.live.names.keep()
        assert set(at_work.live.image().markets) == {str(A), str(B)}
        assert Watchlist(tmp_path / "watched.json").markets == {str(A), str(B)}
        task.cancel()


async def test_announced_maintenance_is_one_message_in_and_one_out_though_connections_go_meanwhile(tmp_path: Path) -> None:
    clock, script = MovedClock(), Script()
    async with bench(tmp_path, clock=clock) as at_work:
        task = asyncio.create_task(at_work.feed(script).run())
        await looked_at(at_work.live, clock, 60)
        now_us = clock.now_us()
        at_work.live.pipeline.operate(
            AddMaintenance(Target(TargetKind.EXCHANGE, "x"), now_us, now_us + 600_000_000, "y", "ann"), now_us
        )
        await looked_at(at_work.live, clock, 5)
        assert told(at_work.live) == ["[DANGER] guard: x is in maintenance"]
        script.states["ws://x"] = "lost"
        await looked_at(at_work.live, clock, 500)
        script.states["ws://x"] = "live"
        at_work.live.pipeline.advance(now_us + 600_000_000)
        await looked_at(at_work.live, clock, 300)
        assert told(at_work.live) == ["[DANGER] guard: x is in maintenance", "[NORMAL] guard: x is back"]
        task.cancel()


async def test_exchange_that_says_it_is_closed_is_told_as_maintenance(tmp_path: Path) -> None:
    clock, script = MovedClock(), Script()
    async with bench(tmp_path, clock=clock) as at_work:
        feed = at_work.feed(script)
        task = asyncio.create_task(feed.run())
        await looked_at(at_work.live, clock, 60)
        for row in feed.rows.values():
            at_work.live.inlet.append(Kind.STATUS, row, at_us=2, received_us=2, side=Channel.ALL, key=Status.MAINTENANCE)
        at_work.live.inlet.flush()
        script.states["ws://x"] = "lost"
        await looked_at(at_work.live, clock, 115)
        assert told(at_work.live) == []
        await looked_at(at_work.live, clock, 60)
        assert told(at_work.live) == ["[DANGER] guard: x is in maintenance"]
        task.cancel()
