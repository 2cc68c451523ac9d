"""When the kernel runs compiled.

A guard that starts must answer at once, so it starts plain. Ten seconds later, if numba is installed and ``GUARD_JIT`` is not
0, it goes over: compiled code that an earlier run left is loaded in a thread; where there is none, a child process of low priority
makes it first, which takes the better part of a minute. The decisions are the same all the time. Whatever fails leaves the plain
kernel, with one warning.

A replay ends before compiling pays, so it runs compiled only where compiled code is there.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

import structlog

from guard.errors import GuardError
from guard.features.kernel.compiled import cache_folder, is_warm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from guard.model.ports import Clock
    from guard.pipeline import Pipeline

__all__ = ["Acceleration", "Warmed", "is_ready", "wanted", "warm"]

_log = structlog.get_logger(__name__)
_SETTLE_S = 10.0
_IDLE_POLL_S = 0.25
_IDLE_POLLS_MAX = 240
_COMPILE_MAX_S = 900.0
_FOLDERS_KEPT = 4
_TOLD_MAX = 400


def wanted(env: Mapping[str, str]) -> bool:
    """Whether compiled code may be used: numba is installed and ``GUARD_JIT`` is not 0."""
    return env.get("GUARD_JIT") != "0" and find_spec("numba") is not None


def is_ready(env: Mapping[str, str]) -> bool:
    """Whether compiled code may be used and need not be made first."""
    return wanted(env) and is_warm()


class Warmed(NamedTuple):
    """Where compiled code is kept now, and whether it was there before."""

    folder: Path
    was_there: bool


def warm() -> Warmed:
    """Make compiled code and keep it, in place of that of earlier versions. Raises GuardError where it cannot be made or kept."""
    if find_spec("numba") is None:
        raise GuardError("compiled code needs numba, which is not installed; it comes with the extra 'fast'")
    folder, was_there = cache_folder(), is_warm()
    try:
        _load()
    except (ImportError, OSError, RuntimeError) as error:
        raise GuardError(f"compiled code could not be made in {folder}: {error}") from error
    others = sorted((each for each in folder.parent.iterdir() if each != folder), key=lambda each: each.stat().st_mtime)
    for each in others[: -_FOLDERS_KEPT + 1]:
        shutil.rmtree(each, ignore_errors=True)
    return Warmed(folder, was_there)


def _load() -> None:
    from guard.features.kernel.jit import functions  # noqa: PLC0415 - numba takes half a second to import
    from guard.features.kernel.native import prepare  # noqa: PLC0415 - likewise

    functions()
    prepare()


class Acceleration:
    """Takes a running guard over to compiled code, once.

    Parameters
    ----------
    pipeline
        Running plain.
    is_idle
        Whether no rows wait.
    clock, env
        The clock and the environment.

    Attributes
    ----------
    problem
        Why it stays plain although compiled code is wanted, None where nothing failed.
    """

    def __init__(self, pipeline: Pipeline, *, is_idle: Callable[[], bool], clock: Clock, env: Mapping[str, str]) -> None:
        self._pipeline = pipeline
        self._is_idle = is_idle
        self._clock = clock
        self._env = env
        self.problem: str | None = None

    async def run(self) -> None:
        """Go over to compiled code; whatever fails is told once and leaves all as it was."""
        if not wanted(self._env):
            return
        await self._clock.sleep(_SETTLE_S)
        started_us = self._clock.monotonic_us()
        try:
            if not is_warm():
                await _compile()
            await asyncio.to_thread(_load)
            await self._wait_for_idleness()
            self._pipeline.accelerate()
        except Exception as error:  # noqa: BLE001 - what makes guard faster must not end it
            self.problem = str(error) or type(error).__name__
            _log.warning("guard runs on without compiled code, several times slower", error=self.problem)
        else:
            _log.info("guard runs compiled code now", after_ms=(self._clock.monotonic_us() - started_us) // 1000)

    async def _wait_for_idleness(self) -> None:
        """Wait until no rows wait, a minute at most: a guard that never idles needs compiled code most."""
        for _ in range(_IDLE_POLLS_MAX):
            if self._is_idle():
                return
            await self._clock.sleep(_IDLE_POLL_S)


async def _compile() -> None:
    """Let a child process of low priority make compiled code. Raises GuardError where it does not."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "guard", "warm", "--low-priority",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip
    try:
        told, _ = await asyncio.wait_for(child.communicate(), _COMPILE_MAX_S)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        raise GuardError(f"compiling failed: {told.decode(errors='replace').strip()[-_TOLD_MAX:]}")
