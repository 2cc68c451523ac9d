"""The machine's clock as guard takes it."""

from __future__ import annotations

import time

import pytest

from guard.client.clock import MACHINE
from guard.runtime.clock import SystemClock, seeded_random


def test_wall_time_is_that_of_the_machine_at_start() -> None:
    assert abs(SystemClock().now_us() - MACHINE.wall_us()) < 1_000_000


@pytest.mark.parametrize("jump_s", [-86_400, 86_400])
def test_set_wall_clock_moves_nothing_and_is_told(monkeypatch: pytest.MonkeyPatch, jump_s: int) -> None:
    clock = SystemClock()
    before_us = clock.now_us()
    real = time.time_ns  # noqa: TID251 - the clock that is set here
    monkeypatch.setattr("time.time_ns", lambda: real() + jump_s * 1_000_000_000)
    assert 0 <= clock.now_us() - before_us < 1_000_000
    assert abs(clock.jump_us() - jump_s * 1_000_000) < 1_000_000
    assert abs(SystemClock().now_us() - before_us - jump_s * 1_000_000) < 1_000_000


def test_boot_clock_is_the_one_that_bots_read() -> None:
    clock = SystemClock()
    times = [MACHINE.boot_ns() // 1000, clock.monotonic_us(), MACHINE.boot_ns() // 1000]
    assert times == sorted(times)


async def test_sleep_waits() -> None:
    clock = SystemClock()
    before_us = clock.monotonic_us()
    await clock.sleep(0.01)
    assert clock.monotonic_us() - before_us >= 9_000


def test_chance_is_repeatable_by_seed_and_differs_without() -> None:
    def numbers(seed: int | None) -> list[float]:
        chance = seeded_random(seed)
        return [chance.random() for _ in range(3)]

    assert numbers(1) == numbers(1) != numbers(2)
    assert numbers(None) != numbers(None)
    assert all(0 <= number < 1 for number in numbers(None))
