"""The examples of running guard as a service and in containers, tried as far as one machine without either allows."""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import socket
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cli.test_run import CONFIG, environment, until
from other_users import handed, interpreter, passable

from guard.client.snapshot import SnapshotUnusable, read_snapshot
from guard.runtime.notify import Supervisor
from guard.runtime.state import StateFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"
GUARD_USER, BOTS, BOT_A, BOT_B, STRANGER = 2001, 2000, 3001, 3002, 3003
PROBE = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from guard.client import Guard
state = sys.argv[2]
found = {"reason": "", "problem": None, "opened": [], "made": []}
bot = Guard(state)
found["reason"] = bot.check("sim", "BTC/USDT", "buy").reason
found["problem"] = bot.problem
places = ["tokens.json", "ledger.sqlite", "lock", "bypass", "snapshot/guard.snapshot"]
for place in places:
    for mode in ("rb", "r+b"):
        try:
            open(os.path.join(state, place), mode).close()
            found["opened"].append([place, mode])
        except OSError:
            pass
for folder in ("", "snapshot"):
    try:
        open(os.path.join(state, folder, "mine"), "x").close()
        found["made"].append(folder)
    except OSError:
        pass
import socket
for door in ("operator.sock", "http.sock"):
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(os.path.join(state, door))
            found["opened"].append([door, "socket"])
    except OSError:
        pass
try:
    os.listdir(state)
    found["opened"].append([".", "listed"])
except OSError:
    pass
print(json.dumps(found))
"""


def started(folder: Path) -> subprocess.Popen[bytes]:
    """Start guard as its own user, with the bots' group, as the unit and the compose file do."""
    (folder / "etc").mkdir()
    (folder / "etc" / "rules").mkdir()
    (folder / "etc" / "rules" / "own.yaml").write_text(
        "rules:\n  busy: {mode: shadow, when: trades(10s) > 100000, level: warning}\n"
    )
    (folder / "etc" / "guard.yaml").write_text(CONFIG.replace("INBOX", ""))
    state = folder / "state"
    state.mkdir()
    os.chown(state, GUARD_USER, BOTS)
    state.chmod(0o710)
    folders = (ROOT, ROOT / "connectors", Path(sysconfig.get_path("purelib")))
    with handed(*folders) as (paths, descriptors), (folder / "said").open("wb") as said:
        return subprocess.Popen(
            [interpreter(), "-m", "guard", "run", "--config", str(folder / "etc" / "guard.yaml")],
            env={**environment(), "GUARD_STATE": str(state), "PYTHONPATH": ":".join(paths), "HOME": "/nonexistent"},
            cwd=folder / "etc",
            user=GUARD_USER,
            group=BOTS,
            extra_groups=[],
            stdout=said,
            stderr=subprocess.STDOUT,
            pass_fds=descriptors,
        )


def probe(state: Path, user: int, groups: list[int]) -> dict[str, Any]:
    with handed(ROOT) as (paths, descriptors):
        found = subprocess.run(
            [interpreter(), "-c", PROBE, *paths, str(state)],
            user=user,
            group=user,
            extra_groups=groups,
            capture_output=True,
            text=True,
            check=True,
            env={"PATH": "/usr/bin"},
            pass_fds=descriptors,
        )
    document: dict[str, Any] = json.loads(found.stdout)
    return document


@pytest.fixture
def folder() -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root, to be three users")
    with passable() as folder:
        yield folder


@pytest.fixture
def deployed(folder: Path) -> Iterator[Path]:
    guard = started(folder)
    state = folder / "state"

    def answers() -> bool:
        assert guard.poll() is None, (folder / "said").read_text()
        try:
            snapshot = read_snapshot(str(state / "snapshot" / "guard.snapshot"))
        except SnapshotUnusable:
            return False
        return snapshot is not None and (state / "operator.sock").exists()

    try:
        until(answers, within_s=60)
        (state / "tokens.json").write_text('{"version": 1, "tokens": []}')
        (state / "tokens.json").chmod(0o600)
        os.chown(state / "tokens.json", GUARD_USER, BOTS)
        yield state
    finally:
        guard.terminate()
        guard.wait(60)


