"""Writing in a thread: consoles that hang, fail, or are gone."""

from __future__ import annotations

import errno
import threading

import pytest

from guard.runtime.printer import Printer


def test_writes_keep_their_order() -> None:
    printer, seen = Printer(), list[int]()
    for number in range(100):
        printer.put(lambda number=number: seen.append(number))  # type: ignore[misc] - each number is its own
    assert printer.close()
    assert seen == list(range(100))
    assert printer.dropped == 0


@pytest.mark.parametrize(
    "error", [UnicodeEncodeError("ascii", "é", 0, 1, "no"), OSError(errno.ENOSPC, "full"), KeyError("style"), ValueError("markup")]
)
def test_a_write_that_fails_is_counted_and_the_next_one_is_written(error: Exception) -> None:
    printer, seen = Printer(), list[str]()

    def fail() -> None:
        raise error

    printer.put(fail)
    printer.put(lambda: seen.append("next"))
    assert printer.close()
    assert (seen, printer.dropped, printer.is_closed_outside) == (["next"], 1, False)
    assert str(printer.problem).startswith(type(error).__name__)


@pytest.mark.parametrize(
    "error", [BrokenPipeError(errno.EPIPE, "gone"), ValueError("I/O operation on closed file."), SystemExit(1)]
)
def test_a_reader_that_is_gone_ends_the_writing_and_all_is_counted(error: BaseException) -> None:
    printer, gate = Printer(), threading.Event()

    def fail() -> None:
        gate.wait(5)
        raise error

    for write in (fail, lambda: None, lambda: None):
        printer.put(write)
    gate.set()
    assert printer.close()
    printer.put(lambda: None)
    assert (printer.is_closed_outside, printer.dropped) == (True, 4)


def test_a_write_that_hangs_holds_up_nobody_and_what_waits_is_bounded() -> None:
    printer, gate = Printer(), threading.Event()
    for _ in range(10_500):
        printer.put(gate.wait)
    assert 498 <= printer.dropped <= 500
    assert not printer.close(0.05)
    gate.set()
    assert printer.close(5)
