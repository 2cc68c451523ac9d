"""Stable ids of every mistake, and where in a file a mistake stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from heapq import nlargest
from typing import TYPE_CHECKING, NamedTuple

from guard.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NAMES", "Place", "Report", "Source", "did_you_mean", "guessed", "meant"]

PROBLEMS_MAX = 100
_WARNINGS_MAX = 50
_SHOWN_MAX = 16
_LETTERS_MAX = 64
_NEAREST = 6

NAMES = {
    "E001": "unreadable-file",
    "E002": "too-large",
    "E003": "yaml-syntax",
    "E004": "duplicate-key",
    "E005": "alias",
    "E006": "tag",
    "E007": "tab",
    "E008": "unquoted-pattern",
    "E009": "too-deep",
    "E010": "too-many",
    "E011": "not-a-mapping",
    "E012": "unquoted-expression",
    "E020": "unknown-key",
    "E021": "missing-key",
    "E022": "wrong-type",
    "E023": "not-a-choice",
    "E024": "out-of-range",
    "E025": "wrong-value",
    "E026": "duplicate-rule",
    "E027": "unknown-rule",
    "E028": "no-rule-file",
    "E030": "secret-missing",
    "E031": "unknown-variable",
    "E040": "expression-syntax",
    "E041": "expression-too-long",
    "E042": "unknown-name",
    "E043": "wrong-argument",
    "E044": "wrong-operand",
    "E045": "unit-mismatch",
    "E046": "ratio-as-number",
    "E047": "unknown-list",
    "E048": "cycle",
    "E049": "not-constant",
    "E050": "unknown-detector",
    "E051": "detector-parameter",
    "E052": "broken-detector",
    "E053": "broken-feature",
    "E060": "include-outside",
    "E065": "target-misses-group",
    "E066": "quorum-without-group",
    "E070": "unknown-webhook",
    "E071": "unknown-action",
    "E072": "broken-action",
    "E075": "unknown-parameter",
    "E076": "not-a-number",
    "E077": "wrong-range",
    "E078": "unknown-series",
    "E079": "series-not-read",
    "E080": "series-syntax",
    "E081": "series-unit",
    "E083": "invisible-character",
    "E090": "untested-rule",
    "E091": "failed-test",
    "E092": "tests-too-slow",
    "E093": "restless-files",
    "E094": "reload-failed",
    "E095": "bot-without-rule",
    "E096": "bot-without-tag",
    "E097": "bot-without-exchange",
    "W001": "unused-name",
    "W002": "constant-condition",
    "W003": "readable-secret",
    "W004": "no-effect-yet",
    "W005": "clear-above-level",
    "W006": "decided-comparison",
    "W007": "contradiction",
    "W008": "redundant-condition",
    "W009": "exception-always-holds",
    "W010": "hold-beyond-window",
    "W011": "level-never-reached",
    "W012": "enforce-without-quarantine",
    "W013": "stream-not-watched",
    "W014": "scope-matches-nothing",
    "W015": "enforce-without-why",
    "W016": "plain-secret",
    "W017": "cleartext-password",
    "W065": "one-market-blocks-exchange",
    "W070": "unchecked-webhook",
    "W071": "cleartext-webhook",
    "W095": "mode-above-ceiling",
    "W096": "name-is-no-pattern",
    "W097": "exchange-not-there",
    "W098": "market-not-watched",
    "W099": "allow-is-over",
    "W100": "allow-without-rule",
    "W066": "quorum-out-of-reach",
}


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A text that a person wrote, with the name it is shown by."""

    file: str
    text: str
    lines: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, file: str, text: str) -> Source:
        """Return `text` cut into lines as YAML cuts them."""
        return cls(file, text, tuple(text.replace("\r\n", "\n").replace("\r", "\n").split("\n")))


