from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the tests import their support beside them

from ccxt_support import FrameServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def server() -> AsyncIterator[FrameServer]:
    frames = FrameServer()
    await frames.start()
    yield frames
    await frames.stop()
