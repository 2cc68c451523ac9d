"""Reading a long past lets others run: bots ask over HTTP meanwhile."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from loop_turns import LoopTurns

from guard_ccxt.bench.clock import MachineClock
from guard_ccxt.rest.candles import candle_rows
from guard_ccxt.rest.history import History
from guard_ccxt.rest.pace import Pace
from guard_ccxt.stream.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard_ccxt.stream.gate import TradeRow

NOW_US = 1_700_000_000_000_000


async def test_a_day_of_candles_is_read_in_slices_with_the_same_rows() -> None:
    nobody: Any = None
    clock = MachineClock()
    history = History(nobody, rest=nobody, gate=Gate(offset=nobody), counters=nobody, clock=clock, pace=Pace(clock))
    first_ms = NOW_US // 1000 - 1440 * 60_000
    candles = [[first_ms + number * 60_000, 1.0, 1.2, 0.9, 1.1, 10.0] for number in range(1440)]

    def passed(candle: Sequence[Any]) -> list[TradeRow]:
        return candle_rows(candle, Gate(offset=nobody), now_us=NOW_US)

    async with LoopTurns() as turns:
        rows = await history._passed(candles, passed)
    assert rows == [row for candle in candles for row in passed(candle)]
    assert turns.count >= 40


async def test_of_all_who_read_at_once_one_has_its_turn_and_then_the_loop() -> None:
    begun: list[int] = []

    async def read(pace: Pace, turns: LoopTurns) -> None:
        for _ in range(5):
            await pace.run(lambda: begun.append(turns.count))

    pace = Pace(MachineClock())
    async with LoopTurns() as turns:
        await asyncio.gather(*(read(pace, turns) for _ in range(4)))
    assert len(begun) == 20
    assert all(later > before for before, later in pairwise(begun))


async def test_a_piece_that_fails_holds_nobody_up() -> None:
    pace = Pace(MachineClock())

    def fail() -> None:
        raise ValueError("a piece")

    with pytest.raises(ValueError, match="a piece"):
        await pace.run(fail)
    done: list[bool] = []
    await pace.run(lambda: done.append(True))
    assert done
