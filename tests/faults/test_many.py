"""Ten markets on each dialect through a start, a reconnect, a resync; ``make pairs`` does it with eighty."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp.test_utils import TestServer
from faults.feed_many import SHARE, Watched

from guard.model import Channel, Market
from guard.model.ports import ConnectorContext
from guard.runtime.clock import SystemClock, seeded_random
from guard_ccxt import CcxtConnector
from guard_sim.coins import chosen
from guard_sim.dialects import DIALECTS, ccxt_options
from guard_sim.server.clock import now_us
from guard_sim.server.exchange import Exchange
from guard_sim.server.faults import Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PAIRS = 10
LIVE_MAX_S = 20.0


@asynccontextmanager
async def streaming(dialect: str, folder: Path) -> AsyncIterator[tuple[Exchange, Watched]]:
    """Ten markets of an exchange in the test's own loop, and what is heard of them."""
    exchange = Exchange(coins=chosen(None, PAIRS), seed=5, schedule="calm", now_us=now_us, dialect=dialect)
    server = TestServer(exchange.app())
    await server.start_server()
    living = asyncio.create_task(exchange.run())
    address = f"127.0.0.1:{server.port}"
    urls = {"rest": f"http://{address}", "ws": f"ws://{address}{exchange.websocket}"}
    options = {**ccxt_options(dialect, urls), "repair_delay_s": 0.1}
    connector = CcxtConnector(
        ConnectorContext(
            dialect, options, frozenset({"trades", "book"}), SystemClock(), seeded_random(1), str(folder / dialect), lambda _: None
        )
    )
    watched = Watched(dialect)
    stream: asyncio.Task[None] | None = None
    try:
        rows = {facts.market: row for row, facts in enumerate(await connector.open())}
        watched.symbols = {row: market.symbol for market, row in rows.items()}
        watched.mark()
        stream = asyncio.create_task(connector.stream({Market(dialect, m.symbol): row for m, row in rows.items()}, watched))
        yield exchange, watched
    finally:
        if stream is not None:
            stream.cancel()
            await asyncio.gather(stream, return_exceptions=True)
        await connector.close()
        living.cancel()
        exchange.hub.drop(None)
        await server.close()


async def live_again(watched: Watched, phase: str) -> None:
    async with asyncio.timeout(LIVE_MAX_S):
        while watched.missing(phase, 0):  # noqa: ASYNC110 - sockets have no event to wait for
            await asyncio.sleep(0.05)


async def led_through(dialect: str, folder: Path) -> tuple[int, Watched, float]:
    async with streaming(dialect, folder) as (exchange, watched):
        await live_again(watched, "start")
        said = max(reader.said for reader in exchange.hub.readers)
        watched.mark()
        exchange.suffer(Fault("drop", None, 0.1))
        await live_again(watched, "reconnect")
        watched.mark()
        for symbol in watched.symbols.values():
            exchange.suffer(Fault("skip_sequence", symbol.replace("/", ""), 1.0))
        await live_again(watched, "resync")
        rest = exchange.meter.document()
        return said, watched, float(str(rest["peak"])) / float(str(rest["limit"]))


async def test_ten_markets_on_each_dialect_are_live_again_within_the_rest_share(tmp_path: Path) -> None:
    for said, watched, share in await asyncio.gather(*(led_through(dialect, tmp_path) for dialect in DIALECTS)):
        assert len(watched.symbols) == PAIRS
        assert watched.twice == 0
        assert share <= SHARE
        assert watched.gaps[Channel.BOOK] == PAIRS
        if watched.name == "kucoin":  # one request for each of twenty streams it would be, were they not sent together
            assert 2 <= said < PAIRS
