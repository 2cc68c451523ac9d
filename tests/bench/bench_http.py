"""HTTP checks at 2,000 a second beside 2,000 events a second, from another process over 8 connections.

    python tests/bench/bench_http.py [--seconds 20] [--rate 2000] [--events 2000]
    python tests/bench/bench_http.py --sim [--count 56] [--warm 20]

Starts a real ``guard run`` on an exchange on loopback that sends trades of 200 markets at an even rate, or on the embedded one,
whose past arrives in the first minutes; adds a token, and paces checks in this process over raw sockets: each request
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
CALM_S = 5.0
FEED_MARKETS = 200
CONFIG = """\
version: 1
mode: enforce
rules: [guard:pump_dump, guard:wash_trading, guard:spoofing]
http: {listen: "127.0.0.1:0"}
exchanges:
"""
SIM = """\
  sim:
    connector: sim
    markets: ["*/USDT"]
    streams: [{streams}]
    max_markets: 300
    options: {{seed: 7, schedule: demo, count: {count}, bot: false}}
"""
FEED = """\
  binance:
    markets: ["*/USDT"]
    streams: [trades]
    max_markets: 300
    urls: {{api.public: "{url}/bench/api/v3", api.ws.spot: "{ws}/bench/stream"}}
    options: {{types: [spot], has: {{fetchTickers: false, fetchOHLCV: false, fetchTrades: false}}}}
