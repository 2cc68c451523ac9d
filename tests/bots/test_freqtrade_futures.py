"""The failure matrix on futures, long and short, with guard on the bot's own host and behind a ``guard agent``.

Three bots get the same wishes at the same time: guard's mixin first among the bases beside guard's own snapshot, guard's mixin last
beside the snapshot of an agent, and no guard at all. What is quarantined is spelt in every way that reaches a contract.
"""

from __future__ import annotations

import json
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import pytest
from freqtrade_agent import AgentRun, Road, free_port, open_http
from freqtrade_processes import FAKETIME, wait_for
from freqtrade_support import Bot, GuardRun
from freqtrade_world import SPOILS, World

from guard.client import Guard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freqtrade_support import Exchange

LONG: Final = ["MOON/USDT:USDT", "SUDS/USDT:USDT"]
SHORT: Final = ["YAWN/USDT:USDT", "KELP/USDT:USDT"]
HELD: Final = ["binanceusdm:MOON/USDT:USDT", "base:SUDS", "symbol:YAWN/USDT:USDT", "base:SEAWEED"]
"""What quarantines LONG and SHORT: the contract, the asset, the symbol, and the asset under a name of guard.yaml's ``aliases``."""
KEPT_LONG: Final = "DOGE/USDT:USDT"
KEPT_SHORT: Final = "XRP/USDT:USDT"
KEPT: Final = [KEPT_LONG, KEPT_SHORT]
REDUCED_LONG: Final = "LINK/USDT:USDT"
REDUCED_SHORT: Final = "AVAX/USDT:USDT"
REDUCED: Final = [REDUCED_LONG, REDUCED_SHORT]
RESTING_LONG: Final = "LAYR/USDT:USDT"
RESTING_SHORT: Final = "FROST/USDT:USDT"
RESTING: Final = [RESTING_LONG, RESTING_SHORT]
FREE_LONG: Final = ["ETH/USDT:USDT", "BTC/USDT:USDT"]
FREE_SHORT: Final = ["SOL/USDT:USDT", "BNB/USDT:USDT"]
ROWS: Final = 19
WATCHED: Final = [*LONG, *SHORT, *KEPT, *FREE_LONG, *FREE_SHORT]
SPOT: Final = ["MOON/USDT", "SUDS/USDT", "BNB/USDT"]


