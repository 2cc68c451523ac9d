"""How problems of files are shown: to a person by file, with the line and a caret; to a program as rows."""

from __future__ import annotations

import shutil
import sys
from itertools import groupby
from typing import TYPE_CHECKING, Any

from guard.cli.counting import many

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from guard.cli.output import Output
    from guard.errors import Problem

__all__ = ["counted", "errors_of", "problem_rows", "problem_text", "problem_texts", "show_problems", "summary_of"]

_KEYS = ("file", "line", "column", "id", "name", "severity", "message", "hint", "doc")
_INDENT = "    "
_STYLES = {"error": "bold red", "warning": "bold yellow"}


def problem_rows(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """Return problems as JSON-able rows; `doc` is the page that explains the id."""
    return [{key: getattr(problem, key) for key in _KEYS} for problem in problems]


def show_problems(output: Output, problems: Sequence[Problem], paths: Sequence[Path]) -> None:
    """Print what one check of `paths` found."""
    if output.is_json:
        output.document({"errors": problem_rows(problems)})
        return
    for text in problem_texts(problems):
        output.text(text)
    output.text(summary_of(problems, paths))


def errors_of(problems: Iterable[Problem]) -> list[Problem]:
    """Return those that forbid the use of their file."""
    return [problem for problem in problems if problem.severity == "error"]


def counted(problems: Sequence[Problem]) -> str:
    """Return ``2 errors and 1 warning``, empty where there is nothing to count."""
    errors = len(errors_of(problems))
    rows = ((errors, "error"), (len(problems) - errors, "warning"))
    return " and ".join(many(count, word) for count, word in rows if count)


def summary_of(problems: Sequence[Problem], paths: Sequence[Path]) -> str:
    """Return the last line of a check."""
    from guard.dsl.problems import PROBLEMS_MAX

    more = " (the first ones; mend these, then look again)" if len(problems) >= PROBLEMS_MAX else ""
    return f"{', '.join(map(str, paths))}: {counted(problems) or 'no mistakes found'}{more}"


def problem_texts(problems: Sequence[Problem]) -> Iterable[str]:
    """Yield what is printed, ready for the terminal or file that stdout is; several files have a heading each."""
    by_file = [(file, list(rows)) for file, rows in groupby(problems, key=lambda problem: problem.file)]
    for file, rows in by_file:
        if len(by_file) > 1:
            yield _styled(f"== {file}: {counted(rows)}", "bold")
        yield from (f"{problem_text(problem)}\n" for problem in rows)
    from guard.dsl.problems import NAMES

    # What connectors tell has no page.
    ids = sorted({problem.id for problem in problems} & NAMES.keys(), key=lambda name: (name[0] != "E", name))
    if ids:
        more = f"; also {', '.join(ids[1:4])}{' ...' if len(ids) > 4 else ''}" if len(ids) > 1 else ""  # noqa: PLR2004 - the first and three more
        yield f"`guard rules error {ids[0]}` explains it with examples{more}"


def problem_text(problem: Problem) -> str:
    """Return one problem; on a terminal with colours, and cut so that no line breaks and the caret stays in its place."""
    if not sys.stdout.isatty():
        return str(problem)
    from guard.errors import excerpt

    style = _STYLES[problem.severity]
    place = f"{problem.file}:{problem.line}:{problem.column}"
    lines = [f"{_styled(place, 'bold')}: {_styled(f'{problem.severity}[{problem.id} {problem.name}]', style)}: {problem.message}"]
    if problem.source:
        width = shutil.get_terminal_size().columns - len(_INDENT) - 1
        line, blanks = excerpt(problem.source, problem.column, cells_max=max(width, 20))
        lines += [f"{_INDENT}{line}", f"{_INDENT}{blanks}{_styled('^', style)}"]
    if problem.hint:
        lines.append(f"{_INDENT}{_styled('hint:', 'cyan')} {problem.hint}")
    return "\n".join(lines)


def _styled(text: str, style: str) -> str:
    """Return a text with colours, where stdout is a terminal that has them and nobody asked for none (NO_COLOR)."""
    if not sys.stdout.isatty():
        return text
    from rich.console import Console
    from rich.style import Style

    console = Console(file=sys.stdout)
    return text if console.color_system is None or console.no_color else Style.parse(style).render(text)
