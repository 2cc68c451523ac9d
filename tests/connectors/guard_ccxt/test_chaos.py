"""A few seeds of `chaos`; many are for `make chaos`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from chaos import Chaos

if TYPE_CHECKING:
    from ccxt_support import FrameServer


@pytest.mark.usefixtures("_hasty_lives")
@pytest.mark.parametrize("seed", [11, 20, 46])
async def test_whatever_happens_no_trade_comes_twice_and_none_is_missing_without_a_gap(
    server: FrameServer, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("guard_ccxt.connections.handover._DEAF_S", 1.5)
    await Chaos(server, seed).run(60)
