"""Trades that REST tells and a stream did not bring: lost on the way, or all of them since it died."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from ccxt_support import START_US
from test_seams import Stream, trade

from guard.errors import RateLimited
from guard.model import Flag, Kind, Status
from guard_ccxt.alive.audit import Audit
from guard_ccxt.alive.silence import Here, Silence, There, there
from guard_ccxt.options import read_options
from guard_ccxt.stream.phase import Phase

if TYPE_CHECKING:
    from guard_ccxt.stream.subscription import Subscription

S = 1_000_000


class Audited(Stream):
    """A stream that came alive with trades 100, 200 and 300 ms after the start, and an audit of it."""

    def __init__(self, *, has_single_prints: bool = True, names: tuple[int | None, ...] = (30, 33, 36)) -> None:
        super().__init__()
        self.dead: list[Subscription] = []
        self.asked = 0
        self.failure: Exception | None = None
        self.silence = Silence()
        self.audit = Audit(
            fetch_of=lambda _: self._fetch,
            on_dead=self.dead.append,
            clock=self.clock,
            counters=self.counters,
            grace_s=5.0,
            has_single_prints=has_single_prints,
        )
        self.sent = [trade(100 * at, name=name) for at, name in enumerate(names, 1)]
        self.send(*self.sent)

    async def _fetch(self, _: int | None) -> Any:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return self.past

    async def look(self, *past: dict[str, Any]) -> None:
        """Let one look at the tickers leave the stream in doubt, and REST answer with `past`."""
        self.past = list(past)
        self.clock.at_us += 60 * S
        self.audit.take([(self.stream, self.silence)])
        running = asyncio.create_task(self.audit.run())
        for _ in range(5):
            await asyncio.sleep(0)
        running.cancel()

    def marks(self) -> list[str]:
        return [
            "GAP" if row.kind == Kind.GAP else Status(row.key).name for row in self.rows.rows if row.kind in (Kind.GAP, Kind.STATUS)
        ]


async def test_a_trade_lost_between_two_that_came_is_backfilled_and_marked() -> None:
    one = Audited()
    await one.look(*one.sent, trade(150, name=31))
    late = one.rows.of(Kind.TRADE)[-1]
    assert (late.key, bool(late.flags & Flag.BACKFILL)) == (31, True)
    assert one.marks() == ["LIVE", "GAP", "LIVE"]
    gap = one.rows.of(Kind.GAP)[0]
    assert gap.key < late.at_us < gap.at_us == one.clock.now_us()
    assert (one.dead, one.stream.phase, one.counters.overlooked) == ([], Phase.LIVE, 1)
    one.send(trade(150, name=31))
    assert len(one.rows.of(Kind.TRADE)) == 4  # it does not come twice where it was only late


async def test_a_trade_after_the_last_one_proves_a_silent_stream_dead() -> None:
    one = Audited()
    await one.look(*one.sent, trade(400, name=37))
    assert one.dead == [one.stream]
    assert one.marks() == ["LIVE", "STALLED"]


async def test_a_trade_that_may_be_on_its_way_proves_nothing() -> None:
    one = Audited()
    at_ms = (one.clock.now_us() + 60 * S - START_US) // 1000 - 4_000
    await one.look(*one.sent, trade(at_ms, name=37))
    assert (one.dead, one.marks()) == ([], ["LIVE"])
    await one.look(*one.sent, trade(at_ms, name=37))
    assert one.dead == [one.stream]


@pytest.mark.parametrize("answer", [[], [trade(50, name=29)], [trade(100, name=30), trade(200, name=33), trade(300, name=36)]])
async def test_an_answer_without_news_changes_nothing(answer: list[dict[str, Any]]) -> None:
    one = Audited()
    await one.look(*answer)
    assert (one.dead, one.marks(), one.counters.audits) == ([], ["LIVE"], 1)


async def test_a_trade_lost_between_the_beginning_and_the_first_that_came_is_marked() -> None:
    one = Audited(names=())
    one.stream.confirm(at_us=START_US, received_us=START_US)
    one.stream.presumed_us = one.stream.memory.since_us = START_US
    one.send(trade(2_000, name=30))
    await one.look(trade(-500, name=27), trade(100, name=28), trade(900, name=29), trade(2_000, name=30))
    assert [row.key for row in one.rows.of(Kind.TRADE)] == [30, 29]
    assert one.marks() == ["LIVE", "GAP", "LIVE"]


async def test_where_prints_are_summed_only_what_is_newer_counts() -> None:
    one = Audited(has_single_prints=False)
    await one.look(*one.sent, trade(150, name=31))
    assert one.marks() == ["LIVE"]
    await one.look(*one.sent, trade(400, name=37))
    assert one.dead == [one.stream]


async def test_trades_without_ids_are_told_by_their_time() -> None:
    one = Audited(names=(None, None, None))
    await one.look(*one.sent)
    assert one.dead == []
    await one.look(*one.sent, trade(301))
    assert one.dead == [one.stream]


async def test_a_page_that_holds_more_by_nature_disturbs_less_and_less() -> None:
    one = Audited()
    for number in range(200):
        await one.look(*one.sent, trade(150, name=1000 + number))
    assert one.counters.overlooked < 12


async def test_a_refused_page_leaves_the_doubt_for_the_next_look() -> None:
    one = Audited()
    one.silence.misses(Here(3, 4.0, START_US), There(4.0, 9.0), now_us=START_US, steady_us=0)
    one.failure = RateLimited("no turn", retry_after_s=1.0)
    await one.look(*one.sent)
    assert one.silence.is_open
    one.failure = None
    await one.look(*one.sent)
    assert not one.silence.is_open


async def test_a_stream_that_does_not_run_is_not_asked_about() -> None:
    one = Audited()
    one.cut()
    await one.look(*one.sent)
    assert one.asked == 0


def test_a_look_leaves_nothing_open_where_the_ticker_knows_the_last_id() -> None:
    silence = Silence()
    for at in range(1, 5):
        silence.misses(
            Here(at, 1.0, at, key=at), there({"last": 1.0, "info": {"lastId": at}}), now_us=60 * S * at, steady_us=60 * S * at
        )
        assert not silence.is_open


def test_a_look_at_which_nothing_moved_here_or_there_opens_nothing() -> None:
    silence, opened = Silence(), []
    for at, volume in enumerate((5.0, 5.0, 4.5, 4.5), 1):
        silence.misses(Here(1, 1.0, 0), There(1.0, volume), now_us=60 * S * at, steady_us=60 * S * at)
        opened.append(silence.is_open)
        silence.settle(silence.state)
    assert opened == [True, False, True, False]


async def test_ids_that_ccxt_leaves_out_of_an_answer_close_a_hole() -> None:
    one = Audited()
    unnamed = [trade(100 * at) | {"info": {"sequence": str(27 + 3 * at)}} for at in range(1, 6)]
    one.cut()
    one.send(trade(500, name=42))
    one.past = unnamed
    await one.repair()
    assert one.marks() == ["LIVE", "LOST", "LIVE"]
    assert [row.key for row in one.rows.of(Kind.TRADE)] == [30, 33, 36, 39, 42]


async def test_an_answer_without_ids_about_a_stream_with_ids_repeats_nothing() -> None:
    one = Audited()
    one.cut()
    one.send(trade(500, name=42))
    one.past = [trade(100 * at) | {"info": {"sequence": str(at)}} for at in range(1, 6)]
    await one.repair()
    assert [row.at_us - START_US for row in one.rows.of(Kind.TRADE)] == [100_000, 200_000, 300_000, 400_000, 500_000]
    assert one.marks() == ["LIVE", "LOST", "GAP", "LIVE"]


@pytest.mark.parametrize(
    ("exchange", "kind", "counts"), [("gate", "spot", True), ("gate", "swap", False), ("kucoin", "spot", False)]
)
def test_ids_of_these_count_the_trades_of_a_market(exchange: str, kind: str, *, counts: bool) -> None:
    options = read_options(exchange, {})
    assert options.has_sequence(kind) is counts
    assert options.repair_parameters(kind) == {}
