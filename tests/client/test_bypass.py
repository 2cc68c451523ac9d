"""The bypass: honoured without a guard, ends by itself, and never made by anyone but the owner."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from client.images import BOOT_ID, MINUTE, SECOND, START_US, Machine, ManualClock, image, quarantine, view
from hypothesis import given
from hypothesis import strategies as st

from guard.client import ClearanceStatus
from guard.client.bypass import FOR_MAX_US, begin_bypass, end_bypass, prepare_bypass, read_bypass
from guard.errors import OperationRefused, StateError
from guard.model import PublishedBypass


def begin(machine: Machine, *, for_us: int = 5 * MINUTE, reason: str = "exchange announced it") -> None:
    begin_bypass(str(machine.folder / "bypass"), machine.clock.clocks(), for_us=for_us, reason=reason, actor="ann")


def test_bypass_is_honoured_within_a_second_and_ends_by_itself(machine: Machine) -> None:
    machine.publish(image(quarantine(), markets={"sim:Y/USDT": view("stale")}))
    guard = machine.guard()
    assert not guard.check("sim", "X/USDT").permitted
    begin(machine)
    machine.pass_time(0.9)
    for symbol, status in (("X/USDT", ClearanceStatus.BLOCKED), ("Y/USDT", ClearanceStatus.UNKNOWN)):
        for _ in range(2):
            clearance = guard.check("sim", symbol)
            assert (clearance.status, clearance.permitted, clearance.would_block, clearance.bypassed) == (status, True, True, True)
    assert guard.bypass is not None
    assert guard.bypass.reason == "exchange announced it"
    machine.pass_time(299)
    assert guard.check("sim", "X/USDT").permitted
    machine.pass_time(0.2)
    clearance = guard.check("sim", "X/USDT")
    assert (clearance.permitted, clearance.bypassed) == (False, False)


def test_bypass_is_honoured_with_guard_dead_or_never_started(machine: Machine) -> None:
    begin(machine)
    guard = machine.guard(strict=True)
    assert guard.check("sim", "X/USDT")[:3] == (ClearanceStatus.UNKNOWN, True, True)
    end_bypass(str(machine.folder / "bypass"))
    machine.clock.pass_time(0.9)
    assert not machine.guard().check("sim", "X/USDT").permitted


def test_ended_bypass_binds_again_within_a_second(machine: Machine) -> None:
    machine.publish(image(quarantine()))
    begin(machine)
    guard = machine.guard()
    assert guard.check("sim", "X/USDT").permitted
    end_bypass(str(machine.folder / "bypass"))
    machine.pass_time(0.9)
    assert not guard.check("sim", "X/USDT").permitted


@pytest.mark.parametrize("jump_s", [-86_400, 86_400])
def test_jump_of_the_wall_clock_neither_ends_nor_stretches_it(machine: Machine, jump_s: int) -> None:
    begin(machine)
    machine.clock.wall_us += jump_s * SECOND
    machine.clock.pass_time(299)
    assert machine.guard().check("sim", "X/USDT").bypassed
    machine.clock.pass_time(2)
    assert not machine.guard().check("sim", "X/USDT").bypassed


def test_after_a_restart_of_the_machine_the_wall_clock_ends_it(machine: Machine) -> None:
    begin(machine)
    machine.clock.boot_us = SECOND
    assert machine.guard(clocks=machine.clock.clocks(boot_id="f" * 32)).check("sim", "X/USDT").bypassed
    machine.clock.wall_us += 301 * SECOND
    assert not machine.guard(clocks=machine.clock.clocks(boot_id="f" * 32)).check("sim", "X/USDT").bypassed


def test_file_is_owner_only_and_overwritten_in_place(machine: Machine) -> None:
    path = machine.folder / "bypass"
    prepare_bypass(str(path))
    first = path.stat()
    begin(machine)
    end_bypass(str(path))
    begin(machine, reason="again")
    second = path.stat()
    assert (first.st_ino, first.st_size) == (second.st_ino, second.st_size)
    assert stat.S_IMODE(second.st_mode) == 0o600
    prepare_bypass(str(path))
    assert machine.guard().check("sim", "X/USDT").bypassed


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_file_that_others_may_touch_is_ignored_and_told(machine: Machine, mode: int) -> None:
    begin(machine)
    (machine.folder / "bypass").chmod(mode)
    machine.publish(image())
    guard = machine.guard()
    assert not guard.check("sim", "X/USDT").bypassed
    assert "chmod 600" in str(guard.problem)


def test_link_in_its_place_is_ignored_and_not_written_through(machine: Machine, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    (machine.folder / "bypass").symlink_to(elsewhere)
    assert read_bypass(str(machine.folder / "bypass"), machine.clock.clocks())[0] is None
    with pytest.raises(StateError, match="cannot be written"):
        begin(machine)
    assert elsewhere.read_text() == "precious"


@pytest.mark.parametrize(("for_us", "reason"), [(0, "x"), (-1, "x"), (FOR_MAX_US + 1, "x"), (MINUTE, " ")])
def test_bypass_without_a_bound_or_a_reason_is_refused(machine: Machine, for_us: int, reason: str) -> None:
    with pytest.raises(OperationRefused):
        begin(machine, for_us=for_us, reason=reason)


GOOD = {
    "version": 1,
    "until_us": 10**15 + 1,
    "until_boot_ns": 10**18,
    "boot_id": "",
    "began_us": 10**15,
    "reason": "r",
    "actor": "a",
}


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "null",
        '"text"',
        "[" * 3000,
        *(json.dumps({name: value for name, value in GOOD.items() if name != gone}) for gone in GOOD if gone != "version"),
        json.dumps({**GOOD, "until_us": 10**30}),
        json.dumps({**GOOD, "until_us": True}),
        json.dumps({**GOOD, "until_us": 1.5e15}),
        json.dumps({**GOOD, "until_boot_ns": "9"}),
        json.dumps({**GOOD, "reason": None}),
    ],
)
def test_malformed_file_is_ignored_and_told(machine: Machine, content: str) -> None:
    path = machine.folder / "bypass"
    path.write_text(content)
    path.chmod(0o600)
    machine.publish(image())
    guard = machine.guard()
    assert not guard.check("sim", "X/USDT").bypassed
    assert "is ignored" in str(guard.problem)


def test_forged_boot_end_lasts_no_longer_than_the_longest_bypass(machine: Machine) -> None:
    path = machine.folder / "bypass"
    clocks = machine.clock.clocks()
    forged = {**GOOD, "boot_id": clocks.boot_id, "until_boot_ns": 1 << 70}
    path.write_text(json.dumps(forged))
    path.chmod(0o600)
    found, _ = read_bypass(str(path), clocks)
    assert found is not None
    assert found.end_ns(clocks) == clocks.boot_ns() + FOR_MAX_US * 1000


@given(st.text(max_size=600), st.text(max_size=600))
def test_any_reason_fits_the_file(reason: str, actor: str) -> None:
    import tempfile

    if not reason.strip():
        return
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder))
        path = str(machine.folder / "bypass")
        clocks = machine.clock.clocks()
        written = begin_bypass(path, clocks, for_us=MINUTE, reason=reason, actor=actor)
        assert read_bypass(path, clocks) == (written, None)
        assert Path(path).stat().st_size == 4096


def published(clock: ManualClock, **more: object) -> PublishedBypass:
    plain = PublishedBypass(
        START_US + MINUTE, clock.boot_us * 1000 + MINUTE * 1000, BOOT_ID, START_US, "the exchange lies", "ann"
    )  # fmt: skip
    return plain._replace(**more)  # type: ignore[arg-type]


def test_bot_that_cannot_read_the_file_goes_by_what_a_live_guard_published(machine: Machine) -> None:
    machine.publish(image(quarantine(), bypass=published(machine.clock)))
    guard = machine.guard()
    clearance = guard.check("sim", "X/USDT")
    assert (clearance.permitted, clearance.bypassed, clearance.permitted_by) == (True, True, "bypass")
    assert str(guard.bypass and guard.bypass.reason) == "the exchange lies"
    machine.pass_time(61)
    assert not guard.check("sim", "X/USDT").permitted


def test_published_bypass_ends_when_guard_falls_silent(machine: Machine) -> None:
    machine.publish(image(quarantine(), bypass=published(machine.clock)))
    guard = machine.guard()
    assert guard.check("sim", "Y/USDT").bypassed
    machine.clock.pass_time(2.1)
    assert [guard.check("sim", symbol).permitted for symbol in ("X/USDT", "Y/USDT")] == [False, False]


def test_file_that_can_be_read_goes_before_what_was_published(machine: Machine) -> None:
    prepare_bypass(machine.guard().places.bypass)
    machine.publish(image(quarantine(), bypass=published(machine.clock)))
    assert not machine.guard().check("sim", "X/USDT").permitted


def test_published_bypass_of_more_than_a_day_is_ignored(machine: Machine) -> None:
    endless = published(machine.clock, until_us=START_US + 25 * 60 * MINUTE, until_boot_ns=1 << 62)
    machine.publish(image(quarantine(), bypass=endless))
    assert not machine.guard().check("sim", "X/USDT").permitted


def test_published_bypass_ends_by_the_wall_clock_where_clocks_cannot_be_compared(machine: Machine) -> None:
    machine.publish(image(quarantine(), bypass=published(machine.clock)))
    guard = machine.guard(clocks=machine.clock.clocks(ahead_us=3600 * SECOND))
    guard.check("sim", "X/USDT")
    machine.pass_time(0.5)
    assert guard.check("sim", "X/USDT").bypassed
    machine.pass_time(60)
    assert not guard.check("sim", "X/USDT").permitted
