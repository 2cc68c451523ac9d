"""The state folder: one guard at a time, for its owner only."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from guard.client.places import locate
from guard.errors import StateError
from guard.runtime.state import StateFolder

if TYPE_CHECKING:
    from pathlib import Path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_and_files_are_for_the_owner_and_the_snapshot_for_a_group(tmp_path: Path) -> None:
    with StateFolder(tmp_path / "deep" / "state") as state:
        assert (mode(state.path), mode(state.snapshot_folder), mode(state.caches)) == (0o700, 0o750, 0o700)
        assert (mode(state.lock), mode(state.bypass)) == (0o600, 0o600)
        (state.path / "anything").touch()
        assert mode(state.path / "anything") == 0o600


def test_names_are_those_a_bot_finds(tmp_path: Path) -> None:
    state, places = StateFolder(tmp_path), locate(tmp_path)
    assert tuple(map(str, (state.path, state.snapshot, state.bypass, state.socket))) == places
    assert list(tmp_path.iterdir()) == []


def test_loose_folder_of_ours_is_tightened(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o777)
    (tmp_path / "state").chmod(0o777)
    with StateFolder(tmp_path / "state") as state:
        assert mode(state.path) == 0o700


def test_second_guard_is_refused_and_told_which_process_holds_it(tmp_path: Path) -> None:
    with StateFolder(tmp_path), pytest.raises(StateError, match=rf"process {os.getpid()}\)"):
        StateFolder(tmp_path).open()
    StateFolder(tmp_path).open().close()


def test_killed_guard_leaves_the_lock_free(tmp_path: Path) -> None:
    code = (
        "import sys, time; from guard.runtime.state import StateFolder; s = StateFolder(sys.argv[1]).open();"
        "print(1, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(StateError, match=f"process {other.pid}"):
            StateFolder(tmp_path).open()
        other.kill()
    with StateFolder(tmp_path) as state:
        assert state.lock.read_text() == f"{os.getpid()}\n"


def test_lock_file_deleted_under_a_guard_does_not_fool_the_one_after_the_next(tmp_path: Path) -> None:
    with StateFolder(tmp_path) as state:
        state.lock.unlink()
        with StateFolder(tmp_path), pytest.raises(StateError):
            StateFolder(tmp_path).open()


def test_lock_file_deleted_between_opening_and_locking_is_taken_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, state = fcntl.flock, StateFolder(tmp_path)
    deleted: list[Path] = []

    def delete_then_lock(file: int, operation: int) -> None:
        if not deleted:
            deleted.append(state.lock)
            state.lock.unlink()
        real(file, operation)

    monkeypatch.setattr("fcntl.flock", delete_then_lock)
    with state:
        assert deleted
        with pytest.raises(StateError, match="another guard"):
            StateFolder(tmp_path).open()


def test_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    with pytest.raises(StateError, match="guard runs as 12345"):
        StateFolder(tmp_path).open()


def test_file_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(StateError, match="is a file"):
        StateFolder(tmp_path / "state").open()
    with pytest.raises(StateError, match="cannot be used"):
        StateFolder(tmp_path / "state" / "below").open()


def test_folder_that_others_share_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "of_someone").touch()
    tmp_path.chmod(0o1777)
    with pytest.raises(StateError, match="a folder of its own"):
        StateFolder(tmp_path).open()
    assert mode(tmp_path) == 0o1777


def test_failed_opening_leaves_no_lock_behind(tmp_path: Path) -> None:
    StateFolder(tmp_path).open().close()
    (tmp_path / "snapshot").rmdir()
    (tmp_path / "snapshot").touch()
    with pytest.raises(StateError):
        StateFolder(tmp_path).open()
    (tmp_path / "snapshot").unlink()
    StateFolder(tmp_path).open().close()


def test_bypass_in_force_outlives_a_restart(tmp_path: Path) -> None:
    StateFolder(tmp_path).open().close()
    (tmp_path / "bypass").write_text("kept")
    StateFolder(tmp_path).open().close()
    assert (tmp_path / "bypass").read_text() == "kept"
