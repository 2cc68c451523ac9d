"""Work that is spread over processes: one that dies takes its piece with it, and no other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from contextlib import closing, contextmanager, suppress
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from multiprocessing.connection import Connection

__all__ = ["Done", "can_fork", "cores", "in_order", "spread"]

_TEXT_MAX = 400


class Done(NamedTuple):
    """What came of one piece: its `answer`, or `error` in words and, unless its process died, what it `raised`."""

    number: int
    answer: Any
    error: str | None = None
    raised: Exception | None = None


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def can_fork() -> bool:
    """Whether a child process may begin as a copy of this one: on Linux, while no other thread of Python may hold a lock."""
    return sys.platform == "linux" and threading.active_count() == 1


def spread(work: Callable[[int], Any], count: int, *, jobs: int, forks: bool) -> Generator[Done]:
    """Do the pieces 0 to `count` - 1 in up to `jobs` processes, and yield each as it is done.

    Parameters
    ----------
    work
        Does one piece. Its answer can be sent between processes; so can `work` itself, where it does not fork.
    jobs
        Processes at most, >= 1; with one, all is done here.
    forks
        Whether children begin as copies of this process, see `can_fork`; otherwise each imports guard anew.

    Notes
    -----
    A piece that raises, or whose process dies, is done with an error; another process takes the rest. Whoever stops reading, or is
    interrupted, ends the processes. They end by themselves when this one dies.
    """
    if jobs <= 1 or count <= 1:
        for number in range(count):
            yield _done(work, number)
        return
    crew = _Crew(work, multiprocessing.get_context("fork" if forks else "spawn"))
    try:
        yield from crew.run(count, min(jobs, count))
    finally:
        crew.end()


def in_order(work: Callable[[int], Any], count: int, *, jobs: int, forks: bool) -> Generator[Done]:
    """Do the same as `spread`, and yield the pieces in their order."""
    waiting: dict[int, Done] = {}
    following = 0
    with closing(spread(work, count, jobs=jobs, forks=forks)) as running:
        for done in running:
            waiting[done.number] = done
            while following in waiting:
                yield waiting.pop(following)
                following += 1


def _done(work: Callable[[int], Any], number: int) -> Done:
    try:
        return Done(number, work(number))
    except Exception as error:  # noqa: BLE001 - one piece that fails must not lose the others; it is told
        return Done(number, None, (str(error) or type(error).__name__)[:_TEXT_MAX], error)


class _Crew:
    def __init__(self, work: Callable[[int], Any], context: Any) -> None:  # noqa: ANN401 - typeshed has one class for each way
        self._work = work
        self._context = context
        self._workers: dict[Connection, Any] = {}
        self._doing: dict[Connection, int] = {}

    def run(self, count: int, jobs: int) -> Iterator[Done]:
        """Yield each piece as it is done."""
        following = iter(range(count))
        for _ in range(jobs):
            self._give(None, following)
        while self._doing:
            for ready in wait(list(self._doing)):
                pipe = next(each for each in self._doing if each is ready)
                number = self._doing.pop(pipe)
                free: Connection | None = pipe
                try:
                    done = Done(*pipe.recv())
                except (EOFError, OSError):
                    done, free = Done(number, None, self._buried(pipe)), None
                self._give(free, following)
                yield done

    def _begin(self) -> Connection:
        ours: Connection
        theirs: Connection
        ours, theirs = self._context.Pipe()
        # A copy of this process has copies of the pipes of the others, too, which would keep them from seeing its end.
        inherited = (ours, *self._workers) if self._context.get_start_method() == "fork" else ()
        process = self._context.Process(target=_serve, args=(self._work, theirs, inherited), daemon=True, name="guard-worker")
        with _undisturbed():
            process.start()
        theirs.close()
        self._workers[ours] = process
        return ours

    def _give(self, pipe: Connection | None, following: Iterator[int]) -> None:
        """Give the next piece, if there is one, to a process that is free, or to a new one."""
        number = next(following, None)
        if number is None:
            return
        pipe = pipe or self._begin()
        self._doing[pipe] = number
        # One that has died meanwhile tells so when it is read.
        with suppress(OSError):
            pipe.send(number)

    def _buried(self, pipe: Connection) -> str:
        process = self._workers.pop(pipe)
        pipe.close()
        process.join()
        code = process.exitcode
        return f"its process died by signal {-code}" if code < 0 else f"its process ended with code {code}"

    def end(self) -> None:
        """End all processes."""
        for pipe, process in self._workers.items():
            pipe.close()
            process.terminate()
        for process in self._workers.values():
            process.join()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let Ctrl-C wait: what it raises amid a fork is lost, and what begins there must not see it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(work: Callable[[int], Any], pipe: Connection, inherited: Sequence[Connection]) -> None:
    """Do what is asked for until nobody asks any more."""
    # Ctrl-C goes to all processes of the terminal; the one that asks decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    for other in inherited:
        other.close()
    while True:
        try:
            number = pipe.recv()
        except (EOFError, OSError):
            return
        done = _done(work, number)
        try:
            pipe.send(tuple(done))
        except Exception:
            if done.raised is None:
                raise
            # What cannot be sent is told in words.
            pipe.send(tuple(done._replace(raised=None)))
