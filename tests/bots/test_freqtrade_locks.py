"""Locks against real Freqtrade: guard sets and takes them away, and a bot without guard enters nothing that is locked."""

from __future__ import annotations

import json
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import pytest
from freqtrade_processes import wait_for
from freqtrade_support import Bot, GuardRun

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freqtrade_support import Exchange

HELD: Final = "MOON/USDT"
FREE: Final = "ETH/USDT"
LATER: Final = "SOL/USDT"


def locks(bot: Bot) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = bot.call("GET", "locks")[1]["locks"]
    return found


def pushed(guard: GuardRun) -> int:
    """Return how many locks guard itself knows of; -1 while it does not answer yet."""
    try:
        (bot,) = json.loads(guard.command("--json", "status"))["locks"]
    except AssertionError:
        return -1
    return int(bot["locks"])


@pytest.fixture(scope="module")
def locked(exchange: Exchange, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GuardRun, Bot]]:
    folder = tmp_path_factory.mktemp("locks")
    with ExitStack() as stack:
        guard = GuardRun(folder / "guard", exchange)
        bot = Bot(folder / "bot", exchange, "Obedient", [HELD, FREE, LATER])
        with (guard.folder / "guard.yaml").open("a") as file:
            url = f"http://127.0.0.1:{bot.port}"
            file.write(f"bots: {{mine: {{locks: {{exchange: binance, url: '{url}', user: u, password: p, every: 2s}}}}}}\n")
        stack.enter_context(guard)
        bot.launch()
        stack.callback(bot.end)
        bot.turn(1)
        yield guard, bot


def test_a_held_market_is_locked_and_not_entered_and_a_free_one_is(locked: tuple[GuardRun, Bot]) -> None:
    guard, bot = locked
    status, _ = bot.call("POST", "locks", [{"pair": "XRP/USDT", "until": "2099-01-01T00:00:00Z", "reason": "mine"}])
    assert status == 200
    guard.hold([HELD])
    (lock,) = wait_for("the lock is there", lambda: [each for each in locks(bot) if each["reason"].startswith("guard:")])
    assert (lock["pair"], lock["side"]) == (HELD, "*")
    bot.wish(enter=[HELD, FREE])
    wait_for("a free market is entered", lambda: FREE in bot.bought())
    bot.turn(3)
    assert HELD not in bot.bought()


def test_a_killed_guard_leaves_the_lock_and_the_next_one_takes_it_over(locked: tuple[GuardRun, Bot]) -> None:
    guard, bot = locked
    before = {each["id"] for each in locks(bot)}
    guard.end(signal.SIGKILL)
    bot.wish(enter=[HELD])
    bot.turn(3)
    assert HELD not in bot.bought()
    guard.start()
    wait_for("guard asks the bot again", lambda: pushed(guard) == 1)
    assert {each["id"] for each in locks(bot)} == before


def test_an_addition_passes_a_lock(locked: tuple[GuardRun, Bot]) -> None:
    """The control, and why locks are no replacement for the mixin."""
    guard, bot = locked
    guard.hold([FREE])
    wait_for("the lock is there", lambda: FREE in {each["pair"] for each in locks(bot)})
    after = bot.last_order()
    bot.wish(add=[FREE])
    wait_for("the addition is bought", lambda: FREE in bot.bought(after=after))


def test_a_release_takes_the_lock_away_and_that_of_a_person_stays(locked: tuple[GuardRun, Bot]) -> None:
    guard, bot = locked
    bot.wish(enter=[HELD])
    guard.command("quarantine", "release", f"binance:{HELD}", "--reason", "a test")
    wait_for("it is entered", lambda: HELD in bot.bought())
    assert {each["pair"] for each in locks(bot)} == {FREE, "XRP/USDT"}


def test_a_bypass_takes_all_of_them_away(locked: tuple[GuardRun, Bot]) -> None:
    guard, bot = locked
    guard.hold([LATER])
    wait_for("the lock is there", lambda: LATER in {each["pair"] for each in locks(bot)})
    guard.command("bypass", "--for", "1h", "--reason", "a test")
    wait_for("no lock of guard is left", lambda: [each["pair"] for each in locks(bot)] == ["XRP/USDT"])
