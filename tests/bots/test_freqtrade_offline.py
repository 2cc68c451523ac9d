"""In backtesting and hyperopt guard's mixin does nothing: real Freqtrade, candles of the embedded exchange."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from freqtrade_processes import HERE, NURSERY, plain_environment
from freqtrade_support import Bot

if TYPE_CHECKING:
    from pathlib import Path

    from freqtrade_support import Exchange

PAIRS = ["ETH/USDT", "SOL/USDT"]


def freqtrade(folder: Path, *words: str) -> str:
    log = folder / f"{words[0]}.log"
    log.unlink(missing_ok=True)
    env = plain_environment(GUARD_STATE=str(folder / "nowhere"), COLUMNS="200")
    process = NURSERY.fork([*words, "-c", str(folder / "config.json"), "--userdir", str(folder)], log, cwd=folder, env=env)
    code = process.wait(240)
    text = log.read_text()
    assert code == 0, text[-3000:]
    return text


@pytest.fixture(scope="module")
def folder(exchange: Exchange, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("offline")
    bot = Bot(folder, exchange, "OfflineGuarded", PAIRS)
    bot.config["exchange"]["ccxt_config"]["enableRateLimit"] = True
    (folder / "config.json").write_text(json.dumps(bot.config))
    freqtrade(folder, "download-data", "--timeframes", "1m", "--days", "1", "--pairs", *PAIRS)
    return folder


def trades(folder: Path, strategy: str) -> int:
    text = freqtrade(
        folder, "backtesting", "-s", strategy, "--strategy-path", str(HERE / "strategies"), "--export", "trades", "--cache", "none"
    )
    assert "guard refuses" not in text
    newest = max((folder / "backtest_results").glob("*.zip"), key=lambda path: path.stat().st_mtime)
    with zipfile.ZipFile(newest) as archive:
        name = next(each for each in archive.namelist() if each.endswith(".json") and "config" not in each and strategy not in each)
        found: dict[str, Any] = json.loads(archive.read(name))
    return len(found["strategy"][strategy]["trades"])


def test_backtesting_trades_as_without_guard(folder: Path) -> None:
    with_guard, without = trades(folder, "OfflineGuarded"), trades(folder, "Offline")
    assert with_guard == without > 0


def test_hyperopt_runs_with_the_mixin(folder: Path) -> None:
    text = freqtrade(
        folder, "hyperopt", "-s", "OfflineGuarded", "--strategy-path", str(HERE / "strategies"), "--spaces", "roi",
        "-e", "3", "-j", "1",
        "--hyperopt-loss", "OnlyProfitHyperOptLoss", "--disable-param-export",
    )  # fmt: skip
    assert "guard refuses" not in text
    assert "Best result" in text or "Epoch" in text
