"""What came of a reload, for those who asked for it and those who count."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.dsl.problems import NAMES
from guard.errors import ConfigurationError, Problem
from guard.model.moments import stamp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from guard.dsl import Program

__all__ = ["Reload", "ReloadCounts", "ReloadState", "changes", "headline", "problem_at", "problems_of", "where_of"]

_HEADLINE_MAX = 70


class ReloadState(StrEnum):
    """taken_over: new rules run. unchanged: what was read is what runs. broken: the last good ones run on."""

    TAKEN_OVER = "taken_over"
    UNCHANGED = "unchanged"
    BROKEN = "broken"


class Reload(NamedTuple):
    """What came of one reload.

    `program` are the new rules where they were taken over. `problem` is what is wrong as one text, `problems` each by itself with
    its place; new rules may run though something is wrong beside them. `added`, `removed` and `changed` are ids of rules,
    `settings` other keys of guard.yaml that were taken over.
    """

    state: ReloadState
    program: Program | None = None
    problem: str | None = None
    problems: tuple[Problem, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


class ReloadCounts:
    """Counts what came of the reloads since guard started, and remembers the last one."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(ReloadState, 0)
        self._last: dict[str, Any] | None = None
        # When the rules that run were taken over, None since the start.
        self.since: str | None = None

    def take(self, reload: Reload, *, at_us: int, took_us: int) -> None:
        """Count one."""
        self._counts[reload.state] += 1
        if reload.state is ReloadState.TAKEN_OVER:
            self.since = stamp(at_us)
        self._last = {"at": stamp(at_us), "outcome": str(reload.state), "took_ms": took_us / 1000}

    def record(self) -> dict[str, Any]:
        """Return the counts by outcome, and when the last one was, what came of it and how long it took; JSON-able."""
        return {**{str(state): count for state, count in self._counts.items()}, "last": self._last}


def changes(before: Program, after: Program) -> dict[str, tuple[str, ...]]:
    """Return which rules were added, removed and changed."""
    old, new = ({rule.id: rule.hash for rule in program.rules} for program in (before, after))
    return {
        "added": tuple(name for name in new if name not in old),
        "removed": tuple(name for name in old if name not in new),
        "changed": tuple(name for name in new if name in old and new[name] != old[name]),
    }


def problem_at(path: Path | str, code: str, message: str, hint: str = "") -> Problem:
    """Return a problem of a file as a whole."""
    return Problem(str(path), 1, 1, code, NAMES[code], "error", message, hint)


def where_of(problem: Problem) -> dict[str, Any]:
    """Return where a problem stands, as the log tells it."""
    found = {"file": problem.file, "line": problem.line, "column": problem.column, "id": problem.id}
    return {**found, "hint": problem.hint} if problem.hint else found


def headline(problem: str, problems: Sequence[Problem]) -> str:
    """Return what is wrong in one short line: another mistake makes another line.

    Examples
    --------
    >>> headline("", [Problem("own.yaml", 2, 9, "E042", "unknown-name", "error", "unknown name 'retn'")])
    "own.yaml:2: unknown name 'retn'"
    """
    more = f"{len(problems)} mistakes, first " if len(problems) > 1 else ""
    text = f"{problems[0].file}:{problems[0].line}: {problems[0].message}" if problems else problem.split("\n", 1)[0]
    return more + (text if len(text) <= _HEADLINE_MAX else f"{text[: _HEADLINE_MAX - 1]}…")


def problems_of(error: Exception) -> tuple[Problem, ...]:
    """Return each mistake of an error by itself; none where it has no place in a file."""
    return error.problems if isinstance(error, ConfigurationError) else ()