@pytest.fixture(scope="module")
def world(exchange: Exchange, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("futures")
    leaving = [f"{pair}:USDT" for pair in exchange.pairs if pair.startswith("C0")][:ROWS]
    pairs = [*WATCHED, *REDUCED, *RESTING, *leaving]
    futures = {"trading_mode": "futures", "margin_mode": "isolated"}
    with ExitStack() as stack:
        port = free_port()
        road = stack.enter_context(Road(port))
        more = "aliases: {KELP: SEAWEED}\n" + open_http(road.port, port)
        guard = GuardRun(folder / "guard", exchange, markets=SPOT, contracts=WATCHED, more=more)
        agent = AgentRun(folder / "agent", guard, road)
        bots = [
            Bot(folder / name, exchange, name, pairs, **futures, guard={"path": str(state), "bot": bot})
            for name, state, bot in (("BothFirst", guard.state, "first"), ("BothLast", agent.state, "last"), ("Both", "", ""))
        ]
        for bot in bots:
            bot.launch()
            stack.callback(bot.end)
            short = [KEPT_SHORT, REDUCED_SHORT, RESTING_SHORT, *leaving[::2]]
            bot.wish(enter=[KEPT_LONG, REDUCED_LONG, RESTING_LONG, *leaving[1::2]], short=short, rest=RESTING)
        stack.enter_context(guard)
        stack.enter_context(agent)
        held = {*KEPT, *REDUCED, *leaving}
        for bot in bots:
            wait_for(f"{bot.strategy} holds what it is to hold", lambda bot=bot: held <= bot.holds())
            wait_for("orders rest", lambda bot=bot: waiting(bot) == set(RESTING))
            bot.wish()
        world = World(guard, bots[:2], bots[2], leaving, new=LONG, short=SHORT, kept=KEPT, agent=agent)
        yield world
        world.show()


def waiting(bot: Bot) -> set[str]:
    return {order.pair for order in bot.orders() if order.pair in RESTING and order.is_entry and order.status == "open"}


def sides(bot: Bot) -> dict[str, bool]:
    return {order.pair: order.is_short for order in bot.orders() if order.is_entry}


def test_free_contracts_are_entered_long_and_short(world: World) -> None:
    for bot in world.bots:
        bot.wish(enter=FREE_LONG[:1], short=FREE_SHORT[:1])
        wait_for(f"{bot.strategy} enters", lambda bot=bot: {FREE_LONG[0], FREE_SHORT[0]} <= bot.holds())
        assert sides(bot)[FREE_SHORT[0]] is sides(bot)[KEPT_SHORT] is True
        assert sides(bot)[FREE_LONG[0]] is sides(bot)[KEPT_LONG] is False


def test_a_hold_of_the_spot_market_alone_leaves_the_contract_and_one_of_the_asset_does_not(world: World) -> None:
    contract = FREE_SHORT[1]
    world.guard.hold(["BNB/USDT"])
    for bot in world.guarded:
        bot.wish(short=[contract])
        wait_for("the contract is entered", lambda bot=bot: contract in bot.holds())
    world.guard.hold_targets(["base:BNB"])
    for bot in world.guarded:
        wait_for("the refusal arrives", lambda bot=bot: refused(bot, contract))
        before = bot.last_order()
        bot.wish(add=[contract])
        bot.turn(2)
        assert contract in bot.tried("add")
        # Resting orders are placed anew at each candle; nothing else is bought.
        assert bot.bought(after=before) <= set(RESTING)


def client(bot: Bot) -> Guard:
    return Guard(bot.config["guard"]["path"], tells=False)


def refused(bot: Bot, pair: str) -> bool:
    return not client(bot).check("binanceusdm", pair, "sell", "open").permitted


def heard(bot: Bot) -> bool:
    return client(bot).problem is None


def test_quarantine_comes_and_resting_entry_orders_go(world: World) -> None:
    world.guard.hold_targets(HELD)
    world.guard.hold([*KEPT, *REDUCED, *RESTING, *world.leaving], "binanceusdm")
    for bot in world.guarded:
        wait_for("the orders are cancelled", lambda bot=bot: not waiting(bot))
    assert waiting(world.control) == set(RESTING)


def test_without_guard_entries_and_additions_happen(world: World) -> None:
    """The control: it can fail, so the rows mean something."""
    bot = world.control
    bot.wish(enter=LONG, short=SHORT, add=KEPT)
    before = bot.last_order()
    wait_for("entries and additions", lambda: {*LONG, *SHORT, *KEPT} <= bot.bought(after=before))
    assert [sides(bot)[pair] for pair in (*LONG, *SHORT)] == [False, False, True, True]


def test_guard_and_the_agent_live(world: World) -> None:
    world.row("guard and agent live")


def test_guard_knows_what_a_bot_holds_long_and_short(world: World) -> None:
    def told() -> bool:
        bots = json.loads(world.guard.command("--json", "status"))["bots"]["bots"]
        held: dict[str, float] = next((each["positions"] or {} for each in bots if each["bot"] == "first"), {})
        return held.get(f"binanceusdm:{KEPT_LONG}", 0.0) > 0.0 > held.get(f"binanceusdm:{KEPT_SHORT}", 0.0)

    wait_for("the positions are in guard's status", told)


def test_partial_exits_pass(world: World) -> None:
    for bot in world.guarded:
        bot.wish(reduce=REDUCED)
        wait_for("partial exits", lambda bot=bot: set(REDUCED) <= bot.sold())
        assert len([order for order in bot.orders() if order.pair in REDUCED]) == 4


def test_forced_entries_and_additions_are_refused_and_forced_exits_pass(world: World) -> None:
    for bot in world.guarded:
        bot.wish()
        bot.turn(1)
        before = bot.last_order()
        wanted = [
            (LONG[0], "long"),
            (LONG[1], "short"),
            (SHORT[0], "short"),
            (SHORT[1], "long"),
            (KEPT_LONG, "long"),
            (KEPT_SHORT, "short"),
        ]
        for pair, side in wanted:
            status, answer = bot.call("POST", "forceenter", {"pair": pair, "side": side, "stakeamount": 30})
            assert (status, "Failed to enter position" in str(answer)) == (502, True), answer
        assert not bot.bought(after=before)
        for trade in bot.call("GET", "status")[1]:
            if trade["pair"] in REDUCED:
                assert bot.call("POST", "forceexit", {"tradeid": str(trade["trade_id"])})[0] == 200
        wait_for("the forced exits", lambda bot=bot, before=before: set(REDUCED) <= bot.sold(after=before))
    bot = world.control
    before = bot.last_order()
    assert bot.call("POST", "forceenter", {"pair": KEPT_SHORT, "side": "short", "stakeamount": 30})[0] == 200
    assert KEPT_SHORT in bot.bought(after=before)


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")
def test_the_wall_clock_of_the_agent_jumps(world: World) -> None:
    assert world.agent is not None
    for name, offset in (("ahead", "+86400"), ("back", "-86400")):
        world.agent.set_wall(offset)
        world.row(f"the agent's clock jumps a day {name}")
    world.agent.set_wall("+0")


def test_the_agent_hangs_dies_and_comes_back(world: World) -> None:
    agent = world.agent
    assert agent is not None
    agent.tell(signal.SIGSTOP)
    world.row("agent hangs (SIGSTOP)")
    agent.tell(signal.SIGCONT)
    world.row("agent goes on (SIGCONT)")
    agent.end(signal.SIGKILL)
    world.row("agent killed (SIGKILL)")
    wait_for("the agent's lease runs out", lambda: not heard(world.guarded[1]))
    world.nothing_opens(world.guarded[1], FREE_LONG[1:], FREE_SHORT[:1])
    agent.start()
    world.row("agent restarted after the kill")
    agent.end()
    world.row("agent stopped (SIGTERM)")
    agent.start()


def test_the_connection_is_lost(world: World) -> None:
    agent = world.agent
    assert agent is not None
    agent.road.state = "lost"
    world.row("connection silent")
    wait_for("the agent's lease runs out", lambda: not heard(world.guarded[1]))
    world.nothing_opens(world.guarded[1], FREE_LONG[1:], FREE_SHORT[:1])
    agent.road.state = "cut"
    world.row("connection refused")
    agent.road.state = "open"
    wait_for("the agent follows again", agent.is_well)
    world.row("connection back")


def test_guard_hangs_dies_and_comes_back(world: World) -> None:
    world.hang_and_die()
    for bot in world.guarded:
        wait_for("the lease runs out", lambda bot=bot: not heard(bot))
        world.nothing_opens(bot, FREE_LONG[1:], FREE_SHORT[:1])
    world.guard.start()
    world.row("guard restarted after the kill")


def test_the_snapshots_are_spoiled_and_bots_restart_beside_them(world: World) -> None:
    with world.spoiled() as (paths, mend):
        for what in ("snapshot cut to half its header", "snapshot of another version"):
            for path in paths:
                SPOILS[what](path)
            world.row(what)
            mend()
        for path in paths:
            SPOILS["snapshot half-written"](path)
        world.restart_bots()
        world.row("bot restarted, snapshot half-written")
        for path in paths:
            path.unlink()
        world.row("snapshot deleted")


def test_a_bot_is_held_back_on_the_sides_that_guard_yaml_names(world: World) -> None:
    """Last: what is entered here stays."""
    with world.guard.yaml.open("a") as file:
        file.write("bots: {first: {sides: [buy]}, last: {sides: [sell]}}\n")
    for bot in world.bots:
        bot.wish()
        bot.turn(1)
    world.live()
    for bot in world.guarded:
        wait_for("the policy arrives", lambda bot=bot: heard(bot))
    for bot, free, held, own in ((world.guarded[0], SHORT, LONG, KEPT_SHORT), (world.guarded[1], LONG, SHORT, KEPT_LONG)):
        before = bot.last_order()
        bot.wish(enter=LONG, short=SHORT, add=KEPT)
        wait_for(
            "the other side is entered", lambda bot=bot, before=before, free=free, own=own: {*free, own} <= bot.bought(after=before)
        )
        bot.turn(2)
        assert set(held) <= bot.tried("entry")
        assert bot.tried("add") == set(KEPT)
        assert bot.bought(after=before) == {*free, own}
        bot.wish()
        bot.turn(1)
        for pair in KEPT:
            status, answer = bot.call("POST", "forceenter", {"pair": pair, "side": "long", "stakeamount": 30})
            assert (status == 200) is (pair == own), (pair, answer)
        assert "Unexpected error" not in bot.log
