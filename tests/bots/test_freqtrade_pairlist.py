"""The list route against real Freqtrade: whatever it answers, a quarantined market is not entered."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

import pytest
from freqtrade_processes import free_port, wait_for
from freqtrade_support import Bot, GuardRun

from guard.api.pairlist import pairlist
from guard.client import Guard
from guard.client.snapshot import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from freqtrade_support import Exchange

HELD: Final = "MOON/USDT"
FREE: Final = ["ETH/USDT", "SOL/USDT"]
BAD: Final = ["text 503", "text 500", "text 401", "broken JSON", "a JSON list", "slow", "refused", "guard is silent"]


class Route:
    """A server whose good answers are guard's own, and whose faults are what a network does."""

    def __init__(self, guard: GuardRun) -> None:
        self._guard, self._client = guard, Guard(guard.state)
        self.fault = ""
        self.asked = 0
        self.port = free_port()
        self._server: ThreadingHTTPServer | None = None

    def url(self, mode: str) -> str:
        return f"http://127.0.0.1:{self.port}/v1/freqtrade/binance/pairlist?mode={mode}"

    def open(self) -> None:
        route = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, kind, body = route.answer(self.path.rpartition("=")[2])
                with suppress(OSError):  # a bot that waited long enough is gone
                    self.send_response(status)
                    self.send_header("Content-Type", kind)
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, mode: str) -> tuple[int, str, bytes]:
        self.asked += 1
        if self.fault.startswith("text"):
            return int(self.fault[-3:]), "text/plain", b"no list\n"
        if self.fault == "JSON error of a proxy":
            return 500, "application/json", b'{"error": "bad gateway"}'
        if self.fault == "broken JSON":
            return 200, "application/json", b'{"pairs": ["MOON'
        if self.fault == "a JSON list":
            return 200, "application/json", b"[]"
        if self.fault == "slow":
            time.sleep(2.5)
        now_us = time.time_ns() // 1000
        return pairlist(read_snapshot(str(self._guard.snapshot)), "binance", mode=mode, now_us=now_us, problem=self._client.problem)


def listed(url: str, mode: str, *, keeps: bool) -> dict[str, Any]:
    route = {
        "method": "RemotePairList", "mode": mode, "pairlist_url": url, "refresh_period": 1, "read_timeout": 1,
        "number_assets": 1000, "keep_pairlist_on_failure": keeps,
    }  # fmt: skip
    return {"pairlists": [{"method": "StaticPairList"}, route]}


@pytest.fixture(scope="module")
def routed(exchange: Exchange, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Route, GuardRun, list[Bot], Path]]:
    folder = tmp_path_factory.mktemp("pairlist")
    with ExitStack() as stack:
        guard = stack.enter_context(GuardRun(folder / "guard", exchange))
        guard.hold([HELD])
        route = Route(guard)
        route.open()
        stack.callback(route.close)
        black = Bot(
            folder / "black", exchange, "Obedient", [HELD, *FREE], **listed(route.url("blacklist"), "blacklist", keeps=True)
        )
        white = Bot(
            folder / "white", exchange, "Obedient", [HELD, *FREE], **listed(route.url("whitelist"), "whitelist", keeps=False)
        )
        for bot in (black, white):
            bot.launch()
            stack.callback(bot.end)
        for bot in (black, white):
            bot.turn(1)
        yield route, guard, [black, white], folder


def test_a_held_market_is_not_entered_and_a_free_one_is(routed: tuple[Route, GuardRun, list[Bot], Path]) -> None:
    for bot in routed[2]:
        bot.wish(enter=[HELD, FREE[0]])
        wait_for("a free market is entered", lambda bot=bot: FREE[0] in bot.bought())
        assert HELD not in bot.bought()


def test_no_fault_of_the_route_lets_an_entry_through(routed: tuple[Route, GuardRun, list[Bot], Path]) -> None:
    route, guard, bots, _ = routed
    for fault in BAD:
        route.fault = fault
        if fault == "refused":
            route.close()
        if fault == "guard is silent":
            guard.end()
        for bot in bots:
            bot.wish(enter=[HELD])
        asked = route.asked
        if fault != "refused":
            wait_for(f"both ask ({fault})", lambda asked=asked: route.asked >= asked + 2)
        for bot in bots:
            bot.turn(3)
            assert HELD not in bot.bought(), f"{fault}: {bot.config['pairlists'][1]['mode']}"
        if fault == "refused":
            route.open()
        print(f"pairlist {fault:<20} entered 0")


def test_a_proxy_that_answers_errors_in_json_empties_a_blacklist_and_a_whitelist(
    routed: tuple[Route, GuardRun, list[Bot], Path],
) -> None:
    """The control, and why a whitelist is the closed way: Freqtrade takes such JSON for an empty list."""
    route, guard, (black, white), _ = routed
    if guard.process is None:
        guard.start()
    route.fault = "JSON error of a proxy"
    for bot in (black, white):
        bot.wish(enter=[HELD])
    wait_for("the blacklist is empty", lambda: HELD in black.bought())
    white.turn(3)
    assert HELD not in white.bought()


def test_a_bot_whose_first_fetch_fails_does_not_start(routed: tuple[Route, GuardRun, list[Bot], Path], exchange: Exchange) -> None:
    route, _, _, folder = routed
    route.fault = "text 503"
    bot = Bot(folder / "first", exchange, "Obedient", [HELD], **listed(route.url("blacklist"), "blacklist", keeps=True))
    bot.wish(enter=[HELD])
    bot.launch()
    try:
        wait_for("the bot gives up", lambda: "freqtrade - ERROR - RemotePairList is not of type JSON" in bot.log)
        assert not bot.loops()
        assert "Changing state to: RUNNING" not in bot.log
    finally:
        bot.end()
