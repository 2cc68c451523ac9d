"""A real guard in its own process, its exchange, and a channel that can be told to fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GUARD = [sys.executable, "-m", "guard"]
CONFIG = """\
version: 1
mode: enforce
rules: [guard:pump_dump, rules/*.yaml]
exchanges:
  sim:
    connector: sim
    markets: ["*/USDT"]
    options:
      seed: 7
      symbols: [BTC/USDT, ETH/USDT, SOL/USDT, MOON/USDT, SUDS/USDT, LAYR/USDT, YAWN/USDT]
      schedule: [{{pattern: pump_dump, symbol: MOON/USDT, at: 45}}]
      bot: true
alerts:
  channels:
    people: {{url: "json://127.0.0.1:{port}/people", levels: [danger, critical]}}
"""
OWN_RULE = "rules:\n  busy: {mode: shadow, when: trades(10s) > 100000, level: warning}\n"


class Channel:
    """A webhook that counts what it accepted, and refuses everything while `is_down`."""

    def __init__(self) -> None:
        self.is_down = True
        self.refused = 0
        self.titles: Counter[str] = Counter()
        channel = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if channel.is_down:
                    channel.refused += 1
                else:
                    channel.titles[body["title"]] += 1
                self.send_response(500 if channel.is_down else 200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Keep the test's output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class World:
    """A folder with guard.yaml, and the guard that runs there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / ".guard"
        self.channel = Channel()
        self.lines: list[dict[str, Any]] = []
        self.process: subprocess.Popen[str] | None = None
        (folder / "rules").mkdir()
        self.own_rules = folder / "rules" / "own.yaml"
        self.own_rules.write_text(OWN_RULE)
        (folder / "guard.yaml").write_text(CONFIG.format(port=self.channel.port))

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GUARD_")}
        return {**kept, "PYTHONUNBUFFERED": "1"}

    def start(self) -> None:
        with (self.folder / "run.log").open("a") as errors:
            self.process = subprocess.Popen(
                [*GUARD, "run", "--json"],
                cwd=self.folder,
                env=self.environment(),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            self.lines += (json.loads(line) for line in process.stdout)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def guard(self, *words: str) -> tuple[int, dict[str, Any]]:
        found = subprocess.run(
            [*GUARD, "--json", *words], cwd=self.folder, env=self.environment(), capture_output=True, text=True, check=False
        )
        return found.returncode, json.loads(found.stdout) if found.stdout else {"stderr": found.stderr}

    def wait(self, what: str, condition: Callable[[], object], *, within_s: float = 60.0) -> None:
        """Poll a running process; the deadline only turns a hang into a failure."""
        end = time.monotonic() + within_s
        while not condition():
            alive = self.process is None or self.process.poll() is None
            if not alive or time.monotonic() > end:
                log = f"{self.lines[-3:]}\n{(self.folder / 'run.log').read_text()[-3000:]}"
                raise AssertionError(f"waited in vain for {what}; guard {'runs' if alive else 'is gone'}\n{log}")
            time.sleep(0.1)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self.channel.close()
