"""Imported lists in a running guard: real ledger, real files, a real server that misbehaves on command."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from alerts.support import MovedClock
from runtime.feeds import Script
from runtime.test_live import bench

from guard.dsl.list_models import ListSettings
from guard.model import ReleaseQuarantine, Target, TargetKind
from guard.model.moments import stamp
from guard.quarantine import AllowEntry
from guard.runtime.list_formats import ListUnreadable
from guard.runtime.list_sources import fetch_list
from guard.runtime.lists import ImportedLists

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from runtime.test_live import Bench

MINUTE_S = 60


class Desk:
    """A guard that reads one list, on a clock that the test moves."""

    def __init__(self, at_work: Bench, clock: MovedClock, **settings: object) -> None:
        self.live, self.clock, self.messenger, self.store = at_work.live, clock, at_work.messenger, at_work.store
        self.file = at_work.folder / "list.txt"
        found = ListSettings.model_validate({"path": "list.txt", "every": "1m", "ttl": "10m", **settings})
        self.lists = ImportedLists({"mine": found}, at_work.live, at_work.folder)

    async def refresh(self, *lines: str) -> bool:
        self.file.write_text("\n".join(lines))
        task = asyncio.ensure_future(self.lists.refresh("mine"))
        while not task.done():
            await self.pass_time(0.25)
        return task.result()

    async def let_run_out(self) -> None:
        task = asyncio.ensure_future(self.lists.let_run_out("mine"))
        while not task.done():
            await self.pass_time(0.25)
        task.result()

    async def pass_time(self, seconds: float) -> None:
        steps = max(1, int(seconds / 10))
        for _ in range(steps):
            await self.clock.advance(seconds / steps)
            await asyncio.sleep(0.002)

    @property
    def held(self) -> list[str]:
        return sorted(str(each.target) for each in self.live.pipeline.isolation.active())

    @property
    def record(self) -> dict[str, Any]:
        (record,) = self.lists.records()
        return record

    async def until_told(self, words: str) -> None:
        async with asyncio.timeout(5):
            while not any(words in title for title in self.titles()):
                await self.pass_time(0.25)

    def titles(self) -> list[str]:
        return [title for title in self.messenger.titles if "list" in title]


@asynccontextmanager
async def desk(folder: Path, **settings: object) -> AsyncIterator[Desk]:
    clock = MovedClock()
    async with bench(folder, clock=clock) as at_work:
        at_work.feed(Script())
        stop = asyncio.Event()
        running = asyncio.create_task(at_work.run(stop))
        here = Desk(at_work, clock, **settings)
        await here.pass_time(1)
        try:
            yield here
        finally:
            stop.set()
            while not running.done():
                await clock.advance(0.5)
                await asyncio.sleep(0.002)
            await asyncio.gather(running, return_exceptions=True)


async def test_entries_come_and_go_with_one_transition_each_and_no_message_a_coin(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        assert await here.refresh("x:A/USDT", "base:B", "base:C", "base:D")
        assert here.held == ["base:B", "base:C", "base:D", "x:A/USDT"]
        assert await here.refresh("x:A/USDT", "base:B", "base:D")
        assert here.held == ["base:B", "base:D", "x:A/USDT"]
        trail = list(await here.store.audit(limit=50))
        assert [(row["cause"], row["actor"], row["rule"]) for row in trail] == 5 * [("list", "list:mine", "list:mine")]
        assert trail[0]["state"] == "normal"
        assert "list.txt" in trail[0]["reason"]
        assert not here.messenger.sent
        assert {block.hold.rule for block in here.live.image().blocks} == {"list:mine"}


async def test_an_exchanges_own_spelling_is_one_entry_that_stays(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        for _ in range(3):
            await here.refresh("base:1000PEPE", "base:PEPE")
        assert here.held == ["base:PEPE"]
        assert here.live.seq == 1


async def test_a_list_that_cannot_be_read_keeps_its_entries_until_their_time_and_is_told_once(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        await here.refresh("base:B", "base:C")
        here.file.unlink()
        for _ in range(8):
            assert not await asyncio.wait_for(here.lists.refresh("mine"), 5)
            await here.pass_time(MINUTE_S)
        assert here.held == ["base:B", "base:C"]
        assert here.titles() == ["[DANGER] guard: list mine cannot be read"]
        assert here.record["failed"] == 8
        assert "cannot be read" in here.record["problem"]
        await here.pass_time(3 * MINUTE_S)
        await here.let_run_out()
        assert here.held == []
        assert (await here.store.audit(limit=1))[0]["reason"] == "list mine: not named for 600 s"
        await here.lists.refresh("mine")
        await here.until_told("entries have ended")
        assert await here.refresh("base:B")
        assert here.held == ["base:B"]
        await here.until_told("is read again")


async def test_a_short_list_read_again_and_again_writes_no_row_an_entry_a_reading(tmp_path: Path) -> None:
    async with desk(tmp_path, every="15s", ttl="1m") as here:
        for _ in range(20):
            await here.refresh("base:B", "base:C")
            await here.let_run_out()
            for held in here.live.pipeline.isolation.active():
                assert held.until_us - here.clock.now_us() >= 60_000_000 - 1_000_000
            await here.pass_time(15)
        assert len(await here.store.audit(limit=100)) == 2
        assert here.held == ["base:B", "base:C"]


async def test_a_list_followed_by_guard_lets_go_in_time_though_the_written_end_is_hours_later(tmp_path: Path) -> None:
    async with desk(tmp_path, every="15s", ttl="1m") as here:
        here.file.write_text("base:B")
        following = asyncio.create_task(here.lists.run())
        await here.pass_time(20)
        assert here.held == ["base:B"]
        here.file.unlink()
        await here.pass_time(40)
        assert here.held == ["base:B"]
        assert here.record["until"] < stamp(here.live.pipeline.isolation.active()[0].until_us)
        for _ in range(60):
            await here.pass_time(1)
        assert here.held == []
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_an_entry_that_is_named_again_at_the_last_moment_is_free_for_none(tmp_path: Path) -> None:
    async with desk(tmp_path, every="20s", ttl="1m") as here:
        here.file.write_text("base:B")
        following = asyncio.create_task(here.lists.run())
        await here.pass_time(2)
        here.file.unlink()
        while here.record["failed"] < 2:
            await here.pass_time(0.5)
        here.file.write_text("base:B")
        for _ in range(60):
            await here.pass_time(0.5)
        assert here.record["readings"] == 2
        assert len(await here.store.audit(limit=10)) == 1
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_after_a_restart_an_unreadable_list_holds_for_its_time_again_and_no_longer(tmp_path: Path) -> None:
    async with desk(tmp_path, every="15s", ttl="2m") as here:
        await here.refresh("base:B")
    async with desk(tmp_path, every="15s", ttl="2m") as here:
        here.file.unlink()
        await here.pass_time(110)
        await here.let_run_out()
        assert here.held == ["base:B"]
        await here.pass_time(15)
        await here.let_run_out()
        assert here.held == []


@pytest.mark.parametrize("lines", [(), ("# nothing",), ("base:B",)])
async def test_a_list_that_shrinks_to_nothing_or_by_much_frees_nobody_in_silence(tmp_path: Path, lines: tuple[str, ...]) -> None:
    async with desk(tmp_path) as here:
        await here.refresh("base:B", "base:C", "base:D", "base:E")
        assert await here.refresh(*lines)
        await here.until_told("doubt")
        assert len(here.held) == 4
        assert here.titles() == ["[DANGER] guard: list mine is read with doubt"]
        assert here.record["doubt"]
        await here.pass_time(11 * MINUTE_S)
        await here.let_run_out()
        assert set(here.held) <= {"base:B"}


async def test_a_reading_with_rows_that_are_not_understood_releases_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        await here.refresh("base:B", "base:C", "base:D")
        await here.refresh("base:B", "base:C", "base D", "base:E")
        assert here.held == ["base:B", "base:C", "base:D", "base:E"]
        assert here.record["bad_rows"] == 1


async def test_a_thousand_entries_come_in_steps_that_leave_the_loop_free(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        await here.refresh(*(f"base:C{number}" for number in range(1000)))
        assert len(here.held) == 1000
        assert not here.messenger.sent
        assert here.live.seq == 1000


async def test_an_allow_entry_overrides_a_list_and_a_release_gives_grace(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.live.pipeline.isolation.allow([AllowEntry(Target(TargetKind.BASE, "B"), reason="ours")])
        await here.refresh("base:B", "base:C")
        assert here.held == ["base:C"]
        release = asyncio.ensure_future(here.live.operate(ReleaseQuarantine(Target(TargetKind.BASE, "C"), None, "mistake", "ann")))
        while not release.done():
            await here.pass_time(0.25)
        await here.refresh("base:B", "base:C")
        assert here.held == []


async def test_entries_survive_a_restart_and_go_with_their_list(tmp_path: Path) -> None:
    async with desk(tmp_path, block="shrink", max_fraction=0.1) as here:
        await here.refresh("base:B")
    async with desk(tmp_path) as here:
        (held,) = here.live.pipeline.isolation.active()
        assert (held.block, held.hold.max_fraction) == ("shrink", 0.1)
        nobody = ImportedLists({}, here.live, tmp_path)
        task = asyncio.ensure_future(nobody.run())
        await here.pass_time(2)
        assert here.held == []

        await here.until_told("is not configured any more")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Web:
    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, b"base:B\n", {}
        self.length: int | None = None
        self.asked: list[dict[str, str]] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.asked.append(dict(self.headers))
                self.send_response(web.status)
                for name, value in web.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(web.body) if web.length is None else web.length))
                self.end_headers()
                self.wfile.write(web.body)

            def log_message(self, *_: object) -> None:
                """Keep the test's output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/list"


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()
    yield web
    web.server.shutdown()
    web.server.server_close()


