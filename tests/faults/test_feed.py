"""A few faults of each dialect, one seed each; ``make faults`` leads through all of them, many times."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from faults import feed_run
from faults.feed_run import PLANS, running, through
from faults.feed_truth import FRESH_US, Row

from guard.model import BUY, Channel, Kind
from guard_ccxt.connections.backoff import Backoff
from guard_ccxt.rest import quiet
from guard_sim.server.faults import Fault

if TYPE_CHECKING:
    from faults.feed_run import Outcome


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    from ccxt.async_support.base.exchange import BaseExchange

    monkeypatch.setattr(BaseExchange, "timeout_on_exit", 0)
    monkeypatch.setattr(feed_run, "LEARN_S", 0.5)
    monkeypatch.setattr(feed_run, "STEADY_S", 0.8)
    for name in feed_run.QUIET:
        monkeypatch.setattr(quiet, name, getattr(quiet, name))
    monkeypatch.setattr(Backoff.__init__, "__kwdefaults__", dict(Backoff.__init__.__kwdefaults__ or {}))


NAMES = {
    "kucoin": ["skip_sequence", "drop", "skip_trades"],
    "gate": ["skip_sequence", "close_1008"],
    "binance": ["null_fields", "late"],
}


async def test_after_a_fault_everything_is_live_and_nothing_is_lost_in_silence() -> None:
    outcomes: list[Outcome] = []
    led = [through(dialect, names, seed=1, on_outcome=outcomes.append) for dialect, names in NAMES.items()]
    assert await asyncio.gather(*led) == [[], [], []]
    assert [outcome for outcome in outcomes if outcome.wrong] == []
    assert len(outcomes) == 7


async def test_the_judge_finds_what_is_lost_doubled_or_made_up() -> None:
    async with running("binance", seed=3) as run:
        heard = run.heard.by_symbol["BTC/USDT"]
        trades: list[Row] = []
        for _ in range(100):
            trades = [row for row in heard.rows if row.kind == Kind.TRADE and not row.flags]
            gone = next((row for row in trades if row.at_us > (heard.live_since_us(Channel.TRADES) or 0) + FRESH_US), None)
            if gone is not None and gone.at_us < run.exchange.now_us() - 2 * FRESH_US:
                break
            await asyncio.sleep(0.1)
        assert run.heard.faults() == []
        assert gone is not None
        heard.rows.append(trades[-1])
        heard.rows.append(Row(Kind.TRADE, trades[0].at_us, trades[0].received_us, 1.0, 1.0, BUY, 5, 0))
        heard.rows.remove(gone)
        told = " ".join(run.heard.faults())
    assert "scored twice" in told
    assert "never was" in told
    assert f"missing outside any gap, from {gone.key}" in told


async def test_a_book_that_comes_on_the_socket_begins_again_while_rest_pauses() -> None:
    async with running("gate", seed=1) as run:
        run.connector._session._rest._refused(418, None)
        run.exchange.suffer(Fault("drop", None, 0.1))
        await asyncio.sleep(0.2)
        assert run.heard.not_live() != []
        assert await run.settle() < 20 * feed_run.PACE
        assert run.connector.health().details["rest"]["paused_s"] > 60
        assert "order_book" not in run.exchange.meter.requests


def test_every_fault_has_a_plan() -> None:
    from guard_sim.server.faults import KINDS

    kinds = {"close" if name.startswith("close_") else name for name in PLANS}
    assert set(KINDS) - kinds == {"maintenance"}
