"""What commands print: one document of JSON or text for a person; and the exit codes."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from guard.errors import Problem

__all__ = ["Exit", "Output", "fail", "leave_quietly"]

SCHEMA = 1


class Exit(IntEnum):
    """What a script learns from a command."""

    OK = 0
    FINDINGS = 1
    USAGE = 2
    CONFIGURATION = 3
    NOT_RUNNING = 4
    TIMEOUT = 5
    BLOCKED = 10
    UNKNOWN = 11
    STALE = 12


@dataclass(frozen=True)
class Output:
    """How this run of the command line speaks: `is_json` prints documents, otherwise text."""

    is_json: bool = False

    def document(self, document: Mapping[str, Any]) -> None:
        """Print the one JSON document of a command."""
        print(json.dumps({"schema": SCHEMA, **document}, default=str))

    def line(self, record: Mapping[str, Any]) -> None:
        """Print one line of a JSON stream."""
        print(json.dumps(record, default=str), flush=True)

    def text(self, text: str) -> None:
        """Print text for a person."""
        print(text)

    def table(self, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
        """Print rows below their head, in columns as wide as they need."""
        widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
        for row in (head, *rows):
            self.text("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def fail(output: Output, code: Exit, message: str, *, problems: Iterable[Problem] = ()) -> Exit:
    """Say why a command ends with `code`: text on stderr, or a document with ``error`` on stdout."""
    if output.is_json:
        output.document(
            {"error": message, "exit": int(code), "errors": [{**problem._asdict(), "doc": problem.doc} for problem in problems]}
        )
    else:
        print(message, file=sys.stderr)
    return code


def leave_quietly() -> None:
    """Let the rest of what is printed go nowhere: whoever reads has seen enough (head), and Python would complain at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
