"""``guard doctor`` against exchanges and a bot on loopback."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from runtime.small_freqtrade import PASSWORD, USER, SmallFreqtrade

from guard.cli.doctor_exchanges import market_lines, rate_lines
from guard.cli.main import main
from guard.runtime.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

CONNECTOR_TESTS = Path(__file__).parents[1] / "connectors" / "guard_ccxt"


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    monkeypatch.syspath_prepend(str(CONNECTOR_TESTS))
    import ccxt_support
    import small_binance

    return ccxt_support, small_binance


@contextmanager
def on_loopback(parts: tuple[ModuleType, ModuleType], *pairs: str) -> Iterator[tuple[Any, str]]:
    """Run an exchange and a bot in a thread; yields the exchange's server and the bot's address."""
    support, small = parts
    loop, ready, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    made: dict[str, Any] = {}

    async def serve() -> None:
        server = support.FrameServer()
        await server.start()
        small.SmallBinance(server, SystemClock())
        server.rest["/api/v3/time"] = lambda _: (
            200,
            {"X-MBX-USED-WEIGHT-1M": "41"},
            json.dumps({"serverTime": SystemClock().now_us() // 1000}),
        )
        async with SmallFreqtrade(*pairs) as bot:
            made.update(server=server, url=bot.url)
            ready.set()
            await stop.wait()
        await server.stop()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield made["server"], made["url"]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def write(folder: Path, port: int, url: str, **more: str) -> None:
    base = f"127.0.0.1:{port}"
    lines = "".join(f"    {key}: {value}\n" for key, value in more.items())
    (folder / "guard.yaml").write_text(
        "version: 1\nrules: [guard:pump_dump]\nexchanges:\n  tiny:\n    id: binance\n"
        f'    urls: {{api.public: "http://{base}/api/v3", api.ws.spot: "ws://{base}/stream"}}\n'
        "    options: {types: [spot], has: {fetchTickers: false}}\n"
        f'    from_bot: {{freqtrade: {{url: "{url}", user: {USER}, password: "${{env:FT}}"}}}}\n{lines}'
    )


def doctor(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    with pytest.raises(SystemExit) as ended:
        main(["--json", "doctor", *words])
    findings = json.loads(capsys.readouterr().out)["findings"]
    return int(str(ended.value.code)), {each["what"]: each for each in findings}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FT", PASSWORD)
    monkeypatch.delenv("GUARD_STATE", raising=False)
    return tmp_path


def test_it_tells_of_network_markets_rates_and_what_a_bot_trades_unwatched(
    home: Path, parts: tuple[ModuleType, ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    with on_loopback(parts, "AAA/USDT", "BBB/USDT", "GONE/USDT") as (server, url):
        write(home, server.port, url, exclude='["BBB/*"]')
        code, found = doctor(capsys)
    assert code == 1
    names = ("DNS", "REST", "clock", "limits", "websocket", "markets", "bot")
    assert {name: found[f"tiny {name}"]["is_well"] for name in names} == dict.fromkeys(names, True)
    assert found["tiny markets"]["found"] == "1 of 2 are watched; left out: 1 (excluded)"
    assert "x-mbx-used-weight-1m 41" in found["tiny limits"]["found"]
    unwatched = found["tiny traded markets"]
    assert not unwatched["is_well"]
    assert "BBB/USDT (excluded)" in unwatched["found"]
    assert "GONE/USDT (the exchange does not offer it)" in unwatched["found"]
    assert not (home / ".guard" / "caches" / "bot-tiny.json").exists()
    assert PASSWORD not in str(found)


def test_an_exchange_that_is_not_there_is_told_with_what_to_do_and_nothing_else_is_asked(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(home, 9, "http://127.0.0.1:9")
    code, found = doctor(capsys)
    assert (code, found["tiny REST"]["is_well"]) == (1, False)
    assert "firewall" in found["tiny REST"]["mend"]
    assert "tiny websocket" not in found
    assert "tiny markets" not in found


def test_offline_asks_nobody(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(home, 9, "http://127.0.0.1:9")
    _, found = doctor(capsys, "--offline")
    assert not any(name.startswith("tiny") for name in found)


def test_the_embedded_exchange_is_not_started(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    (home / "guard.yaml").write_text("version: 1\nrules: [guard:pump_dump]\nexchanges: {sim: {connector: sim}}\n")
    before = set(sys.modules)
    _, found = doctor(capsys)
    assert not any(name.startswith("sim") for name in found)
    assert not any(name.startswith("guard_sim.server") for name in set(sys.modules) - before)


def test_no_market_is_a_finding_and_a_silent_bot_too() -> None:
    record = {"offered": 9, "watched": 0, "left_out": {"excluded": 9}, "traded": 0, "unwatched": {}, "bot_problem": "it is gone"}
    markets, bot, traded = market_lines("x", record, has_bot=True)
    assert (markets.is_well, bot.is_well, bot.found, traded.is_well) == (False, False, "it is gone", True)


def test_rates_of_a_running_guard_are_told_and_a_pause_is_a_finding() -> None:
    rest = {"used": 5, "share": 1200, "limit": 6000, "paused_s": 0.0}
    (line,) = rate_lines({"exchange": "x", "rest": rest})
    assert (line.is_well, line.found) == (True, "5 of 1,200 that guard may use a minute, the exchange allows 6,000")
    (line,) = rate_lines({"exchange": "x", "rest": {**rest, "paused_s": 31.0}})
    assert not line.is_well
    assert list(rate_lines({"exchange": "x", "rest": None})) == []
