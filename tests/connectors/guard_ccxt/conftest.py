from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

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


@pytest.fixture
async def server() -> AsyncIterator[FrameServer]:
    frames = FrameServer()
    await frames.start()
    yield frames
    await frames.stop()
