"""The program that reads: one round whenever it is asked for, told in one line."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from pathlib import Path
from typing import Any, TextIO

import aiohttp

from guard_ccxt.bench.clock import MachineClock, processor_s
from guard_ccxt.bench.readers import Connected, Reader, reader

__all__ = ["run"]

_READY_S = 120.0
_QUIET_S = 1.0
_WAIT_S = 60.0
_STEP_S = 0.05


async def run(url: str, tier: str, what: str, markets: int) -> None:
    """Answer lines of the input, each one JSON object that says what to send, until it ends.

    ``count``, ``rate`` (0: at once, to one market), ``stall_s``; or ``bad``: one bad frame, then a good one. The answer tells what
    was sent and what arrived, seconds of processor meanwhile, seconds until the last one arrived, and resident bytes.
    """
    # Lines of the answer alone go out; what libraries print, and stock's broken callbacks, do not.
    told, sys.stdout = sys.stdout, sys.stderr
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, _context: None)
    subject = reader(url, tier, what, markets)
    await subject.open()
    clock = MachineClock()
    for _ in range(int(_READY_S / _STEP_S)):
        if subject.is_ready():
            break
        await clock.sleep(_STEP_S)
    _say(told, {"tier": tier, "ready": subject.is_ready(), **_tier(subject)})
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            _say(told, await _round(subject, session, f"{url}/{tier}/control", json.loads(line), what))
    await subject.close()


async def _round(subject: Reader, session: aiohttp.ClientSession, control: str, asked: dict[str, Any], what: str) -> dict[str, Any]:
    clock = MachineClock()
    gc.collect()
    before, count = subject.count(), int(asked.get("count", 1))
    subject.stall_s = float(asked.get("stall_s", 0.0))
    path = f"{control}/bad" if asked.get("bad") else f"{control}/send?what={what}&count={count}&rate={asked.get('rate', 0)}"
    started_us, used_s = clock.monotonic_us(), processor_s()
    async with session.get(path) as answer:
        sent = await answer.json()
    last, last_us = subject.count(), clock.monotonic_us()
    while last - before < sent["sent"] and clock.monotonic_us() - last_us < float(asked.get("wait_s", _QUIET_S)) * 1e6:
        await clock.sleep(0.001 if asked.get("bad") else _STEP_S)
        if (now := subject.count()) != last:
            last, last_us = now, clock.monotonic_us()
    return {
        "sent": sent["sent"],
        "received": last - before,
        "processor_s": processor_s() - used_s,
        "seconds": (last_us - started_us) / 1e6,
        "resident": _resident(),
        **_tier(subject),
    }


def _tier(subject: Reader) -> dict[str, Any]:
    if not isinstance(subject, Connected):
        return {}
    details = subject.connector.health().details or {}
    return {name: details[name] for name in ("tier", "frames", "fallbacks")}


def _resident() -> int:
    text = Path("/proc/self/statm").read_text(encoding="ascii")
    return int(text.split()[1]) * 4096


def _say(told: TextIO, document: dict[str, Any]) -> None:
    print(json.dumps(document), file=told, flush=True)
