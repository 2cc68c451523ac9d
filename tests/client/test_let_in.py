"""A bot of another user that may not read the snapshot: what it is told to do is done, as a person would, and then it reads."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from client.images import image, quarantine
from other_users import handed, interpreter, passable

from guard.client.places import how_to_let_in
from guard.runtime.clock import SystemClock
from guard.runtime.publish import SnapshotPublisher
from guard.runtime.state import StateFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

BOT, OTHERS = 3003, 3004
ROOT = Path(__file__).parents[2]
ASK = """
import json, sys
sys.path.insert(0, sys.argv[1])
from guard.client import Guard
guard = Guard(sys.argv[2], tells=False)
print(json.dumps([guard.check("sim", "X/USDT", "buy").status, guard.problem]))
"""


def asked(state: Path, *groups: int) -> tuple[str, str | None]:
    with handed(ROOT) as (paths, descriptors):
        found = subprocess.run(
            [interpreter(), "-c", ASK, *paths, str(state)],
            user=BOT, group=BOT, extra_groups=groups, capture_output=True, text=True, check=True, cwd="/",
            env={"PATH": "/usr/bin"}, pass_fds=descriptors,
        )  # fmt: skip
    status, problem = json.loads(found.stdout)
    return status, problem


def command_of(problem: str | None) -> str:
    assert problem is not None
    assert "cannot be read by user 3003" in problem
    return problem.split("`")[1]


@pytest.fixture
def state() -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root, to be two users")
    with passable() as folder:
        # What a person's shell makes of it, a quote included.
        yield folder / "it's mine" / ".guard"


def published(state: Path) -> None:
    """Let a guard start, publish, and end."""
    with StateFolder(state):
        clock = SystemClock()
        publisher = SnapshotPublisher(state / "snapshot", clock)
        held = quarantine(until_us=clock.now_us() + 3_600_000_000)
        publisher.publish(image(held), epoch=1, seq=publisher.generation, durable=True)
        publisher.renew()
        publisher.publish(image(held), epoch=1, seq=publisher.generation, durable=True)
        publisher.stop()


def test_a_bot_that_is_let_in_as_it_says_reads_and_does_so_after_a_restart(state: Path) -> None:
    state.parent.mkdir(mode=0o700)
    published(state)
    tried: list[str] = []
    for _ in range(5):
        status, problem = asked(state)
        if status == "blocked":
            break
        tried.append(command_of(problem))
        subprocess.run(["/bin/sh", "-c", tried[-1]], check=True)
    assert [each.split()[0] for each in tried] == ["chmod", "chgrp"]
    assert asked(state)[0] == "blocked"
    published(state)
    assert asked(state)[0] == "blocked"
    assert (state.stat().st_mode & 0o777, state.joinpath("bypass").stat().st_mode & 0o777) == (0o710, 0o600)


def test_where_the_files_are_for_a_group_the_bot_is_to_join_it(state: Path) -> None:
    state.mkdir(parents=True)
    state.parent.chmod(0o711)
    for folder in (state, state / "snapshot"):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o710)
        os.chown(folder, 0, OTHERS)
    published(state)
    assert command_of(asked(state)[1]) == f'usermod --append --groups {OTHERS} "$(id -nu {BOT})"'
    assert asked(state, OTHERS)[0] == "blocked"


def test_a_snapshot_folder_mounted_alone_is_opened_without_what_lies_above(state: Path) -> None:
    published(state)
    for path in (state.parent, state):
        path.chmod(0o711)
    assert state.name not in command_of(asked(state)[1]).split("&&")[0].split()
    subprocess.run(["/bin/sh", "-c", command_of(asked(state)[1])], check=True)
    assert asked(state)[0] == "blocked"


def test_what_can_be_read_needs_nothing(tmp_path: Path) -> None:
    assert how_to_let_in(str(tmp_path)) == "guard status"
