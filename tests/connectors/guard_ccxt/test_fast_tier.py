"""What both tiers keep when frames, decoders, books and connections break; over real sockets where it says so."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from ccxt_support import Books, until
from test_fast_binance import SNAPSHOT, SPOT, SPOT_MARKETS, plain_trade, run
from test_faults import BOOK, TRADES, running
from tiers import Side, both

from guard.errors import ConfigurationError
from guard.model import Flag, Kind
from guard_ccxt.options import read_options

if TYPE_CHECKING:
    from ccxt_support import FrameServer

    from guard_ccxt.connections.pump import Connection

TIERS = pytest.mark.parametrize("tier", ["auto", "generic"])


@TIERS
async def test_too_many_bad_frames_and_an_abrupt_end_each_make_a_new_connection(server: FrameServer, tier: str) -> None:
    async with running(server, "trades", bad_frames_max=3, tier=tier) as run:
        await run.exchange.until_subscribed(TRADES)
        await run.exchange.send_trade(1)
        for _ in range(3):
            await run.exchange.sockets[TRADES].send_str("{broken")
        await run.exchange.until_subscribed(TRADES, times=2)
        request = run.exchange.sockets[TRADES]._req
        assert request is not None
        assert request.transport is not None
        request.transport.abort()
        await run.exchange.until_subscribed(TRADES, times=3)
        await run.exchange.send_trade(2)
        await run.rows.until(lambda rows: {row.key for row in rows.of(Kind.TRADE)} >= {1, 2})
        health = run.connector.health()
        assert health.details is not None
        assert (health.bad_frames, health.details["tier"]) == (3, "fast" if tier == "auto" else "generic")


@TIERS
async def test_a_book_is_whole_after_a_hole_in_its_sequence(server: FrameServer, tier: str) -> None:
    async with running(server, "book", tier=tier) as run:
        await run.exchange.until_subscribed(BOOK)
        await run.rows.until(lambda rows: bool(rows.of(Kind.LEVEL)))
        for amount in range(1, 30):
            await run.exchange.send_diff([["0.99", str(amount)]], [["1.03", str(amount)]])
        await run.exchange.send_diff([["0.97", "5"]], [], skip=3)
        await run.exchange.until_subscribed(BOOK, times=2)
        snapshots = 2
        await run.rows.until(lambda rows: sum(row.flags == Flag.SNAPSHOT | Flag.LAST for row in rows.rows) >= snapshots)
        await run.exchange.send_diff([["0.96", "7"]], [["1.01", "0"]])
        await run.rows.until(lambda rows: rows.rows[-1].price == 1.01)
        books = Books(run.rows.rows)
        assert books.sides[0, 1] == {0.99: 10.0, 0.98: 20.0, 0.96: 7.0}
        assert books.sides[0, -1] == {1.02: 21.0}
        assert len(run.rows.of(Kind.GAP)) == 1


@TIERS
async def test_frames_that_arrive_together_leave_others_their_turn(server: FrameServer, tier: str) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with running(server, "trades", tier=tier) as run:
        await run.exchange.until_subscribed(TRADES)
        await run.exchange.send_trade(1)
        await run.rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 1)
        frames = [json.dumps({"stream": TRADES, "data": run.exchange.trade(identity)}) for identity in range(2, 3002)]
        connection = next(iter(run.connector._session.connections()))  # type: ignore[union-attr]
        connection.client.buffer.extend((_message(frame), len(frame)) for frame in frames)
        task = asyncio.create_task(other())
        await run.exchange.send_trade(3002)
        await until(lambda: len(run.rows.of(Kind.TRADE)) == 3002)
        task.cancel()
    stamps = [row.received_us for row in run.rows.of(Kind.TRADE)]
    assert stamps == sorted(stamps)
    assert turns >= 3000 // 256


def _message(frame: str) -> Any:
    from aiohttp import WSMessage, WSMsgType

    return WSMessage(WSMsgType.TEXT, frame, "")


class Raising:
    """A decoder with a mistake in it."""

    def take(self, connection: Connection, text: str) -> bool:
        assert connection.received_us > 0
        raise ZeroDivisionError(text[:5])


def test_a_decoder_that_raises_costs_no_trade() -> None:
    def raising() -> None:
        side = Side("binance", SPOT, SPOT_MARKETS, tier="auto")
        side.connection.decoder = Raising()
        for identity in range(1, 5):
            side.take(json.dumps(plain_trade(identity)))
        assert [row.key for row in side.rows.of(Kind.TRADE)] == [1, 2, 3, 4]
        assert (side.counters.bad_frames, side.counters.fallbacks, side.connection.bad_in_a_row) == (4, 4, 0)

    run(raising)


def test_people_are_told_once_when_frames_are_no_longer_known() -> None:
    def changing() -> None:
        _, side = both("binance", SPOT, SPOT_MARKETS)
        for identity in range(1, 2000):
            side.take(json.dumps(plain_trade(identity, **({"quantity": "5"} if identity % 6 == 0 else {}))))
        assert not side.counters.notes
        for identity in range(2000, 3000):
            side.take(json.dumps(plain_trade(identity, **({"quantity": "5"} if identity % 3 == 0 else {}))))
        (note,) = side.counters.notes
        assert "the wire changed" in note
        assert len(side.rows.of(Kind.TRADE)) == 2999

    run(changing)


def test_books_that_wait_for_their_snapshot_are_no_change_of_the_wire() -> None:
    def waiting() -> None:
        _, side = both("binance", SPOT, SPOT_MARKETS)
        for first in range(1, 1000):
            data = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": first, "u": first, "b": [], "a": []}
            side.take(json.dumps(data))
        assert side.counters.fallbacks == 999
        assert not side.counters.notes

    run(waiting)


def test_without_msgspec_everything_is_read_by_ccxt_and_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def bare() -> None:
        monkeypatch.setitem(sys.modules, "guard_ccxt.fast.binance", None)
        side = Side("binance", SPOT, SPOT_MARKETS, tier="auto")
        assert side.tap.tier == "generic"
        (note,) = side.counters.notes
        assert "msgspec" in note
        side.take(json.dumps(plain_trade(1)))
        assert len(side.rows.of(Kind.TRADE)) == 1

    run(bare)


def test_a_new_subscription_sees_the_book_as_ccxt_has_it() -> None:
    def again() -> None:
        generic, fast = both("binance", SPOT, SPOT_MARKETS)
        for side in (generic, fast):
            side.synchronise("BTC/USDT", 10, *SNAPSHOT)
            subscription = side.tap.subscriptions[next(key for key in side.tap.subscriptions if key[0].name == "BOOK")]
            for number in range(11, 20):
                level = [["1.5", str(number)]]
                frame = {"e": "depthUpdate", "E": 1_700_000_000_000, "s": "BTCUSDT", "U": number, "u": number, "b": level, "a": []}
                if number == 15:
                    subscription.begin()
                side.take(json.dumps(frame))
        assert fast.written() == generic.written()
        assert fast.book("BTC/USDT") == generic.book("BTC/USDT")
        assert fast.counters.fallbacks == 1

    run(again)


def test_another_tier_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="auto or generic"):
        read_options("binance", {"tier": "fastest"})
