"""Each step on the way from a decision to its readers broken, and what guard does about it: one test for each row of the table."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from runtime.test_vigil import watched

from guard.client.snapshot import SnapshotUnusable
from guard.errors import Unavailable
from guard.model import AddQuarantine, ReleaseQuarantine, Target, TargetKind
from guard.model.validation import Failed, Fallback, IsolationStep
from guard.quarantine.fallbacks import fallbacks_of
from guard.runtime.publish import CannotPublish

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runtime.test_vigil import Watched

    from guard.client.payload import Snapshot

    Reading = tuple[int, Snapshot | None]

HELD = Target(TargetKind.MARKET, "x:A/USDT")


async def hold(guard: Watched, seconds: float) -> None:
    order = asyncio.create_task(guard.live.operate(AddQuarantine(HELD, 10**10, "news", "ann")))
    await guard.pass_time(seconds)
    assert order.done()


def is_told(guard: Watched) -> bool:
    """Return whether people were told of guard's own trouble."""
    return any(title.startswith("[CRITICAL] guard") for title in guard.messenger.titles)


def file_of(guard: Watched) -> object:
    """Return what stands for the file that is written now: numbers of files are used again."""
    return guard.live.publisher._memory


def break_file(guard: Watched) -> None:
    """Let the file that is there take nothing more, as a bad sector would; another file works."""
    publisher, write, broken = guard.live.publisher, guard.live.publisher._fill, file_of(guard)

    def fill(file: int, *rest: object) -> None:
        if file_of(guard) == broken and file == publisher._file:
            raise CannotPublish("input/output error")
        write(file, *rest)  # type: ignore[arg-type] - handed on

    publisher._fill = fill  # type: ignore[method-assign]


def misread(guard: Watched, wrong: Callable[[Reading], Reading], *, always: bool = False) -> Callable[[], None]:
    """Let readers of the file that is there find something else than was published; returns what ends that."""
    validation, read, broken = guard.live.vigil.validation, guard.live.vigil.validation._read, file_of(guard)

    async def reading() -> Reading:
        found = await read()
        return wrong(found) if always or file_of(guard) == broken else found

    validation._read = reading  # type: ignore[method-assign]

    def mend() -> None:
        validation._read = read  # type: ignore[method-assign]

    return mend


def unreadable(_: Reading) -> Reading:
    raise SnapshotUnusable("input/output error")


def without_blocks(found: Reading) -> Reading:
    generation, snapshot = found
    assert snapshot is not None
    return generation, snapshot._replace(blocks=())


def test_every_step_has_something_done_about_it() -> None:
    for step in IsolationStep:
        assert fallbacks_of(Failed(step, "broken"))
        assert Fallback.PAGE in fallbacks_of(Failed(step, "broken", 2))


async def test_commit_blocks_hold_in_memory_releases_wait_and_people_are_told_past_the_outbox(tmp_path: Path) -> None:
    async with watched(tmp_path) as guard:
        store = guard.live.committer._store
        commit = store.commit

        async def fail(*_: object, **__: object) -> int:
            raise Unavailable("disk full")

        store.commit = fail  # type: ignore[method-assign]
        adding = asyncio.create_task(guard.live.operate(AddQuarantine(HELD, 10**10, "news", "ann")))
        await guard.pass_time(5)
        assert guard.clearance.status == "blocked"
        assert not guard.clearance.durable
        assert guard.beats_for_bots
        assert "[CRITICAL] guard: the ledger cannot be written" in guard.messenger.titles
        releasing = asyncio.create_task(guard.live.operate(ReleaseQuarantine(HELD, None, "too early", "ann")))
        await guard.pass_time(2)
        assert guard.clearance.status == "blocked"
        store.commit = commit  # type: ignore[method-assign]
        await guard.pass_time(70)
        assert adding.done()
        assert releasing.done()
        assert guard.clearance.status != "blocked"


async def test_publish_a_file_that_takes_nothing_more_is_replaced(tmp_path: Path) -> None:
    async with watched(tmp_path) as guard:
        before = file_of(guard)
        break_file(guard)
        await hold(guard, 4)
        assert file_of(guard) != before
        assert guard.clearance.status == "blocked"
        assert guard.beats_for_bots


async def test_publish_people_are_told_where_no_file_can_be_written(tmp_path: Path) -> None:
    async with watched(tmp_path) as guard:

        def fail(*_: object) -> None:
            raise CannotPublish("no space left")

        guard.live.publisher._fill = fail  # type: ignore[method-assign]
        await hold(guard, 6)
        assert not guard.beats_for_bots
        assert is_told(guard)
        del guard.live.publisher._fill


async def test_read_back_the_first_failure_makes_a_new_file_and_silences_nobody(tmp_path: Path) -> None:
    async with watched(tmp_path) as guard:
        before = file_of(guard)
        misread(guard, unreadable)
        await hold(guard, 4)
        assert guard.live.vigil.validation.health.failed == {IsolationStep.READ_BACK: 1}
        assert file_of(guard) != before
        assert guard.beats_for_bots
        assert not is_told(guard)


async def test_read_back_that_goes_on_failing_silences_guard_and_is_told(tmp_path: Path) -> None:
    async with watched(tmp_path) as guard:
        mend = misread(guard, unreadable, always=True)
        await hold(guard, 6)
        assert not guard.beats_for_bots
        assert "read_back" in str(guard.live.vigil.silence)
        assert is_told(guard)
        mend()
        await guard.pass_time(12)
        assert guard.beats_for_bots


@pytest.mark.parametrize("always", [False, True])
async def test_mismatch_silences_guard_until_a_new_file_holds_every_block(tmp_path: Path, *, always: bool) -> None:
    async with watched(tmp_path) as guard:
        before = file_of(guard)
        silences: list[str | None] = []
        hush = guard.live.publisher.hush

        def hushed() -> None:
            silences.append(guard.live.vigil.silence)
            hush()

        guard.live.publisher.hush = hushed  # type: ignore[method-assign]
        mend = misread(guard, without_blocks, always=always)
        await hold(guard, 6)
        assert "mismatch" in str(silences[0])
        assert file_of(guard) != before
        assert guard.beats_for_bots is not always
        assert is_told(guard) is always
        mend()
        await guard.pass_time(12)
        assert guard.beats_for_bots
        assert guard.clearance.status == "blocked"
