"""A book that nobody touches: it is shown all the same where ccxt waits for changes, and costs its neighbours nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from ccxt_support import MovedClock, Rows, until

from guard.model import Channel, Flag, Kind, Market, Status
from guard.model.ports import ConnectorContext
from guard.runtime.clock import SystemClock, seeded_random
from guard_ccxt.connections import supervisor
from guard_ccxt.connections.instance import made
from guard_ccxt.connections.still_start import begin_still
from guard_ccxt.connections.tap import Tap
from guard_ccxt.counters import Counters
from guard_ccxt.options import read_options
from guard_ccxt.rest.client import Rest
from guard_ccxt.stream.gate import ClockOffset, Gate
from guard_ccxt.stream.subscription import Subscription
from guard_sim import SimConnector

if TYPE_CHECKING:
    from pathlib import Path

QUIET = "DOGE/USDT"


class Run:
    """Six markets of an embedded KuCoin, one of which says nothing from the start."""

    def __init__(self, folder: Path) -> None:
        self.told: list[str] = []
        self.rows = Rows()
        options: dict[str, Any] = {"dialect": "kucoin", "count": 6, "schedule": "calm", "ccxt": {"first_event_s": 1.0}}
        streams = frozenset({"trades", "book"})
        context = ConnectorContext("sim", options, streams, SystemClock(), seeded_random(1), str(folder), self.told.append)
        self.sim = SimConnector(context)

    async def start(self, *, silent_s: float) -> asyncio.Task[None]:
        facts = await self.sim.open()
        self.markets = {one.market.symbol: row for row, one in enumerate(facts)}
        await self.sim.fault("silent", symbol=QUIET, for_s=silent_s)
        return asyncio.create_task(self.sim.stream({Market("sim", symbol): row for symbol, row in self.markets.items()}, self.rows))

    def live(self) -> set[str]:
        """Return the symbols whose book is live now."""
        last = {row.market: row.key for row in self.rows.of(Kind.STATUS) if row.side == Channel.BOOK}
        return {symbol for symbol, row in self.markets.items() if last.get(row) == Status.LIVE}

    async def end(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self.sim.close()


async def test_a_book_without_messages_is_shown_and_goes_on_when_they_come(tmp_path: Path) -> None:
    run = Run(tmp_path)
    task = await run.start(silent_s=4.0)
    try:
        await until(lambda: run.live() == set(run.markets), seconds=3.5)
        row = run.markets[QUIET]
        shown = run.rows.of(Kind.LEVEL, row)
        assert len(shown) > 10
        assert all(each.flags & Flag.SNAPSHOT for each in shown)
        assert run.sim.health().reconnects == 0
        await until(lambda: any(not each.flags & Flag.SNAPSHOT for each in run.rows.of(Kind.LEVEL, row)), seconds=15.0)
    finally:
        await run.end(task)


async def test_a_book_that_cannot_be_had_costs_its_neighbours_one_new_connection_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "begins_by_messages", lambda _: False)
    monkeypatch.setattr("guard_ccxt.connections.backoff.Backoff.next_s", lambda _self, **_: 0.05)
    run = Run(tmp_path)
    task = await run.start(silent_s=60.0)
    try:
        await until(lambda: len(run.live()) == 5, seconds=10.0)
        await until(lambda: sum("subscribed again" in each for each in run.told) >= 1, seconds=10.0)
        await asyncio.sleep(7.0)
        lost = [row for row in run.rows.of(Kind.STATUS) if row.key == Status.LOST and row.market != run.markets[QUIET]]
        assert len(lost) <= 10  # both streams of five neighbours, once
        assert len(run.live()) == 5
    finally:
        await run.end(task)


@pytest.mark.parametrize(
    ("nonce", "bids"),
    [
        pytest.param("x", None, id="one whose number is none is told, and harms nobody"),
        pytest.param(10, {1.4: 3.0, 1.3: 5.0}, id="the change that came is laid over an older book"),
        pytest.param(11, {1.4: 1.0}, id="and not over one that has it"),
        pytest.param(8, None, id="a book that is too old is left to ccxt"),
        pytest.param(None, None, id="as is one without a number"),
    ],
)
async def test_what_came_before_the_answer_is_laid_over_it(nonce: Any, bids: dict[float, float] | None) -> None:
    clock, rows, counters = MovedClock(), Rows(), Counters(lambda _: None)
    exchange = made("kucoin", read_options("kucoin", {}))
    tap = Tap(exchange, clock=clock, counters=counters, levels_max=100, bad_frames_max=3, tier="generic")
    tap.install()
    one = Subscription("A/USDT", 0, Channel.BOOK, gate=Gate(offset=ClockOffset()), sink=rows, counters=counters, clock=clock)
    one.begin()
    one.hashes.add("orderbook:A/USDT")
    tap.subscriptions[one.key] = one
    exchange.client("ws://127.0.0.1:1/any")
    (one.connection,) = tap.connections.values()
    book = exchange.order_book()
    exchange.orderbooks = {"A/USDT": book}
    changes = {"asks": [], "bids": [["1.4", "3", "11"], ["1.3", "5", "11"]]}
    book.cache.append({"sequenceStart": 11, "sequenceEnd": 11, "symbol": "A-USDT", "changes": changes})

    async def fetch_order_book(symbol: str, _: int | None) -> dict[str, Any]:
        now_ms = clock.now_us() // 1000
        return {"symbol": symbol, "bids": [[1.4, 1.0]], "asks": [[1.6, 2.0]], "timestamp": now_ms, "datetime": None, "nonce": nonce}

    exchange.fetch_order_book = fetch_order_book
    await begin_still(exchange, one, rest=Rest(exchange, clock), counters=counters, limit=100)
    shown = {row.price: row.amount for row in rows.of(Kind.LEVEL) if row.side == 1}
    assert shown == (bids or {})
    assert one.is_live is (bids is not None)
    await tap.close()
    await exchange.close()
