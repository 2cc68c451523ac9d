"""The example of the documentation, run as it is but for the port."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from freqtrade_processes import ROOT, wait_for
from freqtrade_support import Bot, GuardRun

if TYPE_CHECKING:
    from pathlib import Path

    from freqtrade_support import Exchange

EXAMPLE = ROOT / "docs" / "examples" / "freqtrade"


def test_the_example_enters_free_markets_and_no_quarantined_one(exchange: Exchange, tmp_path: Path) -> None:
    address = exchange.rest.partition("//")[2]
    guard = GuardRun(tmp_path, exchange)
    (tmp_path / "guard.yaml").write_text((EXAMPLE / "guard.yaml").read_text().replace("127.0.0.1:8785", address))
    with guard:
        guard.hold(["MOON/USDT"])
        bot = Bot(tmp_path, exchange, "GuardedEntry", [])
        bot.config = json.loads((EXAMPLE / "config.json").read_text().replace("127.0.0.1:8785", address))
        bot.strategies = EXAMPLE
        bot.launch()
        try:
            wait_for("free markets are entered", lambda: {"BTC/USDT", "ETH/USDT"} <= bot.bought())
            wait_for("the refusal is told", lambda: "guard refuses to open MOON/USDT: operator: a test" in bot.log)
            assert "MOON/USDT" not in bot.bought()
            assert "guard: bot example on binance" in bot.log
            assert "ERROR" not in bot.log
        finally:
            bot.end()
