"""The ledger under kill -9, full disks, locks and failing calls."""
# ruff: noqa: ASYNC220 - a test has nothing else to do meanwhile

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from store.decisions import HandClock, decision, delivery

from guard.errors import StateError, Unavailable
from guard.runtime.clock import seeded_random
from guard.store import LedgerStore

WRITER = Path(__file__).with_name("ledger_writer.py")
KILLS = 20
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (WRITER.parents[2], WRITER.parents[1])))}


def child(path: Path, argument: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(WRITER), str(path), argument], stdout=subprocess.PIPE, env=ENVIRONMENT)


def quick_check(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("PRAGMA quick_check").fetchone()[0])


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LedgerStore]:
    made = LedgerStore(tmp_path / "ledger.sqlite", HandClock(), busy_timeout_s=0.05)
    yield made
    await made.close()


async def test_no_acknowledged_commit_is_lost_by_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    chance = seeded_random(7)
    acknowledged: set[int] = set()
    last_seq = 0
    children = [child(path, "1")]
    for kill in range(KILLS):
        writer = children[-1]
        for _ in range(1 + int(12 * chance.random())):
            line = writer.stdout.readline().split()
            acknowledged |= {int(line[0]), int(line[1])}
            last_seq = int(line[2])
        writer.kill()
        for line in writer.stdout.read().splitlines():
            acknowledged |= {int(each) for each in line.split()[:2]}
            last_seq = int(line.split()[2])
        writer.wait()
        writer.stdout.close()
        assert quick_check(path) == "ok"
        store = LedgerStore(path, HandClock())
        state = await store.open()
        assert state.epoch == 2 * kill + 2
        held = {int(each.target.name[5:-5]) for each in state.quarantines}
        assert acknowledged <= held == {int(each.id[1:]) for each in state.pending}
        assert len(held) % 2 == 0
        assert (await store.verify()).rows == state.seq == 2 * len(held) >= last_seq
        await store.close()
        if kill < KILLS - 1:
            children.append(child(path, str(max(held) + 1)))


async def test_a_writer_that_was_suspended_and_replaced_ends_at_its_next_commit(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    command = [sys.executable, str(WRITER), str(path), "asked"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    writer = subprocess.Popen(command, env=ENVIRONMENT, **pipes)
    writer.stdin.write(b"\n")
    writer.stdin.flush()
    assert writer.stdout.readline() == b"1 2 4\n"
    writer.send_signal(signal.SIGSTOP)
    store = LedgerStore(path, HandClock(), busy_timeout_s=0.05)
    state = await store.open()
    writer.send_signal(signal.SIGCONT)
    _, told = writer.communicate(b"\n", timeout=60)
    assert writer.returncode != 0
    assert b"another guard took the ledger" in told
    assert (await store.load()).seq == state.seq == 4
    await store.close()


def test_a_disk_that_takes_no_more_loses_nothing_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    writer = child(path, "limit")
    told, _ = writer.communicate(timeout=60)
    assert writer.returncode == 0
    assert b"does not answer" in told
    assert quick_check(path) == "ok"


async def test_a_full_database_raises_and_the_retry_succeeds(store: LedgerStore) -> None:
    epoch = (await store.open()).epoch
    await store.commit([decision(1)], epoch=epoch)
    ((pages,),) = await store._connection.execute_fetchall("PRAGMA page_count")
    await store._connection.execute_fetchall(f"PRAGMA max_page_count = {pages}")
    many = [decision(number) for number in range(2, 60)]
    with pytest.raises(Unavailable, match="database or disk is full"):
        await store.commit(many, epoch=epoch)
    state = await store.load()
    assert (state.seq, len(state.quarantines), len(state.pending)) == (2, 1, 1)
    await store._connection.execute_fetchall("PRAGMA max_page_count = 1073741823")
    assert await store.commit(many, epoch=epoch) == 118
    assert (await store.verify()).rows == 118


async def test_a_locked_database_raises_and_the_retry_succeeds(store: LedgerStore) -> None:
    epoch = (await store.open()).epoch
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            await store.commit([decision(1)], epoch=epoch)
        with pytest.raises(Unavailable, match="locked"):
            await store.settle(delivery("d1"))
        assert (await store.load()).seq == 0
        other.execute("ROLLBACK")
    assert await store.commit([decision(1)], epoch=epoch) == 2


async def test_a_lock_at_the_start_is_told_with_the_likely_cause(store: LedgerStore) -> None:
    await store.open()
    await store.close()
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StateError, match="is another guard running"):
            await store.open()
        other.execute("ROLLBACK")


async def test_a_cancelled_commit_leaves_the_ledger_usable(store: LedgerStore) -> None:
    epoch = (await store.open()).epoch
    for turns in range(25):
        task = asyncio.create_task(store.commit([decision(turns + 1)], epoch=epoch))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        verified = await store.verify()
        assert verified.rows == 2 * len((await store.load()).quarantines)
    before = (await store.load()).seq
    assert await store.commit([decision(99)], epoch=epoch) == before + 2


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace makes single system calls fail; it is not installed")
@pytest.mark.parametrize("fault", ["pwrite64:error=ENOSPC", "pwrite64:error=EIO", "fdatasync:error=EIO", "pwrite64:signal=SIGKILL"])
async def test_a_system_call_that_fails_loses_nothing_acknowledged(tmp_path: Path, fault: str) -> None:
    failed = 0
    for when in (9, 23, 40):
        path = tmp_path / f"{when}.sqlite"
        command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={fault}:when={when}"]
        writer = subprocess.Popen(
            [*command, sys.executable, str(WRITER), str(path), "1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=ENVIRONMENT,
        )
        acknowledged: set[int] = set()
        for line in writer.stdout:
            acknowledged |= {int(each) for each in line.split()[:2]}
            if len(acknowledged) > 200:
                writer.terminate()
                break
        writer.communicate()
        failed += len(acknowledged) <= 200
        if not path.exists():
            continue
        store = LedgerStore(path, HandClock())
        state = await store.open()
        held = {int(each.target.name[5:-5]) for each in state.quarantines}
        assert acknowledged <= held
        assert (await store.verify()).rows == state.seq == 2 * len(held)
        await store.close()
    assert failed == 3
