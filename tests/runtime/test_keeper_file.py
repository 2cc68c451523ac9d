"""The file of the keeper: when it is written and of what, what a bad one costs, and no crash again and again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from features.streams import SECOND, START
from loop_turns import LoopTurns
from runtime.feeds import A, Script
from runtime.test_keeper import FACTS, HOUR, MEDIAN, MINUTE, SHORT, Run, kept_after_hours
from runtime.test_live import bench, until

from guard.features.kernel import Kernel
from guard.model import BUY, Channel, Flag, Kind, Market, Status
from guard.runtime import checkpoint
from guard.runtime.checkpoint import Entry, Header
from guard.runtime.keeper import Keeper
from guard.runtime.status import keeper_record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from alerts.support import MovedClock

    from guard.model.ports import Sink


async def test_nothing_is_written_before_the_ledger_has_all_that_was_decided(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.open()
    run.trades(START, START + MINUTE)
    run.is_committed = False
    await run.keeper.keep()
    assert not (tmp_path / "checkpoint").exists()
    run.is_committed = True
    await run.keeper.keep()
    assert (tmp_path / "checkpoint").exists()


async def test_only_markets_that_changed_are_copied_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path)
    for base in "ABC":
        run.open(FACTS._replace(market=Market("x", f"{base}/USDT")))
    copied: list[str] = []
    stock = run.keeper._copy

    def noted(row: int) -> object:
        copy = stock(row)
        copied.extend([] if copy is None else [copy[0]])
        return copy

    monkeypatch.setattr(run.keeper, "_copy", noted)
    run.put(Kind.TRADE, START, row=0, price=1.0)
    run.put(Kind.TRADE, START, row=2, price=1.0)
    await run.keeper.keep()
    assert copied == ["x:A/USDT", "x:C/USDT"]
    run.put(Kind.TRADE, START + SECOND, row=2, price=1.0)
    await run.keeper.keep()
    assert copied[2:] == ["x:C/USDT"]
    assert run.keeper.health.markets == 2


async def test_a_market_whose_exchange_was_not_reached_is_kept_on(tmp_path: Path) -> None:
    end_us, _, median = await kept_after_hours(tmp_path)
    unreached = Run(tmp_path, now_us=end_us + MINUTE)
    await unreached.keeper.keep()
    later = Run(tmp_path, now_us=end_us + HOUR)
    assert later.open()
    later.live(end_us + HOUR)
    assert later.value(MEDIAN, end_us + HOUR) == median
    after = Run(tmp_path, now_us=end_us + 20 * HOUR)
    assert not after.open()


async def test_a_start_that_dies_soon_is_not_given_the_same_state_again(tmp_path: Path) -> None:
    end_us, _, _ = await kept_after_hours(tmp_path)
    assert Run(tmp_path, now_us=end_us).open()
    dead = Run(tmp_path, now_us=end_us)
    assert not dead.open()
    assert "ended soon after" in str(dead.keeper.health.refused)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.refused"]
    dead.trades(START, START + 12)
    await dead.keeper.keep()
    assert Run(tmp_path, now_us=end_us).open()


async def test_a_state_that_may_have_ended_guard_is_put_aside(tmp_path: Path) -> None:
    end_us, _, _ = await kept_after_hours(tmp_path)
    run = Run(tmp_path, now_us=end_us)
    run.open()
    await run.keeper.keep()
    run.keeper.discard()
    await run.keeper.keep()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.refused"]
    assert not Run(tmp_path, now_us=end_us).open()


@pytest.mark.parametrize("content", [b"", b"\x00" * 5000, b"guardckp\x01\x00\xff\xff\xff\xff", b"not a checkpoint at all"])
def test_a_damaged_file_is_told_and_starts_cold(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint").write_bytes(content)
    run = Run(tmp_path)
    assert not run.open()
    assert "checkpoint" in str(run.keeper.health.refused)


async def test_another_layout_is_refused_with_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end_us, _, _ = await kept_after_hours(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Kernel, "layout_version", 99)
        run = Run(tmp_path, now_us=end_us)
        assert "this guard reads layout 99" in str(run.keeper.health.refused)
        assert not run.open()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        checkpoint.pack(checkpoint.Kept({}, {"floats:1": b"short"})),
        checkpoint.pack(checkpoint.Kept({"h": {"level": "no"}}, {})),
    ],
    ids=["no body", "other sections", "no sections"],
)
def test_one_market_that_cannot_be_taken_starts_cold_and_guard_runs(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "checkpoint"
    checkpoint.write(path, Header(Kernel([]).layout_version, "0", START), {str(A): Entry(START, body)})
    run = Run(tmp_path, now_us=START + SECOND)
    run.open()
    run.live(START + SECOND)
    run.trades(START + SECOND, START + 40 * SECOND)
    assert run.value(SHORT, START + 40 * SECOND) == 10.0


async def test_a_disk_that_is_full_is_counted_and_guard_runs_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path)
    run.open()
    run.trades(START, START + MINUTE)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("guard.runtime.checkpoint.write", full)
        await run.keeper.keep()
    assert run.keeper.health.failures == 1
    await run.keeper.keep()
    assert run.keeper.health.written_us is not None


class Slow:
    """Rows of real size whose copies take their time."""

    layout_version = 1

    def __init__(self, clock: MovedClock) -> None:
        self.clock = clock
        self.content = bytes(160_000)

    def version(self, row: int) -> int:
        return row + self.clock.monotonic_us()

    def sections(self, row: int) -> list[tuple[str, bytes]]:
        del row
        self.clock._now_us += 150
        return [("ring:1000000", self.content)]

    def take(self, row: int, sections: Mapping[str, bytes]) -> None:
        del row, sections


async def test_copying_500_markets_never_holds_the_loop_for_a_millisecond(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for number in range(500):
        run.open(FACTS._replace(market=Market("x", f"C{number}/USDT")))
        run.put(Kind.TRADE, START, row=number, price=1.0)
    run.keeper._rows = Slow(run.clock)
    async with LoopTurns() as turns:
        await run.keeper.keep()
    assert run.keeper.health.markets == 500
    assert run.keeper.health.pause_max_us < 1_000
    assert turns.count > 100


async def test_a_guard_that_stops_leaves_its_state_to_the_next(tmp_path: Path) -> None:
    def say(markets: Mapping[Market, int], sink: Sink) -> None:
        for row in markets.values():
            sink.append(Kind.STATUS, row, at_us=1, received_us=1, side=Channel.ALL, key=Status.LIVE)
            sink.append(Kind.TRADE, row, at_us=2, received_us=2, price=1.0, amount=1.0, side=BUY, flags=Flag.NONE)

    found = []
    for _ in range(2):
        script = Script()
        script.live = say
        async with bench(tmp_path) as at_work:
            live = at_work.live
            live.pipeline.engine.kernel = Kernel(live.pipeline.engine.program.leaves)
            live.keeper = Keeper(
                live.pipeline, live.pipeline.engine.kernel, tmp_path / "checkpoint", clock=live.clock, committed=live.all_committed
            )
            live.keeper.open()
            at_work.feed(script)
            stop = asyncio.Event()
            running = asyncio.create_task(at_work.run(stop))
            await until(lambda live=live: live.inlet.received >= 4 and not live.inlet.waiting)
            stop.set()
            await running
            found.append(keeper_record(live, live.clock.now_us()))
    assert [each["restored_markets"] for each in found] == [0, 2]
    assert all(each["markets"] == 2 and each["failures"] == 0 and each["bytes"] > 0 for each in found)
