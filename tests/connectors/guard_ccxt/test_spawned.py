"""Background work of ccxt that fails is told, and is no error that nobody observes."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import ccxt
import ccxt.pro

from guard_ccxt.connections.spawned import watch_spawned


async def test_a_failure_that_nobody_awaits_is_told_once_and_observed() -> None:
    unobserved: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: unobserved.append(about))
    exchange, notes = ccxt.pro.binance(), []
    watch_spawned(exchange, notes.append)
    exchange.open()

    async def snapshot(error: Exception | None) -> int:
        if error is not None:
            raise error
        return 7

    exchange.spawn(snapshot, KeyError("orderbook::ETH/USDT"))
    exchange.spawn(snapshot, ccxt.NetworkError("gone"))
    assert await exchange.spawn(snapshot, None) == 7
    await asyncio.sleep(0.01)
    gc.collect()
    assert notes == ["binance: background work of ccxt failed: KeyError: 'orderbook::ETH/USDT'"]
    assert unobserved == []
    await exchange.close()
