"""Processes of a test, forked or started, their environment, and waiting for what they do."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
PYTHON: Final = HERE / ".venv" / "bin" / "python"
WAIT_S: Final = 120.0
"""How long a test waits for what is to happen; long, for slow machines: a test that passes never waits it out."""
FAKETIME: Final = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
PATHS: Final = os.pathsep.join([str(ROOT), str(ROOT / "connectors")])


def wait_for(what: str, is_so: Callable[[], Any], *, seconds: float = WAIT_S) -> Any:
    """Wait until something is so, and return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := is_so():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:g} s in vain: {what}")


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


class Process:
    """A process with a log; it ends with the test."""

    process: subprocess.Popen[bytes] | Forked | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self) -> None:
        raise NotImplementedError

    def _run(self, command: list[str], log: Path, *, more: dict[str, str], **options: Any) -> None:
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.PIPE, env=plain_environment(**more), **options
            )

    def tell(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process = None


class Forked:
    """A process that the nursery forked: what the tests need of a ``Popen``."""

    stdin = None

    def __init__(self, number: int, ended: Path) -> None:
        self.pid, self._ended = number, ended
        self._handle = os.pidfd_open(number)

    def __del__(self) -> None:
        os.close(self._handle)

    @property
    def returncode(self) -> int:
        """What it returned; -1 where it was killed."""
        return int(self._ended.read_text()) if self._ended.exists() else -1

    def poll(self) -> int | None:
        return self.returncode if select.select([self._handle], [], [], 0)[0] else None

    def wait(self, seconds: float) -> int:
        if not select.select([self._handle], [], [], seconds)[0]:
            raise subprocess.TimeoutExpired("freqtrade", seconds)
        # Hyperopt leaves its workers behind; they are of the session that began with it.
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            signal.pidfd_send_signal(self._handle, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """One process that imported Freqtrade and forks bots; see ``freqtrade_nursery.py``."""

    process: subprocess.Popen[str] | None = None

    def fork(self, words: list[str], log: Path, *, cwd: Path, env: dict[str, str], user: int | None = None) -> Forked:
        if self.process is None:
            self.process = subprocess.Popen(
                [str(PYTHON), str(HERE / "freqtrade_nursery.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )  # fmt: skip
            assert self.process.stdout is not None
            assert self.process.stdout.readline() == "ready\n"
        ended = log.with_suffix(".ended")
        ended.unlink(missing_ok=True)
        order = {"words": words, "log": str(log), "cwd": str(cwd), "env": env, "user": user, "ended": str(ended)}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return Forked(int(self.process.stdout.readline()), ended)

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


NURSERY: Final = Nursery()


def plain_environment(**more: str) -> dict[str, str]:
    """Return the environment of a process that nobody told of guard or Freqtrade."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("GUARD_", "FREQTRADE_"))}
    return {**mine, "PYTHONPATH": PATHS, "PYTHONUNBUFFERED": "1", "GUARD_JIT": "0", **more}


def wall_of(folder: Path) -> dict[str, str]:
    """Return the environment of a process whose wall clock stands in a file, ``wall``; none without libfaketime."""
    if FAKETIME is None:
        return {}
    always = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    return {**always, "FAKETIME_TIMESTAMP_FILE": str(folder / "wall")}
