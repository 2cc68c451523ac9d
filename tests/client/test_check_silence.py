"""What a bot is told while guard is silent, was stopped, never ran, or counts by another clock."""

from __future__ import annotations

import pytest
from client.images import SECOND, START_US, Machine, image, quarantine
from client.test_check import ALLOWED, BLOCKED, UNKNOWN

from guard.errors import NotRunning
from guard.model import IsolationState


def test_silence_turns_allowed_into_unknown_two_seconds_after_the_last_heartbeat(machine: Machine) -> None:
    machine.publish(image())
    guard = machine.guard()
    machine.clock.pass_time(1.999)
    assert guard.check("sim", "X/USDT").status is ALLOWED
    machine.clock.pass_time(0.002)
    clearance = guard.check("sim", "X/USDT")
    assert clearance[:4] == (UNKNOWN, False, True, "guard_silent")
    assert clearance.age_ms == pytest.approx(2001)
    assert "no heartbeat of guard for 2.0 s" in str(guard.problem)
    machine.publisher.beat()
    assert guard.check("sim", "X/USDT").status is ALLOWED
    assert guard.problem is None


def test_unexpired_block_stands_while_guard_is_silent_and_then_is_unknown(machine: Machine) -> None:
    machine.publish(image(quarantine(), quarantine("sim:Y/USDT", state=IsolationState.PROBATION)))
    guard = machine.guard()
    machine.clock.pass_time(29 * 60)
    assert guard.check("sim", "X/USDT").status is BLOCKED
    shrunk = guard.check("sim", "Y/USDT")
    assert (shrunk.status, shrunk.reason, shrunk.permitted) == (UNKNOWN, "guard_silent", False)
    machine.clock.pass_time(2 * 60)
    assert guard.check("sim", "X/USDT")[:4] == (UNKNOWN, False, True, "guard_silent")


def test_stopped_guard_is_silent_within_a_millisecond_and_keeps_its_blocks(machine: Machine) -> None:
    machine.publish(image(quarantine()))
    guard = machine.guard()
    assert guard.check("sim", "Y/USDT").permitted
    machine.publisher.stop()
    machine.clock.pass_time(0.001)
    assert guard.check("sim", "Y/USDT").reason == "guard_silent"
    assert guard.check("sim", "X/USDT").status is BLOCKED
    assert "was stopped" in str(guard.problem)


def test_image_that_says_guard_does_not_run_is_silent(machine: Machine) -> None:
    machine.publish(image(is_running=False))
    assert machine.guard().check("sim", "X/USDT").reason == "guard_silent"


def test_without_any_file_it_refuses_to_open_and_says_how_to_mend_it(machine: Machine) -> None:
    guard = machine.guard()
    clearance = guard.check("sim", "X/USDT")
    assert clearance[:4] == (UNKNOWN, False, True, "guard_silent")
    assert clearance.age_ms is None
    assert "start `guard run`" in str(guard.problem)
    machine.clock.pass_time(0.1)
    machine.publish(image())
    assert guard.check("sim", "X/USDT").status is ALLOWED


def test_strict_raises_only_where_silence_refuses(machine: Machine) -> None:
    guard = machine.guard(strict=True)
    with pytest.raises(NotRunning, match="no guard has published"):
        guard.check("sim", "X/USDT")
    assert guard.check("sim", "X/USDT", "sell").permitted
    machine.publish(image(quarantine()))
    machine.clock.pass_time(0.1)
    assert guard.check("sim", "X/USDT").status is BLOCKED


def test_heartbeat_of_another_clock_counts_only_while_it_is_seen_to_move(machine: Machine) -> None:
    machine.publish(image())
    for ahead_us in (-3600 * SECOND, 3600 * SECOND):
        guard = machine.guard(clocks=machine.clock.clocks(ahead_us=ahead_us))
        assert guard.check("sim", "X/USDT").reason == "guard_silent"
        machine.pass_time(0.5)
        assert guard.check("sim", "X/USDT").status is ALLOWED
        assert guard.check("sim", "X/USDT").age_ms == pytest.approx(500)
        machine.pass_time(3, beats=False)
        assert guard.check("sim", "X/USDT").reason == "guard_silent"
        # A bound on the clocks' difference may not make a dead heartbeat young.
        machine.pass_time(3595, beats=False)
        for _ in range(20):
            machine.clock.pass_time(0.5)
            assert guard.check("sim", "X/USDT").reason == "guard_silent"
        machine.publisher.beat()


def test_file_of_an_earlier_start_of_the_machine_keeps_blocks_by_the_wall_clock(machine: Machine) -> None:
    machine.publish(image(quarantine(until_us=START_US + 60 * SECOND)))
    machine.clock.boot_us = 10 * SECOND
    guard = machine.guard(clocks=machine.clock.clocks(boot_id="f" * 32))
    assert guard.check("sim", "X/USDT").status is BLOCKED
    assert guard.check("sim", "Y/USDT").reason == "guard_silent"
    machine.clock.boot_us = 9000 * SECOND
    assert guard.check("sim", "Y/USDT").reason == "guard_silent"
    assert machine.guard(clocks=machine.clock.clocks(boot_id="f" * 32)).check("sim", "Y/USDT").reason == "guard_silent"
    machine.clock.wall_us += 61 * SECOND
    machine.clock.boot_us += 61 * SECOND
    assert guard.check("sim", "X/USDT").reason == "guard_silent"
