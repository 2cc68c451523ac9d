"""Child processes that cannot outlive their parent: they hold its pipe and leave when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

from guard.errors import ConfigurationError, Disconnected, Problem

__all__ = ["Child"]

_START_S = 20.0
_STOP_S = 3.0
_CONFIGURATION = 3
_LINE_MAX = 1 << 16


class Child:
    """One ``python -m module`` with a pipe to its stdin.

    Notes
    -----
    `exited` ends when the process does. The child sees the same packages as this process.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.exited: asyncio.Task[int] = asyncio.create_task(process.wait())

    @classmethod
    async def start(cls, module: str, *arguments: str) -> Child:
        """Start `module`. Raises Disconnected where no process can be had."""
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=_environment(),
                # Ctrl-C goes to every process of the terminal's group; this one leaves when its parent does.
                start_new_session=True,
                limit=_LINE_MAX,
            )
        except OSError as error:
            raise Disconnected(f"{module} cannot be started: {error}") from error
        return cls(process)

    @property
    def pid(self) -> int:
        """Return the number of the process."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self._process.returncode

    async def first_line(self) -> dict[str, Any]:
        """Return the JSON line that the child says when it is ready.

        Raises ConfigurationError where it refused its options, Disconnected where it ended or said nothing for 20 s.
        """
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), _START_S)
            document = json.loads(line)
        except (TimeoutError, ValueError):
            await self.stop()
            raise Disconnected(f"the embedded exchange did not start; it ended with code {self.code}") from None
        if "error" not in document:
            return dict(document)
        await self.stop()
        if document.get("code") == _CONFIGURATION:
            raise ConfigurationError(Problem("guard.yaml", 1, 1, "S004", "sim-refused", "error", document["error"]))
        raise Disconnected(f"the embedded exchange did not start: {document['error']}")

    async def stop(self) -> None:
        """End the process: close its pipe, ask, then insist. Safe to call twice."""
        stdin = self._process.stdin
        if stdin is not None:
            stdin.close()
        with contextlib.suppress(ProcessLookupError):
            if self.code is None:
                self._process.terminate()
        done, _ = await asyncio.wait({self.exited}, timeout=_STOP_S)
        if not done:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await asyncio.wait({self.exited})
        if self._process.stdout is not None:
            with contextlib.suppress(TimeoutError):
                # Read to the end, so that the pipe's transport closes with its loop still there.
                await asyncio.wait_for(self._process.stdout.read(), _STOP_S)


def _environment() -> dict[str, str]:
    folders = []
    for package in ("guard", "guard_sim"):
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            folders.append(str(Path(spec.origin).parents[1]))
    inherited = os.environ.get("PYTHONPATH")
    paths = dict.fromkeys([*folders, *([inherited] if inherited else [])])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
