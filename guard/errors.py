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

from typing import Final, NamedTuple

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
    "excerpt",
]


_EXCERPT_CELLS: Final = 160
_NEAR = 4


def _cells(char: str) -> int:
    """Return how many columns of a terminal a character takes."""
    if char.isascii():
        return 1
    from unicodedata import category, east_asian_width  # noqa: PLC0415 - bots import this file, and show no source lines

    if category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if east_asian_width(char) in ("W", "F") else 1


def _fitting(text: str, cells_max: int) -> int:
    """Return how many characters of `text` fit into so many columns."""
    taken = 0
    for number, char in enumerate(text):
        taken += _cells(char)
        if taken > cells_max:
            return number
    return len(text)


def excerpt(source: str, column: int, *, cells_max: int = _EXCERPT_CELLS) -> tuple[str, str]:
    """Return a source line, cut around `column` (from 1) where it is long, and the blanks before the caret below it.

    Wide characters take two columns of a terminal, combining ones none; what cannot be printed is shown as a blank.

    Examples
    --------
    >>> excerpt("a: \N{PILE OF POO} b", 6)
    ('a: \N{PILE OF POO} b', '      ')
    """
    at = min(max(column, 1) - 1, len(source))
    # What is farther away cannot be shown, and may be a megabyte.
    start, end = max(0, at - _NEAR * cells_max), at + _NEAR * cells_max
    line = "".join(char if char.isprintable() else " " for char in source[start:end])
    before, after = line[: at - start], line[at - start :]
    if start or end < len(source) or sum(map(_cells, line)) > cells_max:
        kept = _fitting(before[::-1], cells_max * 5 // 8)
        before = before if kept == len(before) and not start else f"...{before[len(before) - kept :]}"
        fits = _fitting(after, cells_max - 3 - sum(map(_cells, before)))
        after = after if fits == len(after) and end >= len(source) else f"{after[:fits]}..."
    return before + after, " " * sum(map(_cells, before))


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

    @property
    def doc(self) -> str:
        """The page that explains `id`, within the documentation."""
        return f"docs/errors/{self.id}.md"

    def __str__(self) -> str:
        """Render as ``file:line:column: severity[id name]: message`` with the source line, a caret and the hint below."""
        text = f"{self.file}:{self.line}:{self.column}: {self.severity}[{self.id} {self.name}]: {self.message}"
        if self.source:
            line, blanks = excerpt(self.source, self.column)
            text += f"\n    {line}\n    {blanks}^"
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
