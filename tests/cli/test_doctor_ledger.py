"""What ``guard doctor`` says of a real ledger: sound, damaged, open to others, without backup or without room."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from cli.test_ledger import fill

from guard.cli.doctor_ledger import look_at_ledger

if TYPE_CHECKING:
    from pathlib import Path

HOUR_US = 3_600_000_000
LEDGER = "ledger.sqlite"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    asyncio.run(fill(tmp_path / "state"))
    return tmp_path / "state"


def look(state: Path, *, is_running: bool = False) -> dict[str, tuple[bool, str, str]]:
    return {what: tuple(rest) for what, *rest in look_at_ledger(state, is_running=is_running, every_us=HOUR_US)}  # type: ignore[misc]


def test_a_sound_ledger_is_well_in_every_line(state: Path) -> None:
    found = look(state, is_running=True)
    assert all(is_well for is_well, _, _ in found.values()), found
    assert "layout 2, 2 targets held, " in found["ledger file"][1]
    assert "trail ends at 4" in found["ledger file"][1]
    assert "the newest ledger-000001.sqlite of " in found["backup of the ledger"][1]


def test_a_folder_where_guard_never_ran_is_no_trouble(tmp_path: Path) -> None:
    assert look(tmp_path) == {"ledger file": (True, "none yet; it is made by the first: guard run", "")}


def test_pages_that_are_damaged_are_told_with_what_mends_them(state: Path) -> None:
    content = bytearray((state / LEDGER).read_bytes())
    content[4096 * 2 : 4096 * 6] = b"\xff" * 4096 * 4
    (state / LEDGER).write_bytes(content)
    found = look(state)
    told = [(text, mend) for is_well, text, mend in found.values() if not is_well]
    assert len(told) == 1
    assert "rebuilds it from its backups" in told[0][1]


@pytest.mark.parametrize("content", [b"", b"no ledger at all" * 100])
def test_what_is_no_ledger_is_told(state: Path, content: bytes) -> None:
    (state / LEDGER).write_bytes(content)
    is_well, text, mend = look(state)["ledger file"]
    assert (is_well, "rebuilds" in mend) == (False, True)
    assert LEDGER in text


def test_a_ledger_that_is_gone_though_it_has_backups_is_told(state: Path) -> None:
    (state / LEDGER).unlink()
    found = look(state)
    assert found["ledger file"][:2] == (False, f"there is no ledger {state / LEDGER}")
    assert found["backup of the ledger"][0]


def test_a_backup_that_is_missing_damaged_or_late_is_told(state: Path) -> None:
    backup = state / "backups" / "ledger-000001.sqlite"
    os.utime(backup, (0, 0))
    assert look(state)["backup of the ledger"][0]
    is_well, text, _ = look(state, is_running=True)["backup of the ledger"]
    assert (is_well, text.endswith("; one is due every 1h")) == (False, True)
    backup.write_bytes(b"torn")
    assert not look(state)["backup of the ledger"][0]
    backup.unlink()
    assert look(state)["backup of the ledger"][:2] == (False, "none")


def test_files_that_others_may_read_are_named_with_the_command_that_closes_them(state: Path) -> None:
    (state / LEDGER).chmod(0o644)
    (state / "backups").chmod(0o755)
    is_well, text, mend = look(state)["who may touch the ledger"]
    assert (is_well, text) == (False, f"{state / 'backups'} has mode 755; and 1 more")
    assert mend == f"chmod 700 {state / 'backups'}"


def test_a_full_disk_is_told(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(state)
    full = os.statvfs_result((real.f_bsize, real.f_frsize, real.f_blocks, 10, 10, *list(real)[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    is_well, text, mend = look(state)["room for the ledger and its backups"]
    assert (is_well, text) == (False, "0 MiB free, 100 MiB are to be there")
    assert str(state) in mend


def test_an_old_ledger_that_was_moved_aside_is_named(state: Path) -> None:
    (state / f"{LEDGER}.damaged-20260101T000000Z").touch(mode=0o600)
    assert not look(state)["old ledger"][0]
