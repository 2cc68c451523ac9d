"""Tokens: shown once, kept as hashes, in a file that nobody else may touch, whoever changes it at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from cli.test_run import environment

from guard.api.tokens import Scope, TokenFile, TokenWatch
from guard.errors import OperationRefused, StateError

if TYPE_CHECKING:
    from pathlib import Path


def file_in(folder: Path) -> TokenFile:
    return TokenFile(folder / "tokens.json")


def test_a_tokens_text_is_kept_nowhere(tmp_path: Path) -> None:
    text = file_in(tmp_path).add("bot", Scope.READ, b"\x07" * 32, 1)
    assert len(text) == len("guard_") + 64
    assert all(text[6:] not in path.read_text() for path in tmp_path.iterdir())
    assert (tmp_path / "tokens.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o602])
def test_no_token_counts_of_a_file_that_others_can_touch(tmp_path: Path, mode: int) -> None:
    file = file_in(tmp_path)
    text = file.add("bot", Scope.ADMIN, b"\x07" * 32, 1)
    now = [0]
    watch = TokenWatch(file, monotonic_us=lambda: now[0], wall_us=lambda: now[0])
    assert watch.find(text) is not None
    file.path.chmod(mode)
    now[0] += 1_000_000
    assert watch.find(text) is None
    assert "chmod 600" in str(watch.problem)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"tokens": [{"name": "x"}]}', "\x00", '{"tokens": 3}', "[" * 5_000])
def test_a_damaged_file_lets_nobody_in_and_says_so(tmp_path: Path, content: str) -> None:
    file = file_in(tmp_path)
    file.path.write_text(content)
    file.path.chmod(0o600)
    watch = TokenWatch(file, monotonic_us=lambda: 1, wall_us=lambda: 1)
    assert watch.find("guard_") is None
    assert "damaged" in str(watch.problem)
    with pytest.raises(StateError):
        file.add("new", Scope.READ, b"\x07" * 32, 1)


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text('{"version": 1, "tokens": []}')
    (tmp_path / "tokens.json").symlink_to(tmp_path / "other")
    with pytest.raises(StateError):
        file_in(tmp_path).tokens()


def test_an_old_text_is_good_as_long_as_was_said_and_no_longer(tmp_path: Path) -> None:
    file = file_in(tmp_path)
    old = file.add("bot", Scope.READ, b"\x07" * 32, 1)
    new = file.rotate("bot", b"\x08" * 32, 1_000, keep_us=500)
    now = [1_200]
    watch = TokenWatch(file, monotonic_us=lambda: now[0], wall_us=lambda: now[0])
    assert [watch.find(text) is not None for text in (old, new)] == [True, True]
    now[0] = 1_500
    assert [watch.find(text) is not None for text in (old, new)] == [False, True]


def test_a_token_counts_from_its_first_use_on_however_soon_after_the_last_look(tmp_path: Path) -> None:
    file = file_in(tmp_path)
    watch = TokenWatch(file, monotonic_us=lambda: 1, wall_us=lambda: 1)
    assert watch.find("guard_") is None
    text = file.add("bot", Scope.READ, b"\x07" * 32, 1)
    assert watch.current() == ()
    assert watch.find(text) is not None
    assert [each.name for each in watch.current()] == ["bot"]


def test_names_are_unique_and_plain_and_few(tmp_path: Path) -> None:
    file = file_in(tmp_path)
    for number in range(64):
        file.add(f"bot-{number}", Scope.READ, bytes([number]) * 32, 1)
    for name in ("bot-1", "one more", "a\nb", "", "x" * 65, "one-more"):
        with pytest.raises(OperationRefused):
            file.add(name, Scope.READ, b"\xff" * 32, 1)
    with pytest.raises(OperationRefused, match="no token"):
        file.remove("nobody")


def test_commands_at_once_lose_no_token(tmp_path: Path) -> None:
    file = file_in(tmp_path)
    threads = [threading.Thread(target=file.add, args=(f"bot{n}", Scope.READ, bytes([n]) * 32, n)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {token.name for token in file.tokens()} == {f"bot{n}" for n in range(16)}


def test_the_command_shows_a_token_once_and_lists_it_without(tmp_path: Path) -> None:
    def guard(*words: str) -> tuple[int, str]:
        env = {**environment(), "GUARD_STATE": str(tmp_path)}
        found = subprocess.run([sys.executable, "-m", "guard", *words], env=env, capture_output=True, text=True, check=False)
        return found.returncode, found.stdout + found.stderr

    code, shown = guard("token", "add", "bot", "--scope", "operate")
    assert (code, shown.startswith("guard_")) == (0, True)
    code, listed = guard("token", "ls")
    assert "operate" in listed
    assert shown.strip()[6:] not in listed
    assert guard("token", "add", "bot")[0] == 1
    assert guard("token", "add", "b", "--scope", "root")[0] == 2
    assert guard("token", "rotate", "bot", "--keep", "10m")[1].startswith("guard_")
    assert guard("token", "rm", "bot") == (0, "bot is removed\n")
