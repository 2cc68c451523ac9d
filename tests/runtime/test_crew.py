"""Work over processes: all of it, in spite of pieces that fail and processes that die."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from guard.runtime.crew import Done, can_fork, in_order, spread

WAYS = [pytest.param(True, id="forked"), pytest.param(False, id="spawned")]


def square(number: int) -> int:
    return number * number


def troubled(number: int) -> int:
    if number == 1:
        raise ValueError("one is too little")
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def marked(folder: str, number: int) -> int:
    (Path(folder) / str(os.getpid())).touch()
    return number


def late(number: int) -> int:
    # Any other is done before the first is.
    return sum(range(3_000_000 if number == 0 else 10))


def odd(number: int) -> int:
    if number:
        error = KeyError("who")
        error.held = threading.Lock()  # type: ignore[attr-defined]
        raise error
    return number


@pytest.mark.parametrize("forks", WAYS)
def test_all_pieces_are_done_by_all_processes(forks: bool) -> None:  # noqa: FBT001 - a case
    done = sorted(spread(square, 9, jobs=2, forks=forks))
    assert done == [Done(number, number * number) for number in range(9)]


@pytest.mark.parametrize("forks", WAYS)
def test_a_piece_that_fails_or_kills_its_process_loses_no_other(forks: bool) -> None:  # noqa: FBT001 - a case
    done = sorted(spread(troubled, 6, jobs=2, forks=forks))
    assert [one.answer for one in done] == [0, None, None, 9, 16, 25]
    assert done[1].error == "one is too little"
    assert done[2].error == "its process died by signal 9"


def test_one_job_is_done_here(tmp_path: Path) -> None:
    assert [one.answer for one in spread(partial(marked, str(tmp_path)), 3, jobs=1, forks=True)] == [0, 1, 2]
    assert [path.name for path in tmp_path.iterdir()] == [str(os.getpid())]


def test_who_stops_reading_ends_the_processes(tmp_path: Path) -> None:
    with closing(spread(partial(marked, str(tmp_path)), 1000, jobs=2, forks=True)) as running:
        next(running)
    for path in tmp_path.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.name), 0)


def test_no_copy_is_made_of_a_process_with_threads() -> None:
    before = can_fork()
    gate = threading.Event()
    other = threading.Thread(target=gate.wait)
    other.start()
    try:
        assert not can_fork()
    finally:
        gate.set()
        other.join()
    assert can_fork() == before


@pytest.mark.parametrize("forks", WAYS)
def test_pieces_come_in_their_order_though_the_first_is_late(forks: bool) -> None:  # noqa: FBT001 - a case
    assert [one.number for one in in_order(late, 12, jobs=2, forks=forks)] == list(range(12))


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_a_piece_raises_comes_with_it(jobs: int) -> None:
    done = list(in_order(troubled, 2, jobs=jobs, forks=True))
    assert (done[0].raised, type(done[1].raised), str(done[1].raised)) == (None, ValueError, "one is too little")


def test_what_cannot_be_sent_is_told_in_words() -> None:
    done = list(in_order(odd, 3, jobs=2, forks=True))
    assert [(one.answer, one.error, one.raised) for one in done] == [(0, None, None), *[(None, "'who'", None)] * 2]