def test_bots_of_the_group_read_the_snapshot_and_nothing_else_and_strangers_not_even_that(deployed: Path) -> None:
    for bot in (BOT_A, BOT_B):
        found = probe(deployed, bot, [BOTS])
        assert found["reason"] != "guard_silent", found
        assert found["problem"] is None
        assert found["opened"] == [["snapshot/guard.snapshot", "rb"]]
        assert found["made"] == []
    stranger = probe(deployed, STRANGER, [])
    assert stranger["reason"] == "guard_silent"
    assert "cannot be read" in stranger["problem"]
    assert stranger["opened"] == []
    assert {path.stat().st_mode & 0o077 for path in deployed.iterdir() if path.name != "snapshot"} == {0}
    assert deployed.stat().st_mode & 0o777 == 0o710


def test_a_state_folder_is_closed_unless_somebody_let_a_group_pass(tmp_path: Path) -> None:
    for mode, kept in ((0o755, 0o700), (0o750, 0o700), (0o710, 0o710), (0o770, 0o700)):
        folder = tmp_path / oct(mode)
        folder.mkdir(mode=mode)
        folder.chmod(mode)
        with StateFolder(folder):
            assert folder.stat().st_mode & 0o777 == kept


@pytest.mark.parametrize("unit", ["guard.service", "guard-agent.service"])
def test_systemd_finds_nothing_wrong_with_a_unit_and_little_exposed(unit: str, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze")
    # The only thing wrong on a machine without guard is that its program is not there.
    text = (EXAMPLES / "systemd" / unit).read_text().replace("/opt/guard/bin/guard", "/bin/true")
    (tmp_path / unit).write_text(text)
    found = subprocess.run([analyze, "verify", str(tmp_path / unit)], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr.strip()) == (0, "")
    scored = subprocess.run(
        [analyze, "security", "--offline=true", str(tmp_path / unit)], capture_output=True, text=True, check=False
    ).stdout
    level = float(scored.rpartition("exposure level for")[2].split(":")[1].split()[0])
    assert level < 3.0


async def test_systemd_is_told_that_guard_is_up_and_that_its_loop_turns(tmp_path: Path) -> None:
    import asyncio

    from alerts.support import MovedClock

    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(tmp_path / "notify"))
    told.settimeout(2)
    clock = MovedClock()
    running = asyncio.create_task(Supervisor({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "9000000"}).run(clock))
    await clock.advance(3)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    told.settimeout(0)
    heard = []
    while True:
        try:
            heard.append(told.recv(100))
        except BlockingIOError:
            break
    told.close()
    assert heard == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_the_compose_file_keeps_users_apart_and_lets_bots_read_one_folder_only() -> None:
    document = yaml.safe_load((EXAMPLES / "compose" / "compose.yaml").read_text())
    services = document["services"]
    guard = services.pop("guard")
    bots = services
    users = [guard["user"], *(bot["user"] for bot in bots.values())]
    assert len({user.partition(":")[0] for user in users}) == len(users) == 3
    assert "0" not in {user.partition(":")[0] for user in users}
    group = guard["user"].partition(":")[2]
    assert guard["read_only"] is True
    assert "ports" not in guard
    for bot in bots.values():
        assert bot["group_add"] == [group]
        shared = [each for each in bot["volumes"] if each.startswith(("snapshot:", "ledger:"))]
        assert shared == [f"snapshot:{bot['environment']['GUARD_STATE']}:ro"]
    named = {each.partition(":")[0] for service in (guard, *bots.values()) for each in service["volumes"]}
    assert {name for name in named if not name.startswith((".", "/"))} == set(document["volumes"])
    image = (EXAMPLES / "compose" / "Dockerfile").read_text()
    assert f"--gid {group} guard-bots" in image
    assert f"USER {guard['user']}" in image
    for service in (guard, *bots.values()):
        assert set(service) <= KEYS, set(service) - KEYS


# Of the compose specification, what a service here may say.
KEYS = {
    "build", "cap_drop", "command", "depends_on", "environment", "group_add", "healthcheck", "image", "init", "mem_limit",
    "pids_limit", "read_only", "restart", "security_opt", "tmpfs", "user", "volumes",
}  # fmt: skip


def test_the_users_of_the_examples_are_nobody_here() -> None:
    assert not {GUARD_USER, BOT_A, BOT_B, STRANGER} & {each.pw_uid for each in pwd.getpwall()}
    assert BOTS not in {each.gr_gid for each in grp.getgrall()}
