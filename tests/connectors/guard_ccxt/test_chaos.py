"""A few seeds of `chaos`; many are for `make chaos`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from chaos import Chaos

if TYPE_CHECKING:
    from ccxt_support import FrameServer


@pytest.mark.parametrize("seed", [11, 20, 46])
async def test_whatever_happens_no_trade_comes_twice_and_none_is_missing_without_a_gap(
    server: FrameServer, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    for name, value in {
        "guard_ccxt.handover._OVERLAP_S": 0.1,
        "guard_ccxt.handover._TICK_S": 0.02,
        "guard_ccxt.handover._DEAF_S": 1.5,
        "guard_ccxt.recycle._LATE_S": 0.05,
        "guard_ccxt.recycle._TICK_MAX_S": 0.05,
        "guard_ccxt.judge._SETTLE_US": 50_000,
        "guard_ccxt.judge._TICK_MAX_S": 0.05,
    }.items():
        monkeypatch.setattr(name, value)
    await Chaos(server, seed).run(60)
