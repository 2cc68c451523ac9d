from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the tests import their support beside them

from ccxt_support import FrameServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(autouse=True)
def _no_waiting_at_close(monkeypatch: pytest.MonkeyPatch) -> None:
    # ccxt lets TLS say goodbye for a quarter of a second; there is none here.
    from ccxt.async_support.base.exchange import BaseExchange

    monkeypatch.setattr(BaseExchange, "timeout_on_exit", 0)


@pytest.fixture(autouse=True)
async def _no_unobserved_error() -> AsyncIterator[None]:
    """Fail a test in which a task or a future ended with an error that nobody looked at."""
    told: list[dict[str, Any]] = []
    gc.freeze()  # what is there already need not be looked through after the test
    asyncio.get_running_loop().set_exception_handler(lambda _, given: told.append(given))
    yield
    gc.collect()  # asyncio tells when it is thrown away
    await asyncio.sleep(0)
    assert told == []


@pytest.fixture
async def server() -> AsyncIterator[FrameServer]:
    frames = FrameServer()
    await frames.start()
    yield frames
    await frames.stop()


@pytest.fixture
def _hasty_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let connections be judged and renewed in tenths of a second."""
    for name, value in {
        "guard_ccxt.connections.handover._OVERLAP_S": 0.1,
        "guard_ccxt.connections.handover._TICK_S": 0.02,
        "guard_ccxt.connections.recycle._LATE_S": 0.05,
        "guard_ccxt.connections.recycle._TICK_MAX_S": 0.05,
        "guard_ccxt.connections.judge._SETTLE_US": 50_000,
        "guard_ccxt.connections.judge._TICK_MAX_S": 0.05,
    }.items():
        monkeypatch.setattr(name, value)