def by_url(web: Web, **more: object) -> ListSettings:
    return ListSettings.model_validate({"url": web.url, "allow_private": True, **more})


async def test_an_address_is_fetched_with_its_token(web: Web, tmp_path: Path) -> None:
    found = await fetch_list(by_url(web, token="abc"), tmp_path)  # noqa: S106 - of this test
    assert found == b"base:B\n"
    assert web.asked[0]["Authorization"] == "Bearer abc"


async def test_a_private_address_is_refused_and_never_asked(web: Web, tmp_path: Path) -> None:
    for host in ("127.0.0.1", "localhost", "[::1]", "169.254.169.254", "10.1.2.3", "[::ffff:127.0.0.1]"):
        url = web.url.replace("127.0.0.1", host)
        with pytest.raises(ListUnreadable, match="no public address"):
            await fetch_list(by_url(web, url=url, allow_private=False), tmp_path)
    assert not web.asked


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"status": 503}, "it answers 503"),
        ({"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}}, "redirects are not followed"),
        ({"length": 100}, "Payload"),
        ({"body": b"x" * 2000}, "more than 1000 bytes"),
        ({"headers": {"Content-Encoding": "gzip"}}, "packed"),
    ],
)
async def test_an_answer_that_is_not_the_list_is_refused(web: Web, tmp_path: Path, change: dict[str, Any], told: str) -> None:
    for name, value in change.items():
        setattr(web, name, value)
    with pytest.raises(ListUnreadable, match=told):
        await fetch_list(by_url(web, max_size=1000), tmp_path)


