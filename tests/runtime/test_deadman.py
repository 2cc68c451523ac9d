"""When a silence is told: once, again after the repeat, never without a channel that took it; and across runs of the watcher."""

from __future__ import annotations

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from alerts.support import MovedClock

from guard.dsl.deadman import load_deadman
from guard.errors import ConfigurationError
from guard.model.ports import Outcome
from guard.runtime.deadman import Glance, Silence
from guard.runtime.deadman_run import Deadman
from guard.runtime.proof import HeartbeatFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from guard.model import Delivery

CONFIG = "version: 1\nwatch: {{home: {way}}}\nchannels: {{phone: {{url: 'json://127.0.0.1:9/x'}}}}\n"


class Phone:
    def __init__(self) -> None:
        self.is_down = False
        self.sent: list[Delivery] = []

    async def send(self, delivery: Delivery) -> Outcome:
        if self.is_down:
            return Outcome(is_delivered=False, error="no signal")
        self.sent.append(delivery)
        return Outcome(is_delivered=True)


class Desk:
    """A watcher, its phone, and the heartbeat file of a guard that the test writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".guard" / "snapshot").mkdir(parents=True)
        self.config = folder / "deadman.yaml"
        self.config.write_text(CONFIG.format(way="{state: .guard}"))
        self.clock, self.phone = MovedClock(), Phone()
        self.watcher = self.start()
        self.number = 0

    def start(self) -> Deadman:
        return Deadman(load_deadman(self.config, {}), self.phone, self.clock)

    def beat(self, state: str = "running", *, is_proof: bool = True) -> None:
        self.number += is_proof
        HeartbeatFile(self.folder / ".guard" / "snapshot" / "heartbeat").write(
            {
                "state": state,
                "beat": self.number,
                "proved_us": self.clock.now_us(),
                # Of another machine: only that it moves can be seen.
                "proved_boot_ns": self.number,
                "boot_id": "0" * 31 + "1",
                "missing": [] if is_proof else ["ledger"],
            }
        )

    async def look_for(self, seconds: int, *, beats: bool = False, every_s: int = 5) -> None:
        for _ in range(seconds // every_s):
            if beats:
                self.beat()
            await self.watcher.look()
            await self.clock.advance(every_s)

    @property
    def titles(self) -> list[str]:
        return [each.title for each in self.phone.sent]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_a_guard_that_proves_itself_is_left_alone(desk: Desk) -> None:
    await desk.look_for(150, beats=True)
    assert not desk.titles


async def test_a_silence_is_told_within_two_minutes_and_its_end_too(desk: Desk) -> None:
    await desk.look_for(60, beats=True)
    await desk.look_for(115)
    assert desk.titles == ["[CRITICAL] home gives no heartbeat"]
    assert "Now: running" in desk.phone.sent[0].body
    assert "It was not stopped on purpose" in desk.phone.sent[0].body
    await desk.look_for(20, beats=True)
    assert desk.titles[1:] == ["[OVER] home is back"]


async def test_a_file_that_is_written_without_a_proof_is_silence(desk: Desk) -> None:
    await desk.look_for(30, beats=True)
    for _ in range(24):
        desk.beat(is_proof=False)
        await desk.look_for(5)
    assert len(desk.titles) == 1
    assert "not seen to work: ledger" in desk.phone.sent[0].body


async def test_a_guard_that_was_stopped_is_told(desk: Desk) -> None:
    await desk.look_for(30, beats=True)
    desk.beat("stopped", is_proof=False)
    await desk.look_for(120)
    assert "Now: stopped" in desk.phone.sent[0].body


async def test_a_guard_that_never_was_is_told(desk: Desk) -> None:
    await desk.look_for(120)
    assert len(desk.titles) == 1
    assert "cannot be read" in desk.phone.sent[0].body


async def test_a_long_silence_is_told_again_each_hour(desk: Desk) -> None:
    await desk.look_for(3 * 3600, every_s=60)
    assert desk.titles == ["[CRITICAL] home gives no heartbeat"] + 2 * ["[CRITICAL] home still gives no heartbeat"]


async def test_a_message_that_no_channel_took_is_tried_until_one_does(desk: Desk) -> None:
    desk.phone.is_down = True
    await desk.look_for(600, every_s=20)
    assert not desk.titles
    desk.phone.is_down = False
    await desk.look_for(150)
    assert desk.titles == ["[CRITICAL] home gives no heartbeat"]


async def test_a_watcher_started_anew_neither_repeats_nor_forgets(desk: Desk) -> None:
    await desk.look_for(120)
    desk.watcher = desk.start()
    await desk.look_for(120)
    assert len(desk.titles) == 1
    await desk.look_for(10, beats=True)
    assert desk.titles[1:] == ["[OVER] home is back"]


async def test_looks_of_a_cron_job_see_a_silence_together(desk: Desk) -> None:
    desk.beat()
    for _ in range(3):
        desk.watcher = desk.start()
        await desk.watcher.look()
        await desk.clock.advance(60)
    assert desk.titles == ["[CRITICAL] home gives no heartbeat"]


async def test_a_damaged_memory_is_told_and_left_behind(desk: Desk) -> None:
    (desk.folder / ".deadman.json").write_text("{")
    desk.watcher = desk.start()
    await desk.look_for(120)
    assert len(desk.titles) == 1
    assert json.loads((desk.folder / ".deadman.json").read_text())["guards"]["home"]["told_us"]


def test_a_clock_set_back_between_two_runs_makes_no_silence_longer() -> None:
    memory = {"mark": "1", "moved_us": 900_000_000, "told_us": None}
    silence = Silence("home", after_us=60, repeat_us=600, now_us=1000, memory=memory)
    assert silence.look(1061, Glance(None, None, "gone")) is not None


@pytest.fixture
def web() -> Iterator[tuple[str, dict[str, int]]]:
    answers = {"status": 200}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answers["status"])
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"well")

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/readyz", answers
    server.shutdown()
    server.server_close()


async def test_a_guard_is_watched_by_its_address(desk: Desk, web: tuple[str, dict[str, int]]) -> None:
    url, answers = web
    desk.config.write_text(CONFIG.format(way=f"{{url: '{url}'}}"))
    desk.watcher = desk.start()
    await desk.look_for(120)
    assert not desk.titles
    answers["status"] = 503
    await desk.look_for(120)
    assert "it answers 503: well" in desk.phone.sent[0].body


async def test_no_answer_at_all_is_silence(desk: Desk) -> None:
    desk.config.write_text(CONFIG.format(way="{url: 'http://127.0.0.1:9/readyz'}"))
    desk.watcher = desk.start()
    await asyncio.wait_for(desk.look_for(120), 10)
    assert len(desk.titles) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("version: 1\nwatch: {home: {state: a, url: 'http://x/'}}\nchannels: {p: {url: 'json://x'}}\n", "one of state:, url:"),
        ("version: 1\nwatch: {}\nchannels: {p: {url: 'json://x'}}\n", "watch"),
        ("version: 1\nwatch: {home: {url: 'ftp://x/'}}\nchannels: {p: {url: 'json://x'}}\n", "must be an address"),
        ("version: 1\nwatch: {home: {state: a}}\nafter: 5s\nchannels: {p: {url: 'json://x'}}\n", "after"),
        ("version: 1\nwatch: {home: {state: a}}\n", "channels"),
        ("version: 1\nwatch: {home: {state: a}}\nchannels: {p: {url: 'json://x'}}\nport: 1\n", "port"),
    ],
)
def test_a_file_with_a_mistake_says_where(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "deadman.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=told):
        load_deadman(path, {})
