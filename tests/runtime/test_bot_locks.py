"""Locks of a Freqtrade bot follow what guard publishes: over a real local server, that fails too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from alerts.support import MovedClock
from client.images import MINUTE, image, quarantine
from pydantic import ValidationError
from runtime.small_freqtrade import PASSWORD, USER, SmallFreqtrade

from guard.dsl.bot_models import BotLocks
from guard.model import BotPolicy, Level, PublishedBypass
from guard.runtime.bot_locks import LockPusher, LockPushers
from guard.runtime.publish import SnapshotPublisher

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from guard.model import Quarantine


class World:
    def __init__(self, folder: Path, bot: SmallFreqtrade, **settings: str) -> None:
        self.clock = MovedClock()
        self.told: list[tuple[str, Level]] = []
        self.publisher = SnapshotPublisher(folder, self.clock)
        self.seq = 0
        given = {"exchange": "sim", "url": bot.url, "user": USER, "password": PASSWORD, **settings}
        self.pusher = LockPusher(
            "mine",
            BotLocks(**given),
            publisher=self.publisher,
            clock=self.clock,
            jump_us=lambda: 0,
            announce=lambda _key, title, _body, level: self.told.append((title, level)),
        )

    def publish(self, *blocks: Quarantine, bypass: PublishedBypass | None = None) -> None:
        self.seq += 1
        self.publisher.publish(
            image(*blocks, bypass=bypass, bots={"mine": BotPolicy(rules=("pump_*",))}), epoch=1, seq=self.seq, durable=True
        )

    def held(self, minutes: int = 30) -> Quarantine:
        return quarantine(until_us=self.clock.now_us() + minutes * MINUTE)


async def test_a_block_becomes_a_lock_and_its_end_takes_it_away_and_others_stay(tmp_path: Path) -> None:
    async with SmallFreqtrade("X/USDT", "Y/USDT") as bot:
        bot.locks[900] = {"id": 900, "pair": "Y/USDT", "side": "*", "reason": "Cooldown", "lock_end_timestamp": 1}
        world = World(tmp_path, bot)
        world.publish(world.held())
        assert await world.pusher.push()
        assert [(lock["pair"], lock["reason"]) for lock in bot.locks.values()] == [
            ("Y/USDT", "Cooldown"),
            ("X/USDT", "guard:aabbccddeeff:pump_dump"),
        ]
        before = bot.changes
        assert await world.pusher.push()
        assert bot.changes == before
        world.publish()
        assert await world.pusher.push()
        assert list(bot.locks) == [900]
        assert world.pusher.record() | {"locks": 0, "added": 1, "taken_away": 1, "problem": None} == world.pusher.record()


async def test_a_longer_block_lengthens_the_lock(tmp_path: Path) -> None:
    async with SmallFreqtrade("X/USDT") as bot:
        world = World(tmp_path, bot)
        for minutes in (30, 90):
            held = world.held(minutes)
            world.publish(held)
            assert await world.pusher.push()
            (lock,) = bot.locks.values()
            assert 0 <= lock["lock_end_timestamp"] * 1000 - held.until_us <= 5 * MINUTE


async def test_a_bot_that_lost_its_locks_gets_them_again(tmp_path: Path) -> None:
    async with SmallFreqtrade("X/USDT") as bot:
        world = World(tmp_path, bot)
        world.publish(world.held())
        assert await world.pusher.push()
        bot.locks.clear()
        assert await world.pusher.push()
        assert len(bot.locks) == 1


async def test_a_bypass_takes_the_locks_away(tmp_path: Path) -> None:
    async with SmallFreqtrade("X/USDT") as bot:
        world = World(tmp_path, bot)
        world.publish(world.held())
        assert await world.pusher.push()
        now_us = world.clock.now_us()
        bypass = PublishedBypass(now_us + MINUTE, 0, "", now_us, "by hand", "me")
        world.publish(world.held(), bypass=bypass)
        assert await world.pusher.push()
        assert not bot.locks


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda: web.json_response({"error": "no"}, status=500), "answers HTTP 500"),
        (lambda: web.json_response({}), "is it Freqtrade's interface?"),
        (lambda: web.json_response([]), "is it Freqtrade's interface?"),
        (lambda: web.json_response({"whitelist": [7], "locks": [{}]}), "is it Freqtrade's interface?"),
        (lambda: web.Response(text="<html>"), "answers no JSON"),
        (lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:9/"}), "answers HTTP 302"),
    ],
)
async def test_whatever_else_is_answered_changes_no_lock_and_is_told(
    tmp_path: Path, answer: Callable[[], web.StreamResponse], says: str
) -> None:
    async with SmallFreqtrade("X/USDT") as bot:
        world = World(tmp_path, bot)
        world.publish(world.held())
        assert await world.pusher.push()
        bot.answer = answer
        world.publish()
        assert not await world.pusher.push()
        assert says in (world.pusher.problem or "")
        assert len(bot.locks) == 1


async def test_wrong_credentials_are_told_without_them_after_two_minutes_and_the_end_too(tmp_path: Path) -> None:
    async with SmallFreqtrade("X/USDT") as bot:
        world = World(tmp_path, bot, password="wrong one")  # noqa: S106 - it opens nothing
        world.publish(world.held())
        task = asyncio.create_task(world.pusher.run())
        for _ in range(62):
            await _pass(world, 2.0)
        task.cancel()
        assert world.told == [("the bot mine does not take locks", Level.WARNING)]
        assert "refuses the credentials" in (world.pusher.problem or "")
        assert "wrong one" not in str(world.pusher.record())


async def test_a_new_block_is_pushed_at_once_and_else_only_now_and_then(tmp_path: Path) -> None:
    async with SmallFreqtrade("X/USDT") as bot:
        world = World(tmp_path, bot, every="60s")
        world.publish()
        task = asyncio.create_task(world.pusher.run())
        await _pass(world, 5.0)
        assert bot.asked == 1
        world.publish(world.held())
        await _pass(world, 1.0)
        assert len(bot.locks) == 1
        await _pass(world, 5.0)
        assert bot.asked == 2
        await _pass(world, 60.0)
        assert bot.asked == 3
        task.cancel()


async def test_a_mistake_of_guards_own_ends_no_task_and_is_told(tmp_path: Path) -> None:
    async with SmallFreqtrade("X/USDT") as bot:
        world = World(tmp_path, bot)
        # No calendar has this year.
        world.publish(quarantine(until_us=2**60))
        assert not await world.pusher.push()
        assert "Error" in (world.pusher.problem or "")
        world.publish(world.held())
        assert await world.pusher.push()
        assert world.pusher.problem is None


async def test_nothing_is_pushed_before_anything_was_published(tmp_path: Path) -> None:
    async with SmallFreqtrade("X/USDT") as bot:
        world = World(tmp_path, bot)
        task = asyncio.create_task(world.pusher.run())
        await _pass(world, 30.0)
        task.cancel()
        assert bot.asked == 0


async def test_without_locks_in_guard_yaml_nobody_is_asked() -> None:
    pushers = LockPushers({}, lambda *_: pytest.fail("made"))
    task = asyncio.create_task(pushers.run())
    await asyncio.sleep(0)
    assert not task.done()
    assert pushers.records() == []
    task.cancel()


@pytest.mark.parametrize(
    "settings", [{"url": "ftp://x"}, {"url": "http://u:p@x"}, {"user": "u"}, {"token": "t", "user": "u", "password": "p"}]
)
def test_settings_that_reach_no_bot_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BotLocks(**{"exchange": "sim", "url": "http://127.0.0.1:8080", **settings})


async def _pass(world: World, seconds: float) -> None:
    """Let time pass, and real requests be answered meanwhile."""
    steps = max(1, round(seconds / 1.0))
    for _ in range(steps):
        await world.clock.advance(seconds / steps)
        for _ in range(20):
            await asyncio.sleep(0.001)
