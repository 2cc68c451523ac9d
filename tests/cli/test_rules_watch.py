from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from guard.cli.output import Exit, Output
from guard.cli.rules_watch import fingerprint, follow

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GOOD = "rules:\n  one:\n    title: One\n    level: danger\n    when: ret(60s) > 1%\n"
BAD = GOOD.replace("ret(", "retn(")
ODD = GOOD.replace("> 1%", "> 1% and ret(60s) > 2%")


class Steps:
    """A clock that does the next thing at each sleep, and ends the watch after the last one."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self._steps = list(steps)
        self.slept_s: list[float] = []

    def now_us(self) -> int:
        return 1_700_000_000_000_000

    def monotonic_us(self) -> int:
        return 0

    def jump_us(self) -> int:
        return 0

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        await asyncio.sleep(0)
        if not self._steps:
            raise asyncio.CancelledError
        self._steps.pop(0)()


async def watched(path: Path, *steps: Callable[[], object], is_json: bool = False, is_strict: bool = False) -> tuple[Exit, Steps]:
    last, clock = [Exit.OK], Steps(*steps)
    with pytest.raises(asyncio.CancelledError):
        await follow(Output(is_json=is_json), [path], clock, last, is_strict=is_strict, env={})
    return last[0], clock


def nothing() -> None:
    """Let time pass."""


async def test_check_runs_again_when_a_file_changes_and_only_then(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pack.yaml"
    path.write_text(BAD)
    code, clock = await watched(path, nothing, nothing, lambda: path.write_text(GOOD), nothing)
    out = capsys.readouterr().out
    assert code is Exit.OK
    assert out.count("unknown name 'retn'") == 1
    assert out.count("no mistakes found") == 1
    assert out.index("retn") < out.index("no mistakes found")
    assert "\x1b" not in out
    assert set(clock.slept_s) == {0.5}


async def test_last_state_decides_the_exit_code(tmp_path: Path) -> None:
    path = tmp_path / "pack.yaml"
    path.write_text(GOOD)
    assert (await watched(path, lambda: path.write_text(BAD)))[0] is Exit.FINDINGS
    path.write_text(GOOD)
    assert (await watched(path, lambda: path.write_text(ODD)))[0] is Exit.OK
    path.write_text(GOOD)
    assert (await watched(path, lambda: path.write_text(ODD), is_strict=True))[0] is Exit.FINDINGS


async def test_file_that_is_away_for_a_moment_is_told_and_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pack.yaml"
    path.write_text(GOOD)
    code, _ = await watched(path, path.unlink, lambda: path.write_text(GOOD))
    out = capsys.readouterr().out
    assert code is Exit.OK
    assert "cannot be read" in out
    assert out.count("no mistakes found") == 2


async def test_json_is_one_line_for_each_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pack.yaml"
    path.write_text(BAD)
    await watched(path, lambda: path.write_text(GOOD), is_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["schema"], line["exit"], [row["id"] for row in line["errors"]]) for line in lines] == [
        (1, 1, ["E042"]),
        (1, 0, []),
    ]


def test_everything_that_a_check_reads_is_watched(tmp_path: Path) -> None:
    config, pack, test = tmp_path / "guard.yaml", tmp_path / "packs" / "a.yaml", tmp_path / "packs" / "a.test.yaml"
    pack.parent.mkdir()
    config.write_text("exchanges: {sim: {connector: sim}}\nrules: [guard:pump_dump, packs/*.yaml]\n")
    for paths in ([config], [pack.parent], [pack]):
        before = fingerprint(paths)
        pack.write_text(GOOD)
        between = fingerprint(paths)
        assert before != between
        if paths != [config]:
            test.write_text("tests: {}\n")
            assert fingerprint(paths) != between
            test.unlink()
        pack.unlink()


async def test_what_a_pack_includes_is_watched_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, shared = tmp_path / "rules" / "pack.yaml", tmp_path / "rules" / "shared" / "one.yaml"
    for each in (path, shared):
        each.parent.mkdir()
    path.write_text("include: shared/*.yaml\n")
    (tmp_path / "guard.yaml").write_text("exchanges: {sim: {connector: sim}}\nrules: [rules/*.yaml]\n")
    shared.write_text(GOOD)
    for asked in (path, tmp_path / "guard.yaml"):
        code, _ = await watched(asked, nothing, lambda: shared.write_text(BAD), nothing, lambda: shared.write_text(GOOD))
        out = capsys.readouterr().out
        assert code is Exit.OK
        assert (out.count("unknown name 'retn'"), out.count("no mistakes found")) == (1, 2)
