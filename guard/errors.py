"""Every error guard raises, cut by what its reader must do.

::

    GuardError
    ├── ConfigurationError     mend guard.yaml or a rule file; carries every problem with file, line and column
    │   └── RuleError          the same, for a rule pack
    ├── Unavailable            wait, or look at the other side
    │   ├── Disconnected       a stream or a server went away; guard tries again
    │   ├── RateLimited        the other side asked for a pause
    │   ├── NotRunning         no live guard answers here
    │   └── Timeout            a live guard did not answer in time; what was asked may still happen
    ├── MalformedEvent         drop one event and count it
    ├── StateError             the state folder is held by another guard, too new, or damaged
    └── OperationRefused       the operator's command cannot be carried out; says why
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "ConfigurationError",
    "Disconnected",
    "GuardError",
    "MalformedEvent",
    "NotRunning",
    "OperationRefused",
    "Problem",
    "RateLimited",
    "RuleError",
    "StateError",
    "Timeout",
    "Unavailable",
]


_SHOWN_MAX = 240
_BEFORE = 120


def _around(line: str, column: int) -> tuple[str, int]:
    """Return the part of a long line around a column, and the column in it."""
    if len(line) <= _SHOWN_MAX:
        return line, column
    start = max(0, min(column - 1 - _BEFORE, len(line) - _SHOWN_MAX))
    end = start + _SHOWN_MAX
    head, tail = "... " if start else "", " ..." if end < len(line) else ""
    return f"{head}{line[start:end]}{tail}", column - start + len(head)


class Problem(NamedTuple):
    """One mistake in a file that a person wrote.

    `line` and `column` count from 1. `id` is stable (``E012``), `name` its readable twin (``unknown-name``), `severity` is
    ``error`` or ``warning``; `source` is the text of the line.
    """

    file: str
    line: int
    column: int
    id: str
    name: str
    severity: str
    message: str
    hint: str = ""
    source: str = ""

    def __str__(self) -> str:
        """Render as ``file:line:column: severity[id name]: message`` with the source line, a caret and the hint below."""
        text = f"{self.file}:{self.line}:{self.column}: {self.severity}[{self.id} {self.name}]: {self.message}"
        if self.source:
            line, column = _around(self.source, self.column)
            text += f"\n    {line}\n    {' ' * (column - 1)}^"
        if self.hint:
            text += f"\n    hint: {self.hint}"
        return text


class GuardError(Exception):
    """Root of all errors that guard raises on purpose."""


class ConfigurationError(GuardError):
    """A file that a person wrote cannot be used; `problems` holds every mistake found in one run."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class RuleError(ConfigurationError):
    """A rule pack cannot be used."""


class Unavailable(GuardError):
    """The other side does not answer now."""


class Disconnected(Unavailable):
    """A stream or a server went away."""


class RateLimited(Unavailable):
    """The other side asked for a pause of `retry_after_s` seconds."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotRunning(Unavailable):
    """No live guard answers here."""


class Timeout(Unavailable):
    """A live guard did not answer in time; what was asked may still happen."""


class MalformedEvent(GuardError):
    """One event breaks the contract of its source; drop it and count `reason`."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class StateError(GuardError):
    """The state folder is held by another guard, written by a newer one, or damaged."""


class OperationRefused(GuardError):
    """The operator's command cannot be carried out."""