class Place(NamedTuple):
    """A spot in a source; `line` and `column` count from 1. A hidden place shows no source line: it may hold a secret."""

    source: Source
    line: int = 1
    column: int = 1
    is_hidden: bool = False

    @property
    def text(self) -> str:
        """The source line, empty where it is hidden or the file ends before."""
        if self.is_hidden or not 0 < self.line <= len(self.source.lines):
            return ""
        return self.source.lines[self.line - 1]


class Report:
    """Collects problems; keeps the first `PROBLEMS_MAX`, so that a hostile file cannot make an endless list.

    Warnings take at most half of the places: no number of them hides an error.
    """

    def __init__(self) -> None:
        self._problems: dict[Problem, None] = {}
        self._warnings = 0
        self._muted: set[tuple[str, int]] = set()

    @property
    def error_count(self) -> int:
        """How many errors there are."""
        return len(self._problems) - self._warnings

    @property
    def is_full(self) -> bool:
        """Whether there are so many problems that no more are kept; some of them are errors."""
        return len(self._problems) >= PROBLEMS_MAX

    def mute(self, place: Place) -> None:
        """Take no more problems of a line: what is told of it from now on would follow from the one that was found."""
        self._muted.add((place.source.file, place.line))

    def add(self, code: str, place: Place, message: str, hint: str = "", *, is_cause: bool = False) -> None:
        """Note one problem; the same one twice counts once. A cause is taken on a muted line, too."""
        severity = "warning" if code.startswith("W") else "error"
        is_muted = not is_cause and bool(self._muted) and (place.source.file, place.line) in self._muted
        if is_muted or self.is_full or (severity == "warning" and self._warnings >= _WARNINGS_MAX):
            return
        row = Problem(
            place.source.file, place.line, place.column, code, NAMES[code], severity, message, hint, place.text.replace("\t", " ")
        )
        self._warnings += severity == "warning" and row not in self._problems
        self._problems[row] = None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems by file, line and column."""
        return tuple(sorted(self._problems, key=lambda row: (row.file, row.line, row.column, row.id)))

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that forbid the use of the file."""
        return tuple(row for row in self.problems if row.severity == "error")


def meant(word: str, words: Iterable[str]) -> str | None:
    """Return the word that was most likely meant, None where nothing is close.

    Examples
    --------
    >>> meant("retn", ["ret", "rush"])
    'ret'
    """
    lower = word.lower()[:_LETTERS_MAX]
    letters = _letters(lower)
    by_lower = {name.lower(): name for name in sorted(set(words))}
    # Only those with many letters in common are looked at closely, or a file full of mistakes would take a second.
    like = {name: 2 * len(letters & _letters(name)) / (len(letters) + len(_letters(name)) or 1) for name in by_lower}
    close = get_close_matches(lower, nlargest(_NEAREST, like, key=like.__getitem__), n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


@lru_cache(maxsize=4096)
def _letters(word: str) -> frozenset[str]:
    return frozenset(word)


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Return ``did you mean ret?``, else the allowed words where they are few, else nothing.

    Examples
    --------
    >>> did_you_mean("dangr", ["warning", "danger", "critical"])
    'did you mean danger?'
    """
    known = sorted(set(words))
    close = meant(word, known)
    if close is not None:
        return f"did you mean {close}?"
    return f"allowed here: {', '.join(known)}" if 0 < len(known) <= _SHOWN_MAX else ""


def guessed(message: str, word: str, words: Iterable[str]) -> str:
    """Return a message about a word that is not there, with what `did_you_mean` knows.

    Examples
    --------
    >>> guessed("there is no rule 'pmp_dump'", "pmp_dump", ["pump_dump", "spoofing"])
    "there is no rule 'pmp_dump'; did you mean pump_dump?"
    >>> guessed("there is no rule 'pmp_dump'", "pmp_dump", [])
    "there is no rule 'pmp_dump'"
    """
    hint = did_you_mean(word, words)
    return f"{message}; {hint}" if hint else message