"""


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GUARD_")}
    return {**kept, "PYTHONPATH": f"{ROOT}:{ROOT / 'connectors'}"}


def ask(folder: Path, *words: str) -> dict:
    found = subprocess.run([*GUARD, "--json", *words], cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    return json.loads(found.stdout or "{}")


async def one(number: int, exchange: Exchange, port: int, token: str, *, rate: float, seconds: float, late: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n"
    requests = [
        f"GET /v1/check?exchange={exchange.name}&symbol={each}&side=buy HTTP/1.1\r\n{head}".encode() for each in exchange.symbols
    ]
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


async def storm(exchange: Exchange, port: int, token: str, rate: float, seconds: float) -> tuple[list[float], list[float]]:
    late: list[float] = []
    own: list[float] = []
    watching = asyncio.create_task(timer(own))
    await asyncio.gather(
        *(one(n, exchange, port, token, rate=rate / CONNECTIONS, seconds=seconds, late=late) for n in range(CONNECTIONS))
    )
    watching.cancel()
    return late, own


def quantiles(values: list[float]) -> str:
    ordered = sorted(values)
    return ", ".join(f"{name} {ordered[min(len(ordered) - 1, int(len(ordered) * q))] * 1e3:.2f}" for name, q in QUANTILES)


QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0))


def cpu_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Exchange:
    """The exchange that guard streams from: made trades at an even rate, or the embedded one with its past, books and pumps."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._server: subprocess.Popen[str] | None = None
        self._rate = given.events
        if given.sim:
            self.name = "sim"
            self.symbols = ["BTC/USDT", "ETH/USDT", "MOON/USDT", "SOL/USDT"]
            self.yaml = CONFIG + SIM.format(streams=given.streams, count=given.count)
            return
        self.name = "binance"
        self.symbols = [f"C{number:04d}/USDT" for number in (0, 7, 77, 177)]
        command = [sys.executable, "-m", "guard_ccxt.bench", "server", str(FEED_MARKETS)]
        self._server = subprocess.Popen(
            command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._server.stdout is not None
        self.url = f"http://127.0.0.1:{json.loads(self._server.stdout.readline())['port']}"
        self.yaml = CONFIG + FEED.format(url=self.url, ws=self.url.replace("http", "ws", 1))

    async def send(self, seconds: float) -> None:
        """Send for so long; the embedded exchange does so by itself."""
        if self._server is None:
            return
        _, port = self.url.rsplit(":", 1)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
        path = f"/bench/control/send?what=trades&count={int(self._rate * seconds)}&rate={self._rate}"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 200"), "nobody subscribed"
        writer.close()

    def close(self) -> None:
        if self._server is not None:
            self._server.kill()
            self._server.communicate()


def wait_until_ready(folder: Path) -> None:
    """Wait until guard has markets and answers over HTTP."""
    for _ in range(240):
        status = ask(folder, "status")
        if status.get("http", {}).get("addresses") and not status["http"]["unready"] and status["watched"]:
            return
        time.sleep(0.5)
    raise SystemExit(f"guard is not ready after 120 s:\n{(folder / 'run.log').read_text(encoding='utf-8')[-2000:]}")


def wait_for_compiled(folder: Path) -> None:
    # Compiling takes a core for a while; what is measured is a guard at work.
    for _ in range(80):
        engine = ask(folder, "status").get("engine", {"form": "", "problem": None})
        if engine["form"] == "compiled" or engine["problem"]:
            return
        time.sleep(0.5)


def first_of_all(*processes: int) -> None:
    for process in processes:
        for task in Path(f"/proc/{process}/task").iterdir():
            os.sched_setscheduler(int(task.name), os.SCHED_FIFO, os.sched_param(10))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--warm", type=float, default=20.0)
    parser.add_argument("--realtime", action="store_true", help="on a busy machine, as root: guard and client before all others")
    parser.add_argument("--rate", type=float, default=2_000.0)
    parser.add_argument("--events", type=float, default=2_000.0, help="trades a second")
    parser.add_argument("--sim", action="store_true", help="the embedded exchange, which sends what its market makes of it")
    parser.add_argument("--streams", default="trades, book", help="of the embedded exchange")
    parser.add_argument(
        "--count", type=int, default=56, choices=range(1, 201), metavar="1..200", help="coins of the embedded exchange"
    )
    given = parser.parse_args()
    exchange = Exchange(given)
    with tempfile.TemporaryDirectory() as name, (Path(name) / "run.log").open("w", encoding="utf-8") as log:
        folder = Path(name)
        (folder / "guard.yaml").write_text(exchange.yaml)
        guard = subprocess.Popen([*GUARD, "run"], cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=log)
        try:
            wait_until_ready(folder)
            wait_for_compiled(folder)
            return asyncio.run(measure(given, exchange, guard.pid, folder))
        finally:
            guard.terminate()
            guard.wait(30)
            exchange.close()


async def measure(given: argparse.Namespace, exchange: Exchange, guard: int, folder: Path) -> int:
    token = ask(folder, "token", "add", "bench")["token"]
    port = int(ask(folder, "status")["http"]["addresses"][0].rpartition(":")[2])
    sending = asyncio.create_task(exchange.send(given.warm + CALM_S + given.seconds + 10.0))
    await asyncio.sleep(given.warm)
    if given.realtime:
        first_of_all(guard, os.getpid())
    before, began = cpu_s(guard), now_s()
    await asyncio.sleep(CALM_S)
    calm = (cpu_s(guard) - before) / (now_s() - began)
    events, before, began = ask(folder, "status")["events"], cpu_s(guard), now_s()
    late, own = await storm(exchange, port, token, given.rate, given.seconds)
    took = now_s() - began
    busy = (cpu_s(guard) - before) / took
    status = ask(folder, "status")
    sending.cancel()
    ordered = sorted(late)
    p99_ms = ordered[int(len(ordered) * 0.99)] * 1e3
    per_s = (status["events"] - events) / took
    print(f"{len(late) / took:,.0f} checks/s over {CONNECTIONS} connections, {status['watched']} markets, {per_s:,.0f} events/s")
    print(f"check, ms: {quantiles(late)}   (bar: p99 < {BAR_MS:g})")
    print(f"a 5 ms timer of the client was late, ms: {quantiles(own)}")
    print(f"guard's CPU: {calm:.0%} of a core without checks, {busy:.0%} with; {(busy - calm) / given.rate * 1e6:.0f} us a check")
    print(f"loop of guard: latest {status['lag_max_ms']} ms")
    return 0 if p99_ms < BAR_MS else 1


if __name__ == "__main__":
    sys.exit(main())
