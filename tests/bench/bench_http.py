"""HTTP checks at 2,000 a second beside 2,000 events a second, from another process over 8 connections.

    python tests/bench/bench_http.py [--seconds 20] [--rate 2000] [--count 56]

Starts a real ``guard run`` on the embedded exchange, adds a token, and paces checks in this process over raw sockets: each request
has its due time, and its latency counts from that, so a server that stalls is not flattered. Beside it: a timer of 5 ms in this
process tells how late the machine itself was, and the in-run ratio to a run without checks tells what they cost guard.
Exit 1 where p99 is above 5 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUARD = [sys.executable, "-m", "guard"]
BAR_MS = 5.0
now_s = partial(time.clock_gettime, time.CLOCK_MONOTONIC)
CONNECTIONS = 8
CONFIG = """\
version: 1
mode: enforce
rules: [guard:pump_dump, guard:wash_trading, guard:spoofing]
exchanges:
  sim:
    connector: sim
    markets: ["*/USDT"]
    streams: [{streams}]
    max_markets: 300
    options: {{seed: 7, schedule: demo, count: {count}, bot: false}}
http: {{listen: "127.0.0.1:0"}}
"""


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GUARD_")}
    return {**kept, "PYTHONPATH": f"{ROOT}:{ROOT / 'connectors'}"}


def ask(folder: Path, *words: str) -> dict:
    found = subprocess.run([*GUARD, "--json", *words], cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    return json.loads(found.stdout or "{}")


async def one(number: int, port: int, token: str, *, rate: float, seconds: float, late: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    symbols = ("BTC/USDT", "ETH/USDT", "MOON/USDT", "SOL/USDT")
    head = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n"
    requests = [f"GET /v1/check?exchange=sim&symbol={each}&side=buy HTTP/1.1\r\n{head}".encode() for each in symbols]
    began = now_s() + number / rate / CONNECTIONS
    count = int(rate * seconds)
    for turn in range(count):
        due = began + turn / rate
        pause = due - now_s()
        if pause > 0:
            await asyncio.sleep(pause)
        # What this process overslept is its own, not the server's: a request counts from when it could be sent, or from its due
        # time where the answer before it came late.
        start = now_s() if pause > 0 else due
        writer.write(requests[turn % len(requests)])
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        late.append(now_s() - start)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        assert b'"status":"' in body
    writer.close()


async def timer(found: list[float]) -> None:
    while True:
        due = now_s() + 0.005
        await asyncio.sleep(0.005)
        found.append(now_s() - due)


async def storm(port: int, token: str, rate: float, seconds: float) -> tuple[list[float], list[float]]:
    late: list[float] = []
    own: list[float] = []
    watching = asyncio.create_task(timer(own))
    await asyncio.gather(*(one(n, port, token, rate=rate / CONNECTIONS, seconds=seconds, late=late) for n in range(CONNECTIONS)))
    watching.cancel()
    return late, own


def quantiles(values: list[float]) -> str:
    ordered = sorted(values)
    return ", ".join(f"{name} {ordered[min(len(ordered) - 1, int(len(ordered) * q))] * 1e3:.2f}" for name, q in QUANTILES)


QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0))


def cpu_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--warm", type=float, default=20.0)
    parser.add_argument("--realtime", action="store_true", help="on a busy machine, as root: guard and client before all others")
    parser.add_argument("--rate", type=float, default=2_000.0)
    parser.add_argument("--streams", default="trades, book")
    parser.add_argument("--run", nargs="*", default=[], help="more words for guard run, such as --run=--json")
    parser.add_argument("--count", type=int, default=56, help="coins of the embedded exchange")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, (Path(name) / "run.log").open("w", encoding="utf-8") as log:
        folder = Path(name)
        (folder / "guard.yaml").write_text(CONFIG.format(streams=given.streams, count=given.count))
        guard = subprocess.Popen([*GUARD, "run", *given.run], cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=log)
        try:
            for _ in range(120):
                status = ask(folder, "status")
                if status.get("http", {}).get("addresses") and not status["http"]["unready"]:
                    break
                time.sleep(0.5)
            token = ask(folder, "token", "add", "bench")["token"]
            port = int(status["http"]["addresses"][0].rpartition(":")[2])
            # Compiling takes a core for a while; what is measured is a guard at work.
            for _ in range(80):
                engine = ask(folder, "status").get("engine", {"form": "", "problem": None})
                if engine["form"] == "compiled" or engine["problem"]:
                    break
                time.sleep(0.5)
            time.sleep(given.warm)
            before, events = cpu_s(guard.pid), ask(folder, "status")["events"]
            began = now_s()
            time.sleep(5)
            calm = (cpu_s(guard.pid) - before) / (now_s() - began)
            before, began = cpu_s(guard.pid), now_s()
            if given.realtime:
                for process in (guard.pid, os.getpid()):
                    for task in Path(f"/proc/{process}/task").iterdir():
                        os.sched_setscheduler(int(task.name), os.SCHED_FIFO, os.sched_param(10))
            late, own = asyncio.run(storm(port, token, given.rate, given.seconds))
            took = now_s() - began
            busy = (cpu_s(guard.pid) - before) / took
            status = ask(folder, "status")
        finally:
            guard.terminate()
            guard.wait(30)
    events_per_s = (status["events"] - events) / (took + 5)
    ordered = sorted(late)
    p99_ms = ordered[int(len(ordered) * 0.99)] * 1e3
    watched = status["watched"]
    print(f"{len(late) / took:,.0f} checks/s over {CONNECTIONS} connections, {watched} markets, {events_per_s:,.0f} events/s")
    print(f"check, ms: {quantiles(late)}   (bar: p99 < {BAR_MS:g})")
    print(f"a 5 ms timer of the client was late, ms: {quantiles(own)}")
    print(f"guard's CPU: {calm:.0%} of a core without checks, {busy:.0%} with; {(busy - calm) / given.rate * 1e6:.0f} us a check")
    print(f"loop of guard: latest {status['lag_max_ms']} ms")
    return 0 if p99_ms < BAR_MS else 1


if __name__ == "__main__":
    sys.exit(main())
