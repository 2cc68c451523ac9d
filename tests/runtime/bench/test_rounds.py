"""Interleaving."""

from __future__ import annotations

import gc

from guard.runtime.bench.rounds import interleaved, timed
from guard.runtime.clock import SystemClock


def test_tasks_take_turns_and_the_order_is_turned_every_other_round() -> None:
    calls: list[str] = []

    def task(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    figures = interleaved([lambda: task("a"), lambda: task("b")], 2)
    assert calls == ["a", "b", "a", "b", "b", "a"]
    assert figures == [[3.0, 6.0], [4.0, 5.0]]


def test_without_warming_every_round_counts() -> None:
    calls: list[int] = []
    figures = interleaved([lambda: calls.append(1) or 1.0], 3, warm=False)
    assert figures == [[1.0, 1.0, 1.0]]
    assert len(calls) == 3


def test_garbage_is_not_collected_while_a_task_is_timed_and_is_afterwards() -> None:
    seen: list[bool] = []
    assert timed(lambda: seen.append(gc.isenabled()), SystemClock()) > 0.0
    assert seen == [False]
    assert gc.isenabled()
