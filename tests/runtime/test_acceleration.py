"""When a guard goes over to compiled code, and that whatever fails leaves it as it was."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from guard.dsl import compile_rules, load_rules, shipped_packs
from guard.features.kernel import compiled
from guard.pipeline import Pipeline
from guard.runtime import acceleration
from guard.runtime.acceleration import Acceleration, wanted

if TYPE_CHECKING:
    from pathlib import Path

needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed: nothing can be compiled")


class StandingClock:
    """Time passes at once where somebody waits."""

    def __init__(self) -> None:
        self.now = 0

    def now_us(self) -> int:
        return self.now

    monotonic_us = now_us

    async def sleep(self, seconds: float) -> None:
        self.now += int(seconds * 1e6)


def made(env: dict[str, str], *, idle_after_s: float = 0.0) -> tuple[Acceleration, Pipeline, StandingClock]:
    clock, pipeline = StandingClock(), Pipeline(compile_rules(load_rules(shipped_packs())))
    at_work = Acceleration(pipeline, is_idle=lambda: clock.now >= idle_after_s * 1e6, clock=clock, env=env)
    return at_work, pipeline, clock


def test_a_person_can_forbid_compiled_code() -> None:
    assert not wanted({"GUARD_JIT": "0"})
    assert wanted({}) == wanted({"GUARD_JIT": "1"}) == (find_spec("numba") is not None)


async def test_nothing_happens_where_it_is_forbidden() -> None:
    at_work, pipeline, clock = made({"GUARD_JIT": "0"})
    await at_work.run()
    assert (pipeline.engine.kernel.is_jitted, at_work.problem, clock.now) == (False, None, 0)


@needs_numba
async def test_a_guard_goes_over_when_it_is_idle_and_has_run_for_ten_seconds() -> None:
    acceleration.warm()
    at_work, pipeline, clock = made({}, idle_after_s=25.0)
    await at_work.run()
    assert (pipeline.engine.kernel.is_jitted, at_work.problem) == (True, None)
    assert clock.now == 25_000_000


@needs_numba
async def test_a_guard_that_never_idles_goes_over_all_the_same() -> None:
    acceleration.warm()
    at_work, pipeline, clock = made({}, idle_after_s=1e9)
    await at_work.run()
    assert pipeline.engine.kernel.is_jitted
    assert 60_000_000 <= clock.now <= 90_000_000


@needs_numba
async def test_where_compiling_fails_the_plain_kernel_runs_on_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A file stands where the child would keep what it makes.
    (tmp_path / "guard").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(acceleration, "is_warm", lambda: False)
    at_work, pipeline, _ = made({})
    await at_work.run()
    assert not pipeline.engine.kernel.is_jitted
    assert at_work.problem is not None
    assert at_work.problem.startswith("compiling failed: compiled code could not be made in")


@needs_numba
def test_another_version_of_the_kernel_has_another_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = compiled.cache_folder()
    compiled.cache_folder.cache_clear()
    monkeypatch.setattr(compiled, "version", lambda _: "9.9")
    try:
        assert compiled.cache_folder() != ours
        assert not compiled.is_warm()
    finally:
        compiled.cache_folder.cache_clear()
