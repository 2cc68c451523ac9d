"""A guard that is killed after COMMIT: what it ordered is done by the next one, and whoever looks at the id does it once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alerts.endpoint import receiving
from own_action import install

from guard.model import IsolationState
from guard.runtime.clock import SystemClock
from guard.store import LedgerStore
from guard.store.verify import look_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("own_action"))


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(site)
    yield site
    sys.modules.pop("guard_notebook", None)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("when", ["committed", "posted", "called", "noted"])
async def test_orders_of_a_killed_guard_are_done_by_the_next_one_and_once_for_who_looks(
    when: str, tmp_path: Path, installed: Path
) -> None:
    path = os.pathsep.join(map(str, [installed, ROOT, ROOT / "connectors", ROOT / "tests"]))
    async with receiving() as receiver:
        receiver.answers = [0] if when in {"posted", "called"} else []
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "tests" / "faults" / "action_child.py"),
            str(tmp_path),
            receiver.url,
            when,
            env={"PYTHONPATH": path, "PATH": os.environ["PATH"]},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        assert await child.stdout.readline() == b"committed\n"
        if when != "committed":
            await until(lambda: receiver.posts)
        if when == "noted":
            await until(lambda: look_at(tmp_path / "ledger.sqlite").outbox.get("delivered"))
        if when in {"called", "noted"}:
            # What it calls ends it, once it hears this.
            child.stdin.write(b"now\n")
        else:
            child.send_signal(signal.SIGKILL)
        assert await child.wait() == -signal.SIGKILL
        before = len(receiver.posts)
        await _finish(tmp_path, receiver.url)
    assert len({post.headers["Idempotency-Key"] for post in receiver.posts}) == 1
    assert before == (0 if when == "committed" else 1)
    assert len(receiver.posts) - before == (0 if when == "noted" else 1)
    assert len((tmp_path / "guard.txt").read_text().splitlines()) == 1


async def _finish(folder: Path, url: str) -> None:
    """Open the ledger as the next guard does, and deliver what it holds."""
    from faults.action_child import outbox_of, program

    store = LedgerStore(folder / "ledger.sqlite", SystemClock())
    ledger = await store.open()
    assert {each.state for each in ledger.quarantines} == {IsolationState.QUARANTINED}
    outbox, webhooks = outbox_of(store, url, program(folder))
    outbox.start()
    async with asyncio.timeout(20):
        while any(set(states) != {"delivered"} for states in (await outbox.counts()).values()):  # noqa: ASYNC110 - a poll
            await asyncio.sleep(0.02)
    assert await outbox.drain(1) == 0
    await webhooks.close()
    ledger = await store.load()
    outputs = {each.kind: each.output for each in ledger.recent_deliveries}
    assert outputs["webhook"] == "HTTP 200"
    assert outputs["call"] in {"line in guard.txt", "guard.txt has it already"}
    await store.close()
