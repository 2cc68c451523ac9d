"""Seeded chaos on one connector: everything that may happen to a connection, in any order. What is delivered is held to account.

Many seeds: PYTHONPATH=tests/connectors/guard_ccxt:connectors:. python -m chaos FIRST LAST
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ccxt_support import Books, FrameServer, MovedClock, Rows, context, until
from small_binance import SmallBinance

from guard.model import Channel, Kind, Market, Status
from guard_ccxt import CcxtConnector
from guard_sim.chance import chance

if TYPE_CHECKING:
    from ccxt_support import Row

AAA, BBB = Market("small", "AAA/USDT"), Market("small", "BBB/USDT")
_STREAMS = ("aaausdt@trade", "aaausdt@depth@100ms", "bbbusdt@trade", "bbbusdt@depth@100ms")


class Chaos:
    """A connector on a small server to which things happen. AAA is always wanted, as row 0; BBB comes and goes, with a new row."""

    def __init__(self, server: FrameServer, seed: int) -> None:
        self.chance = chance(seed)
        self.server = server
        clock = MovedClock()
        self.exchange = SmallBinance(server, clock)
        self.sent = 1000  # ids of four digits: ccxt orders those of one millisecond as text
        self.rows = Rows()
        self.reports: list[str] = []
        self.row = 0
        options = self.exchange.options(
            recycle_after_s=3600.0,
            dials_per_minute=1000,
            first_event_s=1.0,
            stall_after_s=1.0,
            streams_max=self.chance.choice((2, 9)),
        )
        self.connector = CcxtConnector(context("small", options, clock, reports=self.reports, chance=0.05))
        self.events = [self.talk] * 8 + [self.kill, self.kill_all, self.recycle, self.recycle, self.follow, self.unfollow]
        self.events += [self.farewell, self.refuse, self.limit, self.skip, self.garble, self.pause]

    async def run(self, events: int) -> None:
        """Let so many things happen, then calm down; raises AssertionError for what is not right."""
        await self.connector.open()
        streaming = asyncio.create_task(self.connector.stream({AAA: 0}, self.rows))
        await self.exchange.until_subscribed(*_STREAMS[:2])
        try:
            for _ in range(events):
                await self.chance.choice(self.events)()
                await asyncio.sleep(self.chance.random() * 0.05)
            await self.calm()
            assert not streaming.done()
        finally:
            streaming.cancel()
            await asyncio.gather(streaming, return_exceptions=True)
            await self.connector.close()
        accounted(self.rows.rows)

    async def calm(self) -> None:
        self.server.refuse_next = 0
        self.exchange.depth_answers.clear()
        self.connector.follow({AAA: 0})
        wanted = {"live": 2}
        await until(
            lambda: self.connector.health().details["subscriptions"] == wanted and self.fleet.handover is None,
            seconds=30,
            shown=lambda: f"{self.connector.health().details} {self.reports} {self.rows.statuses()[-6:]}",
        )
        await self.talk()
        await self.rows.until(lambda rows: any(row.key == self.sent for row in rows.of(Kind.TRADE, 0)))
        await until(lambda: self.connector.health().details["subscriptions"] == wanted)

    @property
    def fleet(self) -> Any:
        session = self.connector._session
        assert session is not None
        return session.fleet

    async def talk(self) -> None:
        for _ in range(self.chance.randint(1, 30)):
            self.sent += 1
            for market_id in ("AAAUSDT", "BBBUSDT"):
                await self.exchange.send_trade(self.sent, 1.0, market_id=market_id)
            await self.exchange.send_diff([["0.97", str(self.sent % 9)]], [])

    async def kill(self) -> None:
        sockets = [socket for socket in self.server.sockets if not socket.closed and socket._req.transport]
        if sockets:
            self.chance.choice(sockets)._req.transport.abort()  # type: ignore[union-attr]

    async def kill_all(self) -> None:
        for socket in self.server.sockets:
            if not socket.closed and socket._req.transport:
                socket._req.transport.abort()

    async def recycle(self) -> None:
        for shard in self.fleet.shards:
            shard.due_us = 0

    async def follow(self) -> None:
        self.row += 1
        self.connector.follow({AAA: 0, BBB: self.row})

    async def unfollow(self) -> None:
        self.connector.follow({AAA: 0})

    async def farewell(self) -> None:
        for socket in self.exchange.listeners(_STREAMS[0]):
            with suppress(ConnectionError):
                await socket.send_str('{"e": "serverShutdown", "E": 1}')

    async def refuse(self) -> None:
        self.server.refuse_next = self.chance.randint(1, 3)

    async def limit(self) -> None:
        self.exchange.depth_answers = [(429, {"Retry-After": "0.3"}, '{"code": -1003, "msg": "slow down"}')]

    async def skip(self) -> None:
        await self.exchange.send_diff([["0.96", "1"]], [], skip=3)

    async def garble(self) -> None:
        for socket in self.exchange.listeners(_STREAMS[0]):
            with suppress(ConnectionError):
                await socket.send_str('{"e": "trade", "s": ')

    async def pause(self) -> None:
        for socket in self.exchange.listeners(_STREAMS[0])[:1]:
            socket._req.transport.pause_reading()  # type: ignore[union-attr]


def accounted(rows: list[Row]) -> None:
    """Raise AssertionError where a trade came twice, is missing without a GAP, or a book was ever crossed."""
    last: dict[int, int] = {}
    seen: set[tuple[int, int]] = set()
    # What was fetched comes by time and, within a millisecond, by id as text: 100 before 99.
    ever = {(row.market, row.key) for row in rows if row.kind == Kind.TRADE}
    is_marked: dict[int, bool] = {}
    for at, row in enumerate(rows):
        if row.kind == Kind.GAP and row.side == Channel.TRADES:
            is_marked[row.market] = True
        elif row.kind == Kind.STATUS and row.key == Status.LOST and row.side == Channel.TRADES:
            assert at == 0 or rows[at - 1] != row
        elif row.kind == Kind.TRADE:
            assert (row.market, row.key) not in seen, f"trade {row.key} of {row.market} came twice"
            seen.add((row.market, row.key))
            before = last.get(row.market, row.key - 1)
            missing = [key for key in range(before + 1, row.key) if (row.market, key) not in ever]
            assert not missing or is_marked.get(row.market) or row.flags, f"trades {missing} of {row.market} are missing, unmarked"
            if row.key > before:
                last[row.market] = row.key
                is_marked[row.market] = False
    assert not Books(rows).crossed


async def main(first: int, last: int) -> None:
    for seed in range(first, last + 1):
        failures: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, given, failures=failures: failures.append(given))
        server = FrameServer()
        await server.start()
        chaos = Chaos(server, seed)
        try:
            await chaos.run(60)
            verdict = f"unobserved {failures[:2]}" if failures else "ok"
        except AssertionError as error:
            verdict = f"FAILED {error} {chaos.reports}"
        health = chaos.connector.health()
        told = {"recycled": health.details["recycled"], "repaired": health.details["repaired"]} if health.details else {}
        told |= {"reconnects": health.reconnects, "gaps": health.gaps, "trades": len(chaos.rows.of(Kind.TRADE)), "sent": chaos.sent}
        print(seed, verdict, told, flush=True)  # noqa: T201
        await server.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