async def test_a_pipe_or_a_folder_is_no_list(tmp_path: Path) -> None:
    settings = ListSettings.model_validate({"path": "."})
    with pytest.raises(ListUnreadable):
        await fetch_list(settings, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ListUnreadable, match="is no file"):
        await fetch_list(ListSettings.model_validate({"path": "pipe"}), tmp_path)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({}, "one of path:, url:"),
        ({"path": "a", "url": "http://x/"}, "one of path:, url:"),
        ({"path": "a", "token": "x"}, "token: goes to an address"),
        ({"path": "a", "every": "1h", "ttl": "30m"}, "must be longer than every"),
        ({"url": "file:///etc/passwd"}, "must be an address"),
        ({"url": "http://a:b@x/"}, "holds a user"),
    ],
)
def test_a_list_with_a_mistake_is_refused(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ListSettings.model_validate(keys)


async def test_what_a_pattern_held_stays_held_while_its_markets_are_not_open_yet(tmp_path: Path) -> None:
    async with desk(tmp_path, format="freqtrade") as here:
        # A restart: the ledger has what the list held, and of the last run's markets only the names are known.
        here.live.names.keep = lambda: None  # type: ignore[method-assign]
        here.live.watchlist.markets = frozenset({"x:OLDUP/USDT", "x:A/USDT"})
        text = '{"exchange": {"pair_blacklist": ["B/USDT", "C/USDT", "D/USDT", ".*UP/.*"]}}'
        for _ in range(2):
            assert await here.refresh(text)
            assert here.held == ["symbol:B/USDT", "symbol:C/USDT", "symbol:D/USDT", "symbol:OLDUP/USDT"]
