"""An exchange in the test's own loop, and an unmodified ccxt.pro that is pointed at it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the tests import their support beside them

from sim_support import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sim_support import Running


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with serving("calm") as running:
        yield running


@pytest.fixture
async def pointed(running: Running) -> AsyncIterator[Callable[[], Any]]:
    """Return a maker of ccxt.pro clients, unmodified but for their addresses; they are closed at the end."""
    ccxtpro = pytest.importorskip("ccxt.pro")
    made: list[Any] = []

    def make() -> Any:
        client = ccxtpro.binance({"apiKey": "none", "secret": "none", "enableRateLimit": False})
        client.urls["api"]["public"] = client.urls["api"]["private"] = f"{running.rest}/api/v3"
        client.urls["api"]["ws"]["spot"] = running.websocket
        client.options["fetchMarkets"] = {"types": ["spot"]}
        client.options["fetchCurrencies"] = client.options["fetchMargins"] = False
        made.append(client)
        return client

    yield make
    for client in made:
        await client.close()
