"""Changed rule files: noticed, left to rest, read once."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from alerts.support import MovedClock
from runtime.test_rulebook import BROKEN, GOOD, OTHER, Bench

from guard.runtime.reloading import ReloadState
from guard.runtime.rule_watch import RuleWatch, system_changes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from guard.runtime.rulebook import Rulebook


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


class Steps(MovedClock):
    """A clock whose sleepers do something to the files each time they wait."""

    def __init__(self, *steps: object) -> None:
        super().__init__()
        self.steps = list(steps)
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 1))
        if self.steps:
            step = self.steps.pop(0)
            if callable(step):
                step()


def watch(book: Rulebook, clock: MovedClock) -> RuleWatch:
    return RuleWatch(book, clock, changes=None)


def outcomes(book: Rulebook) -> dict[str, int]:
    counts = book.counts.record()
    return {str(state): counts[state] for state in ReloadState if counts[state]}


async def test_nothing_is_read_while_nothing_changes(bench: Bench) -> None:
    book = bench.start()
    for _ in range(5):
        await watch(book, Steps()).look()
    assert outcomes(book) == {}


async def test_a_file_is_read_once_it_has_rested(bench: Bench) -> None:
    book, clock = bench.start(), Steps()
    bench.rules.write_text(OTHER)
    await watch(book, clock).look()
    assert (book.active, clock.slept, outcomes(book)) == (2, [0.2], {"taken_over": 1})


async def test_half_a_file_that_is_valid_is_never_run(bench: Bench) -> None:
    bench.rules.write_text(OTHER)
    book = bench.start()
    whole = OTHER + "  third: {mode: shadow, when: trades(10s) < 2, level: warning}\n"
    # Truncated, then written line by line: each of these is a pack without a mistake.
    lines = whole.splitlines(keepends=True)
    states = ["".join(lines[:count]) for count in range(2, len(lines) + 1)]
    clock = Steps(*(lambda text=text: bench.rules.write_text(text) for text in states))  # type: ignore[misc]  # mypy: a default in a lambda
    bench.rules.write_text("rules:\n")
    await watch(book, clock).look()
    assert book.active == 3
    assert outcomes(book) == {"taken_over": 1}
    assert clock.slept[0] == 1.0, "a file that got shorter is left alone for longer"


async def test_a_file_that_is_put_back_as_it_was_is_read_and_changes_nothing(bench: Bench) -> None:
    book = bench.start()
    bench.rules.unlink()
    clock = Steps(lambda: bench.rules.write_text(GOOD))
    await watch(book, clock).look()
    assert outcomes(book) == {"unchanged": 1}
    assert bench.changes == []
    assert clock.slept[0] == 1.0


async def test_a_touch_changes_nothing(bench: Bench) -> None:
    book = bench.start()
    os.utime(bench.rules)
    await watch(book, Steps()).look()
    assert outcomes(book) == {"unchanged": 1}
    await watch(book, Steps()).look()
    assert outcomes(book) == {"unchanged": 1}


async def test_a_file_with_the_same_size_and_time_renamed_over_is_noticed(bench: Bench) -> None:
    book = bench.start()
    status = bench.rules.stat()
    fresh = bench.rules.with_suffix(".tmp")
    fresh.write_text(GOOD.replace("> 3", "> 4"))
    os.utime(fresh, ns=(status.st_atime_ns, status.st_mtime_ns))
    fresh.rename(bench.rules)
    await watch(book, Steps()).look()
    assert outcomes(book) == {"taken_over": 1}


async def test_a_mounted_folder_that_is_swapped_by_a_symbolic_link_is_noticed(bench: Bench) -> None:
    folder = bench.rules.parent
    versions = {}
    for name, text in (("..1", GOOD), ("..2", OTHER)):
        (folder / name).mkdir()
        (folder / name / "own.yaml").write_text(text)
        versions[name] = folder / name
    bench.rules.unlink()
    (folder / "..data").symlink_to("..1")
    bench.rules.symlink_to("..data/own.yaml")
    book = bench.start()
    (folder / "..data_tmp").symlink_to("..2")
    (folder / "..data_tmp").rename(folder / "..data")
    await watch(book, Steps()).look()
    assert book.active == 2


async def test_a_new_file_and_one_that_is_gone_are_noticed(bench: Bench) -> None:
    book = bench.start()
    more = bench.rules.with_name("more.yaml")
    more.write_text("rules:\n  calm: {mode: shadow, when: trades(10s) < 1, level: warning}\n")
    await watch(book, Steps()).look()
    assert book.active == 2
    more.unlink()
    clock = Steps()
    await watch(book, clock).look()
    assert (book.active, clock.slept) == (1, [1.0])


async def test_files_that_never_rest_are_told_of_once_and_read_when_they_do(bench: Bench) -> None:
    book = bench.start()
    scribbles = [lambda n=n: bench.rules.write_text(GOOD + "#" * n) for n in range(200)]  # type: ignore[misc]  # as above
    bench.rules.write_text(BROKEN)
    await watch(book, Steps(*scribbles)).look()
    told = [problem for _, problem in bench.changes if problem]
    assert len(told) == 1
    assert "E093" in told[0]
    assert book.problem is None
    assert outcomes(book) == {"unchanged": 1}


async def test_a_broken_file_is_read_once_and_told_once_and_another_mistake_again(bench: Bench) -> None:
    book = bench.start()
    for text in (BROKEN, None, None, BROKEN.replace("tradez", "tradey"), None, GOOD, None):
        if text is not None:
            bench.rules.write_text(text)
        await watch(book, Steps()).look()
    assert ["tradez" in str(p) or "tradey" in str(p) for _, p in bench.changes] == [True, True, False]
    assert outcomes(book) == {"broken": 2, "unchanged": 1}


async def test_a_file_that_changes_while_it_is_read_is_read_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    book = bench.start()
    reads = 0
    read_once = type(book)._read_once

    def disturbed(self: Rulebook) -> object:
        nonlocal reads
        reads += 1
        found = read_once(self)
        if reads == 1:
            bench.rules.write_text(OTHER)
        return found

    monkeypatch.setattr(type(book), "_read_once", disturbed)
    bench.rules.write_text(GOOD.replace("> 3", "> 5"))
    outcome = await book.reload()
    assert (reads, outcome.state, book.active) == (2, ReloadState.TAKEN_OVER, 2)


async def test_a_file_that_changes_each_time_it_is_read_is_not_run_and_looked_at_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = bench.start()
    read_once = type(book)._read_once

    def disturbed(self: Rulebook) -> object:
        found = read_once(self)
        bench.rules.write_text(bench.rules.read_text() + "#\n")
        return found

    with monkeypatch.context() as patched:
        patched.setattr(type(book), "_read_once", disturbed)
        outcome = await book.reload()
    assert outcome.state is ReloadState.BROKEN
    assert [problem.id for problem in outcome.problems] == ["E093"]
    await watch(book, Steps()).look()
    assert book.problem is None


async def test_off_means_only_when_asked_and_that_may_be_changed_while_guard_runs(bench: Bench) -> None:
    bench.config.write_text(bench.config.read_text() + "reload: {watch: off}\n")
    book, clock = bench.start(), MovedClock()
    watching = watch(book, clock)
    task = asyncio.create_task(watching.run())
    bench.rules.write_text(OTHER)
    await clock.advance(20)
    await asyncio.sleep(0.05)
    assert (watching.way, book.active) == ("off", 1)
    assert (await book.reload()).state is ReloadState.TAKEN_OVER
    bench.config.write_text(bench.config.read_text().replace("off", "poll"))
    await book.reload()
    assert (watching.way, book.problem) == ("poll", None)
    task.cancel()


async def until_active(book: Rulebook, count: int, clock: MovedClock) -> None:
    async with asyncio.timeout(20):
        while book.active != count:
            await clock.advance(0.1)
            await asyncio.sleep(0.01)


async def test_changed_files_are_noticed_by_looking(bench: Bench) -> None:
    book, clock = bench.start(), MovedClock()
    task = asyncio.create_task(watch(book, clock).run())
    bench.rules.write_text(OTHER)
    await until_active(book, 2, clock)
    task.cancel()


class OnlyShort(MovedClock):
    """A clock on which looks by time never come, and short rests are over at once."""

    async def sleep(self, seconds: float) -> None:
        if seconds >= 1:
            await asyncio.Event().wait()


async def test_the_system_tells_of_changed_files_where_watchfiles_is_installed(bench: Bench) -> None:
    pytest.importorskip("watchfiles")
    book = bench.start()
    watching = RuleWatch(book, OnlyShort(), changes=system_changes())
    task = asyncio.create_task(watching.run())
    assert watching.way == "files"
    async with asyncio.timeout(10):
        while book.active != 2:
            # Written again until the system's watch is there: when that is, nobody tells.
            bench.rules.write_text(OTHER)
            await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_where_the_system_cannot_tell_guard_looks_each_second(bench: Bench) -> None:
    async def broken(folders: frozenset[Path], stop: asyncio.Event) -> AsyncIterator[object]:
        del folders, stop
        yield None
        raise OSError("no space left for watches")

    book, clock = bench.start(), MovedClock()
    watching = RuleWatch(book, clock, changes=broken)
    task = asyncio.create_task(watching.run())
    await clock.advance(1)
    bench.rules.write_text(OTHER)
    await until_active(book, 2, clock)
    assert (watching.way, watching.problem) == ("poll", "no space left for watches")
    task.cancel()


async def test_changes_of_included_files_are_noticed_also_of_ones_that_were_missing(bench: Bench) -> None:
    part = bench.rules.parent / "parts" / "part.yaml"
    part.parent.mkdir()
    part.write_text(GOOD)
    bench.rules.write_text("include: parts/*.yaml\n")
    book = bench.start()
    await watch(book, Steps()).look()
    assert outcomes(book) == {}
    part.write_text(OTHER)
    await watch(book, Steps()).look()
    assert book.active == 2
    bench.rules.write_text("include: [parts/*.yaml, ../more/new.yaml]\n")
    await watch(book, Steps()).look()
    assert "no rule file matches '../more/new.yaml'" in str(book.problem)
    for _ in range(3):
        await watch(book, Steps()).look()
    assert outcomes(book) == {"taken_over": 1, "broken": 1}
    new = bench.config.parent / "more" / "new.yaml"
    new.parent.mkdir()
    new.write_text(GOOD.replace("busy", "busier"))
    await watch(book, Steps()).look()
    assert (book.active, book.problem) == (3, None)
    assert outcomes(book) == {"taken_over": 2, "broken": 1}
