"""An exchange that says over its REST that it is closed, and goes on sending: closed here too, and open again when it says so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from faults import feed_run
from faults.feed_run import SYMBOLS, running

from guard.model import Channel, Kind, Status
from guard_ccxt.alive import outage
from guard_ccxt.connections.backoff import Backoff
from guard_ccxt.rest import quiet
from guard_sim.server.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.feed_run import Run

STREAMS = 2 * len(SYMBOLS)


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    from ccxt.async_support.base.exchange import BaseExchange

    monkeypatch.setattr(BaseExchange, "timeout_on_exit", 0)
    monkeypatch.setattr(feed_run, "LEARN_S", 0.2)
    for name in feed_run.QUIET:
        monkeypatch.setattr(quiet, name, getattr(quiet, name))
    monkeypatch.setattr(Backoff.__init__, "__kwdefaults__", dict(Backoff.__init__.__kwdefaults__ or {}))
    for name, value in (("_LOOK_S", 0.1), ("_ASK_RARELY_US", 300_000), ("_ASK_AGAIN_US", 300_000)):
        monkeypatch.setattr(outage, name, value)


def standing(run: Run, status: Status) -> int:
    """Return how many streams stand so."""
    states = [heard.status.get(channel) for heard in run.heard.by_symbol.values() for channel in (Channel.TRADES, Channel.BOOK)]
    return states.count(status)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 - sockets have no event to wait for
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("dialect", ["kucoin", "binance"])
async def test_every_stream_is_closed_and_opened_once_with_a_gap(dialect: str) -> None:
    async with running(dialect, seed=2) as run:
        heard = run.heard.by_symbol["BTC/USDT"]
        run.exchange.suffer(Fault("maintenance", None, 3.0))
        await until(lambda: standing(run, Status.MAINTENANCE) == STREAMS)
        assert run.connector.health().details["closed"] == "said"
        came = sum(row.kind == Kind.TRADE for row in heard.rows)
        await until(lambda: sum(row.kind == Kind.TRADE for row in heard.rows) > came)  # its streams go on
        assert standing(run, Status.MAINTENANCE) == STREAMS
        await until(lambda: standing(run, Status.LIVE) == STREAMS)
        assert run.connector.health().details["closed"] == ""
        notes = [note for note in run.connector.health().notes if "maintenance" in note]
        assert notes == [
            "maintenance: the exchange says that it is in maintenance; nothing is judged until it is back",
            "maintenance is over: data flows again",
        ]
        for each in run.heard.by_symbol.values():
            told = [(row.side, row.key) for row in each.rows if row.kind == Kind.STATUS and row.key == Status.MAINTENANCE]
            assert sorted(told) == [(Channel.TRADES, Status.MAINTENANCE), (Channel.BOOK, Status.MAINTENANCE)]
            assert {row.side for row in each.rows if row.kind == Kind.GAP} >= {Channel.TRADES, Channel.BOOK}
        assert run.heard.faults() == []
