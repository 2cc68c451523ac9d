"""Bots that report over a real socket: who falls silent, who holds what is blocked, and what hostile datagrams can do: nothing."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from alerts.support import MovedClock
from hypothesis import given
from hypothesis import strategies as st

from guard.client import Guard
from guard.client.reports import DATAGRAM_BYTES_MAX, SOCKET_NAME
from guard.model import Block, Decision, Delivery, Hold, IsolationState, Level, Market, Quarantine, Target, TargetKind
from guard.runtime.asked import AskedMarkets
from guard.runtime.bot_reports import BOTS_MAX
from guard.runtime.bot_watch import BotWatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

X = "sim:X/USDT"


def held(opened_us: int) -> Quarantine:
    hold = Hold(rule="pump", market=Market.parse(X), target=Target(TargetKind.MARKET, X), level=Level.DANGER, reason="up",
                for_us=1, max_us=1, block=Block.ENTRIES, release_for_us=None, max_fraction=0.25)  # fmt: skip
    return Quarantine("a" * 12, hold, IsolationState.QUARANTINED, opened_us, opened_us + 1, opened_us + 1, opened_us + 1)


class Bench:
    def __init__(self, folder: Path, silent_after: dict[str, int | None] | None = None) -> None:
        self.clock = MovedClock()
        self.said: list[tuple[str, str]] = []
        self.blocks: list[Quarantine] = []
        self.watch = BotWatch(
            lambda market: [each for each in self.blocks if each.target.covers(market)],
            self.clock,
            lambda _key, title, body, _level: self.said.append((title, body)),
            silent_after,
        )
        self.folder = folder
        self.asked = AskedMarkets(folder, self.clock, self.watch.hear)

    async def pass_minutes(self, minutes: int) -> None:
        for _ in range(minutes * 4):
            await self.clock.advance(15)
            self.watch.look()

    def report(self, bot: str | None = "mine", *, pid: int = 7, **words: Any) -> None:  # noqa: ANN401 - whatever a bot says
        said = {"bot": bot, "kind": "ccxt", "pid": pid, "version": "1", "loops": True, "totals": {}, "markets": {}, **words}
        self.watch.hear(said)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    (tmp_path / "snapshot").mkdir()
    made = Bench(tmp_path / "snapshot")
    made.asked.open()
    yield made
    made.asked.close()


async def heard(bench: Bench, count: int) -> None:
    for _ in range(200):
        if len(bench.watch.reports.bots) == count:
            return
        await asyncio.sleep(0.01)
    assert len(bench.watch.reports.bots) == count


async def test_client_reports_counts_and_positions_and_says_goodbye(bench: Bench, tmp_path: Path) -> None:
    guard = Guard(tmp_path, "mine")
    guard.count("sim", "X/USDT", "blocked")
    guard.report(bot_kind="ccxt", positions={X: 2, "sim:Y/USDT": "0", "sim:Z/USDT": "many"})
    guard.goodbye()
    await heard(bench, 1)
    await asyncio.sleep(0.05)
    [shown] = bench.watch.record()["bots"]
    assert (shown["bot"], shown["kind"], shown["pid"], shown["version"], shown["parted"]) == (
        "mine",
        "ccxt",
        os.getpid(),
        "0.1.0",
        True,
    )
    assert shown["totals"]["blocked"] == 1
    assert shown["markets"] == {X: {"blocked": 1}}
    assert shown["positions"] == {X: 2.0}
    await bench.pass_minutes(60)
    assert bench.said == []


async def test_process_that_ends_by_itself_parts_and_one_that_is_killed_is_missed(bench: Bench, tmp_path: Path) -> None:
    script = (
        "import os,sys; from guard.client import Guard; g=Guard(sys.argv[1], sys.argv[2]); g.report(bot_kind='x', positions={}); "
    )
    for name, end in (("polite", ""), ("killed", "os._exit(9)")):
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", script + end, str(tmp_path), name)
        await process.wait()
    await heard(bench, 1 + 1)
    await asyncio.sleep(0.05)
    await bench.pass_minutes(30)
    assert [title for title, _ in bench.said] == ["the bot killed fell silent"]


async def test_silent_bot_is_told_once_and_once_when_it_is_back(bench: Bench) -> None:
    bench.report(positions={X: 3})
    await bench.pass_minutes(9)
    assert bench.said == []
    await bench.pass_minutes(60)
    assert [title for title, _ in bench.said] == ["the bot mine fell silent"]
    assert "held 3 sim:X/USDT" in bench.said[0][1]
    assert bench.watch.record()["silent"] == ["mine"]
    bench.report(pid=8)
    await bench.pass_minutes(5)
    assert [title for title, _ in bench.said][1:] == ["the bot mine is back"]


async def test_hundred_bots_that_fall_silent_make_one_message(bench: Bench) -> None:
    for number in range(40):
        bench.report(f"bot{number}")
    await bench.pass_minutes(60)
    assert len(bench.said) == 1
    assert bench.said[0][0].endswith("and 32 more fell silent")


async def test_bot_without_a_loop_is_not_missed_unless_guard_yaml_names_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"*": 600_000_000, "daily": 3_600_000_000, "quiet": None})
    for name in ("any", "daily", "quiet"):
        bench.report(name, loops=name == "quiet")
    await bench.pass_minutes(59)
    assert bench.said == []
    await bench.pass_minutes(3)
    assert [title for title, _ in bench.said] == ["the bot daily fell silent"]


async def test_named_bot_that_never_came_is_missed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"mine": 300_000_000})
    await bench.pass_minutes(4)
    assert bench.said == []
    await bench.pass_minutes(30)
    assert [title for title, _ in bench.said] == ["the bot mine fell silent"]
    assert "not heard since guard started" in bench.said[0][1]
    bench.report()
    await bench.pass_minutes(2)
    assert bench.said[1][0] == "the bot mine is back"


async def test_a_bot_that_guard_yaml_names_while_guard_runs_is_missed_from_then_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.pass_minutes(60)
    bench.watch.follow({"mine": 300_000_000})
    await bench.pass_minutes(4)
    assert bench.said == []
    await bench.pass_minutes(2)
    assert [title for title, _ in bench.said] == ["the bot mine fell silent"]


async def test_a_silent_bot_that_is_given_more_time_is_not_missed_any_more_but_not_called_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"mine": 300_000_000})
    bench.report()
    await bench.pass_minutes(7)
    bench.watch.follow({"mine": 1_200_000_000})
    await bench.pass_minutes(5)
    assert [title for title, _ in bench.said] == ["the bot mine fell silent", "the bot mine is not missed any more"]
    await bench.pass_minutes(10)
    assert [title for title, _ in bench.said][2:] == ["the bot mine fell silent"]
    bench.watch.follow({"mine": None})
    assert bench.said[3][0] == "the bot mine is not missed any more"
    bench.watch.follow({"mine": 60_000_000})
    await bench.pass_minutes(1)
    bench.report()
    await bench.pass_minutes(1)
    assert [title for title, _ in bench.said][4:] == ["the bot mine fell silent", "the bot mine is back"]


def test_each_order_of_a_bot_is_counted_once_by_the_rule_that_holds_its_market(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    sums: Counter[tuple[str, str]] = Counter()
    bench.watch.count = lambda what, name, amount: sums.update({(what, name): int(amount)})
    began_us = bench.clock.monotonic_us() + 1
    bench.blocks.append(held(bench.clock.now_us()))
    bench.report(totals={"seen": 3, "blocked": 2}, markets={X: {"seen": 2, "blocked": 2}}, began_us=began_us)
    # The same again, then one more on a market that no rule holds, and one that the report had no room for.
    bench.report(totals={"seen": 3, "blocked": 2}, markets={X: {"seen": 2, "blocked": 2}}, began_us=began_us)
    bench.report(totals={"seen": 6, "blocked": 4, "bypassed": 1, "exits": 9}, markets={"sim:Y/USDT": {"blocked": 1, "bypassed": 1}})
    bench.report(bot=None, pid=8, totals={"seen": 1, "would_block": 1}, markets={X: {"would_block": 1}}, began_us=began_us)
    assert sums == {
        ("orders.seen", "mine|"): 6,
        ("orders.refused", "mine|pump"): 2,
        ("orders.refused", "mine|"): 2,
        ("orders.bypassed", "mine|"): 1,
        ("orders.seen", "ccxt|"): 1,
        ("orders.would_refuse", "ccxt|pump"): 1,
    }


@pytest.mark.parametrize("began_us", [None, 1])
def test_what_a_process_counted_before_guard_started_is_not_counted_again(tmp_path: Path, began_us: int | None) -> None:
    bench = Bench(tmp_path)
    sums: Counter[tuple[str, str]] = Counter()
    bench.watch.count = lambda what, name, amount: sums.update({(what, name): int(amount)})
    bench.report(totals={"seen": 500, "blocked": 90}, markets={X: {"blocked": 80}}, began_us=began_us)
    bench.report(
        totals={"seen": 501, "blocked": 91}, markets={X: {"blocked": 81}, "sim:Y/USDT": {"blocked": 10}}, began_us=began_us
    )
    assert sums == {("orders.seen", "mine|"): 1, ("orders.refused", "mine|"): 1}


async def test_machine_that_slept_makes_no_bot_silent(bench: Bench) -> None:
    bench.report()
    bench.watch.look()
    await bench.clock.advance(8 * 3600)
    bench.watch.look()
    await bench.pass_minutes(5)
    assert bench.said == []


async def test_holders_of_a_blocked_market_are_shown_and_told(bench: Bench) -> None:
    bench.report(positions={X: -2.5, "sim:Y/USDT": 1})
    bench.blocks.append(held(bench.clock.now_us()))
    assert bench.watch.record()["bots"][0]["holds_blocked"] == [X]
    sent = Delivery("1", "1", "c", "quarantine", Level.DANGER, "t", "body", 1, 1, 2, market=X)
    others = (sent._replace(kind="webhook"), sent._replace(market="sim:Z/USDT"))
    told = bench.watch.told(Decision(1, deliveries=(sent, *others)))
    assert told.deliveries[0].body == "body\nHeld by mine -2.5. Exits always pass."
    assert told.deliveries[1:] == others


async def test_position_that_grows_long_after_the_block_is_counted(bench: Bench) -> None:
    bench.report(positions={X: 1})
    bench.blocks.append(held(bench.clock.now_us()))
    await bench.clock.advance(10)
    bench.report(positions={X: 2})
    assert bench.watch.record()["bots"][0]["grew_while_blocked"] == {}
    await bench.clock.advance(60)
    bench.report(positions={X: 1})
    bench.report(positions={X: 5})
    assert bench.watch.record()["bots"][0]["grew_while_blocked"] == {X: 1}


async def test_bots_markets_and_positions_are_bounded_and_those_that_live_keep_their_place(bench: Bench) -> None:
    many = {f"sim:M{number}/USDT": {"seen": 1} for number in range(2_000)}
    bench.report(markets=many, positions=dict.fromkeys(many, 1.0))
    [bot] = bench.watch.reports.bots.values()
    assert (len(bot.markets), len(bot.positions or {}), bot.positions_left_out) == (500, 200, 1_800)
    for number in range(200):
        bench.report(None, pid=number)
    assert len(bench.watch.reports.bots) == BOTS_MAX
    assert any(one.key.name == "mine" for one in bench.watch.reports.bots.values())
    assert bench.watch.record()["dropped_reports"] > 100


async def test_datagram_that_is_too_long_is_dropped(bench: Bench) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.sendto(b'{"pid": 1, "totals": {}, "x": "' + b"x" * DATAGRAM_BYTES_MAX + b'"}', str(bench.folder / SOCKET_NAME))
    for _ in range(100):
        if bench.asked.dropped:
            break
        await asyncio.sleep(0.01)
    assert (bench.asked.dropped, len(bench.watch.reports.bots)) == (1, 0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
KEYS = ["bot", "kind", "pid", "version", "loops", "totals", "markets", "positions", "bye", "market"]


@given(st.one_of(st.binary(max_size=200), st.dictionaries(st.sampled_from(KEYS), JSON).map(lambda said: json.dumps(said).encode())))
def test_whatever_arrives_raises_nothing_and_can_be_shown(raw: bytes) -> None:
    from pathlib import Path

    bench = Bench(Path())
    bench.report(positions={X: 1})
    bench.asked._take(raw)
    bench.watch.look()
    json.dumps(bench.watch.record(), allow_nan=False)


def test_client_keeps_its_datagrams_small_and_its_memory_bounded(tmp_path: Path) -> None:
    guard = Guard(tmp_path, "b" * 500)
    for number in range(3_000):
        guard.count("an_exchange_with_a_name", f"{'COIN' * 10}{number}/USDT:USDT", "blocked")
    guard.report(bot_kind="ccxt", positions={f"exchange:{'COIN' * 10}{number}/USDT": 1.5 for number in range(3_000)})
    reports = guard._reports
    assert len(reports._counts) == 1_024
    assert len(json.dumps(reports._document(), separators=(",", ":")).encode()) <= DATAGRAM_BYTES_MAX
