"""What bots ask about reaches guard over a real socket, and costs no order anything."""

from __future__ import annotations

import asyncio
import socket
import stat
from pathlib import Path

from alerts.support import MovedClock

from guard.client import Guard
from guard.client.reports import SOCKET_NAME, Reports
from guard.model import Market, MarketFacts
from guard.runtime.asked import AskedMarkets
from guard.runtime.bots import Bots

HOUR_S = 3600


async def heard(asked: AskedMarkets, exchange: str, symbols: set[str]) -> None:
    for _ in range(100):
        if asked.of(exchange) == symbols:
            return
        await asyncio.sleep(0.01)
    assert asked.of(exchange) == symbols


async def test_what_a_bot_checks_is_heard_for_an_hour_and_told_once(tmp_path: Path) -> None:
    clock, told = MovedClock(), list[str]()
    (tmp_path / "snapshot").mkdir()
    asked = AskedMarkets(tmp_path / "snapshot", clock)
    asked.tell(told.append)
    asked.open()
    try:
        client = Guard(tmp_path, bot="mine")
        for _ in range(3):
            assert client.check("kucoin", "PEPE/USDT", side="buy").reason == "guard_silent"
        client.check("gate", "X/USDT")
        await heard(asked, "kucoin", {"PEPE/USDT"})
        await heard(asked, "gate", {"X/USDT"})
        assert told == ["kucoin", "gate"]
        assert stat.S_IMODE((tmp_path / "snapshot" / SOCKET_NAME).stat().st_mode) == 0o660
        await clock.advance(HOUR_S + 1)
        assert asked.of("kucoin") == set()
    finally:
        asked.close()
    assert not (tmp_path / "snapshot" / SOCKET_NAME).exists()
    assert client.check("kucoin", "NEW/USDT").reason == "guard_silent"


async def test_a_market_is_reported_every_ten_minutes_and_never_more_than_4096(tmp_path: Path) -> None:
    asked = AskedMarkets(tmp_path, MovedClock())
    asked.open()
    try:
        reports, asked_of = Reports(str(tmp_path / "guard.snapshot"), None), []
        asked._take = asked_of.append  # type: ignore[method-assign,assignment] - counts what arrives
        for at_s in (0, 1, 599, 600, 601):
            reports.asked("x", "A/USDT", 1 + at_s * 10**9)
        await asyncio.sleep(0.05)
        assert len(asked_of) == 2
        for number in range(5000):
            reports.asked("x", f"C{number}/USDT", 10**9)
        assert len(reports._due_ns) == 4096
    finally:
        asked.close()


async def test_what_is_no_market_is_dropped_and_counted(tmp_path: Path) -> None:
    asked = AskedMarkets(tmp_path, MovedClock())
    asked.open()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as raw:
            for message in (b"", b"{", b"[]", b'{"market": 5}', b'{"market": "x"}', b"[" * 1000, b"\xff" * 2000):
                raw.sendto(message, str(tmp_path / SOCKET_NAME))
            raw.sendto(b'{"market": "x:A/USDT"}', str(tmp_path / SOCKET_NAME))
        await heard(asked, "x", {"A/USDT"})
        assert asked.dropped == 7
    finally:
        asked.close()


async def test_memory_is_bounded(tmp_path: Path) -> None:
    asked = AskedMarkets(tmp_path, MovedClock())
    for number in range(2_500):
        asked._take(b'{"market": "x:C%d/USDT"}' % number)
    assert (len(asked.of("x")), asked.dropped) == (2000, 500)


async def test_a_socket_left_by_a_guard_that_died_is_replaced_and_a_folder_that_is_not_there_is_no_end(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    left.bind(str(tmp_path / SOCKET_NAME))
    left.close()
    asked = AskedMarkets(tmp_path, MovedClock())
    asked.open()
    Reports(str(tmp_path / "guard.snapshot"), None).asked("x", "A/USDT", 1)
    await heard(asked, "x", {"A/USDT"})
    asked.close()
    asked.close()
    nowhere = AskedMarkets(tmp_path / "nowhere", MovedClock())
    nowhere.open()
    nowhere.close()


async def test_what_is_asked_about_is_traded_where_it_is_on_offer() -> None:
    asked = AskedMarkets(Path(), MovedClock())
    bots = Bots("x", listed=None, asked=asked)
    asked._take(b'{"market": "x:A/USDT"}')
    assert bots.changed.is_set()
    asked._take(b'{"market": "x:NONE/USDT"}')
    asked._take(b'{"market": "y:B/USDT"}')
    assert bots.traded([MarketFacts(Market("x", "A/USDT")), MarketFacts(Market("x", "B/USDT"))], most=9) == {"A/USDT"}
