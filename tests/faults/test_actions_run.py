"""`guard run` itself: what the ledger still holds from a guard that died is posted, called, given up, and told to people."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web
from alerts.actions import call
from alerts.endpoint import receiving
from own_action import install

from guard.alerts.events import about_test
from guard.model import Decision, Delivery
from guard.runtime.clock import SystemClock
from guard.store import LedgerStore

if TYPE_CHECKING:
    from alerts.endpoint import Receiver

ROOT = Path(__file__).parents[2]
CONFIG = """\
version: 1
mode: enforce
rules: []
exchanges: {{sim: {{connector: sim, markets: [BTC/USDT], options: {{seed: 7, symbols: [BTC/USDT]}}}}}}
webhooks:
  good: {{url: "http://127.0.0.1:{port}/good", secret: a-secret-of-some-length}}
  gone: {{url: "http://127.0.0.1:{port}/gone"}}
alerts: {{channels: {{people: {{url: "json://127.0.0.1:{port}/people"}}}}}}
"""


def left_behind(now_us: int, folder: Path) -> tuple[Delivery, ...]:
    times = {"created_us": now_us, "due_us": now_us, "expires_us": now_us + 60_000_000}
    return (
        about_test("webhook:good", now_us),
        about_test("webhook:gone", now_us),
        about_test("webhook:unheard", now_us),
        call(action="notebook.append", folder=str(folder))._replace(**times),
    )


async def fill(folder: Path) -> None:
    """Write what a killed guard left in its ledger."""
    folder.mkdir(mode=0o700)
    clock = SystemClock()
    store = LedgerStore(folder / "ledger.sqlite", clock)
    ledger = await store.open()
    await store.commit([Decision(clock.now_us(), deliveries=left_behind(clock.now_us(), folder))], epoch=ledger.epoch)
    await store.close()


async def run(folder: Path, site: Path, receiver: Receiver) -> tuple[list[dict[str, Any]], str]:
    """Run guard until people were told twice, and return its lines and its log."""
    path = os.pathsep.join(map(str, [site, ROOT, ROOT / "connectors"]))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "guard", "--json", "run", "--for", "60s"),
        cwd=folder,
        env={"PYTHONPATH": path, "PATH": os.environ["PATH"], "HOME": str(folder), "GUARD_JIT": "off"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(40):
        while len(told(receiver)) < 2 and process.returncode is None:  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(0.05)
    if process.returncode is None:
        process.terminate()
    out, err = await process.communicate()
    return [json.loads(line) for line in out.decode().splitlines()], err.decode()


def told(receiver: Receiver) -> list[str]:
    titles = [json.loads(post.body)["title"].rpartition(" [")[0] for post in receiver.posts if post.path == "/people"]
    return sorted(title for title in titles if "get through" in title)


async def test_guard_run_carries_out_what_a_dead_guard_ordered(tmp_path: Path) -> None:
    site = await asyncio.to_thread(install, tmp_path)
    await fill(tmp_path / ".guard")
    async with receiving() as receiver:
        receiver.route["/gone"] = lambda: web.Response(status=410, text="gone")
        (tmp_path / "guard.yaml").write_text(CONFIG.format(port=receiver.port))
        _, log = await run(tmp_path, site, receiver)
    assert sorted(post.path for post in receiver.posts if post.path != "/people") == ["/gone", "/good"], log
    assert (tmp_path / ".guard" / "guard.txt").read_text().count("\n") == 1
    assert told(receiver) == [f"[DANGER] guard: webhook:{name} does not get through" for name in ("gone", "unheard")]
    store = LedgerStore(tmp_path / ".guard" / "ledger.sqlite", SystemClock())
    await store.open()
    counts = await store.outbox()
    await store.close()
    assert {lane: dict(states) for lane, states in counts.items() if ":" in lane} == {
        "webhook:good": {"delivered": 1},
        "webhook:gone": {"dead": 1},
        "webhook:unheard": {"dead": 1},
        "call:notebook.append": {"delivered": 1},
    }
    assert "a-secret-of-some-length" not in log
