"""What a Freqtrade bot trades: from its file, from its interface, and when neither answers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from alerts.support import MovedClock
from pydantic import ValidationError
from runtime.small_freqtrade import PASSWORD, TOKEN, USER, SmallFreqtrade

from guard.dsl.bot_models import FreqtradeBot
from guard.errors import GuardError
from guard.model import Level, Market, MarketFacts
from guard.runtime.bot_list import BotList
from guard.runtime.freqtrade import PairPatterns, fetch_whitelist, read_config

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Answer = Callable[[], web.StreamResponse]

CONFIG = """
{
    // the exchange
    "stake_currency": "USDT", /* of
    all */
    "exchange": {
        "name": "kucoin", "pair_whitelist": ["BTC/USDT", ".*/EUR", "// no comment/USDT",],
        "pair_blacklist": ["(BNB|KCS)/.*", "DOGE/EUR"],
    },
    "pairlists": [{"method": "StaticPairList"}],
}
"""


def offered(*symbols: str) -> list[MarketFacts]:
    return [MarketFacts(Market("k", symbol), volume_24h_usd=float(at)) for at, symbol in enumerate(symbols)]


OFFERED = offered("BTC/USDT", "ETH/USDT", "ETH/EUR", "DOGE/EUR", "KCS/EUR")


class World:
    def __init__(self, folder: Path, **bot: str) -> None:
        self.clock = MovedClock()
        self.told: list[tuple[str, str, Level]] = []
        self.folder = folder
        settings = FreqtradeBot(**bot)  # type: ignore[arg-type] - pydantic reads texts
        self.bots = BotList(
            "kucoin", settings, folder=folder, kept=folder / "caches" / "bot.json", clock=self.clock, announce=self.announce
        )

    def announce(self, key: str, title: str, body: str, level: Level) -> None:
        assert key == "bot:kucoin"
        self.told.append((title, body, level))

    def traded(self, most: int = 9, of: Sequence[MarketFacts] = OFFERED) -> set[str]:
        return set(self.bots.traded(of, most=most))


def test_a_config_with_comments_commas_and_files_below_is_read_as_freqtrade_does(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "config.json").write_text('{"add_config_files": ["sub/a.json", "sub/b.json"], "exchange": {"name": "gate"}}')
    (tmp_path / "sub/a.json").write_text(CONFIG)
    (tmp_path / "sub/b.json").write_text('{"add_config_files": ["c.json"], "exchange": {"pair_whitelist": ["X/USDT"]}}')
    (tmp_path / "sub/c.json").write_text('{"stake_currency": "EUR", "exchange": {"pair_whitelist": ["Y/USDT"]}}')
    found = read_config(tmp_path / "config.json")
    # What includes wins over what is included, and of two the last.
    assert (found.exchange, found.whitelist, found.stake, found.is_static) == ("gate", ("X/USDT",), "EUR", True)
    assert found.blacklist == ("(BNB|KCS)/.*", "DOGE/EUR")
    assert {path.name for path in found.files} == {"config.json", "a.json", "b.json", "c.json"}


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"exchange": 5}', '{"exchange": {"pair_whitelist": "BTC/USDT"}}', '{"pairlists": 3}', "[" * 99_999]
)
def test_what_is_no_config_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(GuardError, match=r"config\.json"):
        read_config(tmp_path / "config.json")


def test_a_config_that_includes_itself_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"add_config_files": ["config.json"]}')
    with pytest.raises(GuardError, match="nested deeper"):
        read_config(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("entry", "fits"),
    [
        ("btc/usdt", True),
        (".*/USDT", True),
        ("BTC/.*", True),
        ("BTC/USD", False),
        ("(BTC|ETH)/USDT", True),
        ("*/USDT", False),
        ("(a+)+$", False),
    ],
)
def test_entries_are_regular_expressions_over_the_whole_symbol(entry: str, fits: bool) -> None:  # noqa: FBT001 - a value
    assert (PairPatterns([entry]).among(["BTC/USDT"]) == {"BTC/USDT"}) is fits


def test_an_entry_that_could_take_for_ever_counts_as_a_symbol() -> None:
    pairs = PairPatterns(["(a+)+$", "*/USDT", ".*.*.*.*.*x", "A/USDT"])
    assert pairs.odd == ["(a+)+$", "*/USDT", ".*.*.*.*.*x"]
    assert pairs.among(["a" * 60 + "!"]) == frozenset()


async def test_the_file_is_read_and_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(CONFIG)
    world = World(tmp_path, config="config.json")
    await world.bots.look()
    assert world.traded() == {"BTC/USDT", "ETH/EUR"}
    assert read_config(path).whitelist[2] == "// no comment/USDT"
    assert world.bots.changed.is_set()
    world.bots.changed.clear()
    await world.bots.look()
    assert not world.bots.changed.is_set()
    path.write_text(CONFIG.replace("BTC/USDT", "ETH/USDT"))
    os.utime(path, ns=(1, 1))
    await world.bots.look()
    assert world.bots.changed.is_set()
    assert "ETH/USDT" in world.traded()


async def test_a_file_that_cannot_be_read_leaves_things_as_they_were_and_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(CONFIG)
    world = World(tmp_path, config="config.json")
    await world.bots.look()
    path.write_text("{")
    for _ in range(10):
        await world.bots.look()
        await world.clock.advance(20)
    assert "BTC/USDT" in world.traded()
    assert [(title, level) for title, _, level in world.told] == [("the bot on kucoin does not tell what it trades", Level.WARNING)]
    path.write_text(CONFIG)
    for _ in range(4):
        await world.bots.look()
        await world.clock.advance(20)
    assert world.told[-1][2] is Level.NORMAL


async def test_a_bot_that_chooses_as_it_runs_is_taken_to_trade_the_busiest_of_its_stake(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(CONFIG.replace("StaticPairList", "VolumePairList"))
    world = World(tmp_path, config="config.json")
    await world.bots.look()
    assert world.traded(most=1) == {"ETH/USDT"}


@pytest.mark.parametrize("login", [{"user": USER, "password": PASSWORD}, {"token": TOKEN}])
async def test_the_interface_tells_the_list_and_its_answer_wins_over_the_file(tmp_path: Path, login: dict[str, str]) -> None:
    (tmp_path / "config.json").write_text(CONFIG)
    async with SmallFreqtrade("SOL/USDT", "$WAI/USDT") as bot:
        world = World(tmp_path, config="config.json", url=bot.url + "/", **login)
        await world.bots.look()
        assert (world.traded(), world.bots.problem) == ({"SOL/USDT", "$WAI/USDT"}, None)
        bot.pairs.append("NEW/USDT")
        world.bots.changed.clear()
        await world.bots.look()
        assert world.bots.changed.is_set()
        assert "NEW/USDT" in world.traded()


def _status(status: int) -> Answer:
    return lambda: web.json_response({"detail": "x"}, status=status)


@pytest.mark.parametrize(
    "answer",
    [
        _status(500),
        _status(401),
        _status(204),
        lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
        lambda: web.Response(text="not json"),
        lambda: web.json_response([]),
        lambda: web.json_response({"detail": "Bot is not in the correct state"}),
        lambda: web.json_response({"whitelist": "BTC/USDT"}),
        lambda: web.json_response({"whitelist": [1]}),
        lambda: web.Response(body=b"[" * 200_000),
    ],
)
async def test_an_answer_that_is_no_list_keeps_the_last_list(tmp_path: Path, answer: Answer) -> None:
    async with SmallFreqtrade("SOL/USDT") as bot:
        world = World(tmp_path, url=bot.url, user=USER, password=PASSWORD)
        await world.bots.look()
        bot.answer = answer
        await world.bots.look()
        assert world.traded() == {"SOL/USDT"}
        assert world.bots.problem
        assert PASSWORD not in world.bots.problem


async def test_a_bot_that_is_gone_keeps_its_last_list_over_a_restart_and_people_are_told_once(tmp_path: Path) -> None:
    async with SmallFreqtrade("SOL/USDT") as bot:
        await World(tmp_path, url=bot.url, user=USER, password=PASSWORD).bots.look()
        url, port = bot.url, bot.port
    world = World(tmp_path, url=url, user=USER, password=PASSWORD)
    for _ in range(10):
        await world.bots.look()
        await world.clock.advance(20)
    assert world.traded() == {"SOL/USDT"}
    ((title, body, _),) = world.told
    assert title == "the bot on kucoin does not tell what it trades"
    assert "The last list is kept: 1 markets." in body
    again = SmallFreqtrade("ADA/USDT")
    again.port = port
    async with again:
        for _ in range(4):
            await world.bots.look()
            await world.clock.advance(20)
        assert world.traded() == {"ADA/USDT"}
        assert world.told[-1][0] == "the bot on kucoin tells what it trades again"


async def test_an_answer_without_end_is_cut(tmp_path: Path) -> None:
    del tmp_path
    async with SmallFreqtrade() as bot:
        bot.answer = lambda: web.Response(body=b" " * (5 << 20))
        with pytest.raises(GuardError, match="more than 4 MiB"):
            await fetch_whitelist(bot.url, token=TOKEN)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "needs config, url or both"),
        ({"url": "ftp://x"}, "must be an address"),
        ({"url": "http://a:b@x"}, "user or password"),
        ({"url": "http://x", "user": "a"}, "belong together"),
        ({"url": "http://x", "user": "a", "password": "b", "token": "c"}, "either user and password, or token"),
        ({"config": "x", "every": "1s"}, "greater than or equal"),
    ],
)
def test_settings_that_cannot_work_are_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FreqtradeBot(**given)
