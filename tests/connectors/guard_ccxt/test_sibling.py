"""An instance that holds nothing but streams still has all that ccxt's own streams reach for."""

from __future__ import annotations

import asyncio

import pytest

from guard_ccxt.connections.instance import made, sibling
from guard_ccxt.connections.limits import limits_of
from guard_ccxt.options import read_options


@pytest.mark.parametrize("name", ["binance", "kucoin", "gate", "okx", "bybit"])
async def test_a_sibling_has_the_loop_that_the_first_instance_got_with_its_first_request(name: str) -> None:
    options = read_options(name, {})
    first = made(name, options)
    try:
        first.open()
        fresh = sibling(first, name, options, limits_of(options))
        # KuCoin's streams start tasks on it before any request of their own.
        assert fresh.asyncio_loop is asyncio.get_running_loop()
    finally:
        await first.close()
