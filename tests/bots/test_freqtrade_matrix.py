"""The failure matrix: real Freqtrade in dry-run, a real guard, the embedded exchange; one row a fault.

Three bots get the same wishes at the same time: guard's mixin first among the bases, guard's mixin last, and no guard at all.
In every row the two must enter and add nothing on quarantined markets and leave whatever they hold there; the third shows that
the row would have traded.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import pytest
from freqtrade_processes import FAKETIME, wait_for
from freqtrade_support import Bot, GuardRun
from freqtrade_world import SPOILS, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freqtrade_support import Exchange

NEW: Final = ["MOON/USDT", "SUDS/USDT"]
KEPT: Final = ["DOGE/USDT", "XRP/USDT"]
REDUCED: Final = "LINK/USDT"
RESTING: Final = "AVAX/USDT"
ROWS: Final = 20
FREE: Final = ["ETH/USDT", "SOL/USDT", "BNB/USDT"]


@pytest.fixture(scope="module")
def world(exchange: Exchange, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("matrix")
    pairs = exchange.pairs
    leaving = [pair for pair in pairs if pair.startswith("C0")][:ROWS]
    pairs = [*NEW, *KEPT, *FREE, REDUCED, RESTING, *leaving]
    with ExitStack() as stack:
        guard = GuardRun(folder / "guard", exchange, markets=[*NEW, *KEPT, *FREE])
        settings = {"guard": {"path": str(guard.state)}}
        bots = [Bot(folder / name, exchange, name, pairs, **settings) for name in ("GuardFirst", "GuardLast", "Obedient")]
        for bot in bots:
            bot.launch()
            stack.callback(bot.end)
            bot.wish(enter=[*KEPT, REDUCED, RESTING, *leaving], rest=[RESTING])
        stack.enter_context(guard)
        held = {*KEPT, REDUCED, *leaving}
        for bot in bots:
            wait_for(f"{bot.strategy} holds what it is to hold", lambda bot=bot: held <= bot.holds())
            wait_for("an order rests", lambda bot=bot: any(each.pair == RESTING and each.status == "open" for each in bot.orders()))
            bot.wish()
        world = World(guard, bots[:2], bots[2], leaving, new=NEW, kept=KEPT)
        yield world
        world.show()


def test_a_market_that_is_free_is_entered(world: World) -> None:
    for bot in world.bots:
        bot.wish(enter=FREE[:1])
        wait_for(f"{bot.strategy} enters", lambda bot=bot: FREE[0] in bot.bought())


def test_quarantine_comes_and_resting_entry_orders_go(world: World) -> None:
    world.guard.hold([*NEW, *KEPT, REDUCED, RESTING, *world.leaving])
    for bot in world.guarded:
        wait_for(
            "the order is cancelled", lambda bot=bot: not [o for o in bot.orders() if o.pair == RESTING and o.status == "open"]
        )
        assert not [order for order in bot.orders() if order.pair == RESTING]  # a trade that never filled is forgotten
    assert [order.status for order in world.control.orders() if order.pair == RESTING][-1] == "open"


def test_without_guard_entries_and_additions_happen(world: World) -> None:
    """The control: it can fail, so the rows mean something."""
    bot = world.control
    bot.wish(enter=NEW, add=KEPT)
    before = bot.last_order()
    wait_for("entries and additions", lambda: {*NEW, *KEPT} <= bot.bought(after=before))


def test_guard_lives(world: World) -> None:
    world.row("guard lives")


def test_a_partial_exit_passes(world: World) -> None:
    for bot in world.guarded:
        bot.wish(reduce=[REDUCED])
        wait_for("a partial exit", lambda bot=bot: REDUCED in bot.sold())
        assert len([order for order in bot.orders() if order.pair == REDUCED]) == 2


def test_forced_entries_and_additions_are_refused_and_a_forced_exit_passes(world: World) -> None:
    for bot in world.guarded:
        bot.wish()
        bot.turn(1)
        before = bot.last_order()
        for pair in (NEW[0], KEPT[0], REDUCED):
            status, answer = bot.call("POST", "forceenter", {"pair": pair, "side": "long", "stakeamount": 30})
            assert (status, "Failed to enter position" in str(answer)) == (502, True), answer
        assert not bot.bought(after=before)
        trades = bot.call("GET", "status")[1]
        number = next(trade["trade_id"] for trade in trades if trade["pair"] == REDUCED)
        assert bot.call("POST", "forceexit", {"tradeid": str(number)})[0] == 200
        wait_for("the forced exit", lambda bot=bot, before=before: REDUCED in bot.sold(after=before))
    bot = world.control
    before = bot.last_order()
    assert bot.call("POST", "forceenter", {"pair": KEPT[0], "side": "long", "stakeamount": 30})[0] == 200
    assert KEPT[0] in bot.bought(after=before)


def test_the_wall_clock_jumps(world: World) -> None:
    world.row("the bot's clock jumps a day ahead", jump_s=86_400)
    world.row("the bot's clock jumps a day back", jump_s=-86_400)


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")
def test_the_wall_clock_of_guard_jumps(world: World) -> None:
    for name, offset in (("ahead", "+86400"), ("back", "-86400")):
        world.guard.set_wall(offset)
        world.row(f"guard's clock jumps a day {name}")
    world.guard.set_wall("+0")


def test_guard_hangs_dies_and_comes_back(world: World) -> None:
    world.hang_and_die()
    for bot in world.guarded:
        world.nothing_opens(bot, FREE[1:])
    world.guard.start()
    world.row("guard restarted after the kill")
    world.guard.end()
    world.row("guard stopped (SIGTERM)")
    world.guard.start()
    for bot in world.guarded:
        bot.wish(enter=FREE[1:2])
        wait_for("a free market is entered again", lambda bot=bot: FREE[1] in bot.bought())


def test_the_snapshot_is_spoiled(world: World) -> None:
    with world.spoiled() as ((path,), mend):
        for what, spoil in SPOILS.items():
            spoil(path)
            world.row(what)
            mend()


def test_the_bot_restarts_beside_a_spoiled_snapshot(world: World) -> None:
    """A bot that never saw the blocks knows nothing: in enforce it enters nothing at all, and leaves what it holds."""
    with world.spoiled() as ((path,), _):
        SPOILS["snapshot half-written"](path)
        world.restart_bots()
        world.row("bot restarted, snapshot half-written")
        path.unlink(missing_ok=True)
        world.row("bot restarted, snapshot deleted")


def test_everything_is_well_again(world: World) -> None:
    world.live()
    world.row("guard restarted, snapshot written anew")
    for bot in world.guarded:
        bot.wish(enter=FREE[2:])
        wait_for("a free market is entered again", lambda bot=bot: FREE[2] in bot.bought())
        assert "Unexpected error" not in bot.log
        assert bot.log.count("guard refuses to open MOON/USDT") <= 6
    world.guard.command("quarantine", "release", f"binance:{NEW[0]}", "--reason", "the test ends")
    for bot in world.guarded:
        bot.wish(enter=NEW[:1])
        wait_for("a released market is entered", lambda bot=bot: NEW[0] in bot.bought())
