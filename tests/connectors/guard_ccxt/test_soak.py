"""A short soak: whatever happens to a connector, nothing piles up."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest
from soak import Soak

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ccxt_support import FrameServer

_ROUNDS = 4


@pytest.fixture(autouse=True)
def _traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("_hasty_lives")
async def test_lost_and_renewed_connections_and_markets_that_come_and_go_leave_nothing_behind(server: FrameServer) -> None:
    soak = Soak(server, 60)
    left = await soak.run(_ROUNDS)
    assert (soak.rows.doubled, soak.rows.missing, soak.rows.last_key) == (0, 0, soak.sent)
    assert {one.tasks for one in left[1:]} == {left[1].tasks}
    assert left[-1].objects == left[1].objects
    assert left[-1].size < left[1].size * 1.02
    assert soak.connector.health().details["recycled"] == _ROUNDS
