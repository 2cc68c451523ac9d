"""``guard rules check``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from guard.cli.guard_file import guard_file
from guard.cli.output import Exit
from guard.cli.pack_names import files_of
from guard.cli.problems import errors_of, show_problems
from guard.client.clock import MACHINE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.cli.output import Output
    from guard.errors import Problem

__all__ = ["check", "exit_of", "find_problems"]

_PATH = click.Path(path_type=Path)


@click.command
@click.argument("paths", nargs=-1, type=_PATH)
@click.option("--strict", is_flag=True, help="Warnings fail too.")
@click.option("--watch", is_flag=True, help="Check again when a file changes, until Ctrl-C.")
@click.option("--explain", metavar="ID", help="Explain an id, such as E042, with examples; checks nothing.")
@click.pass_obj
def check(output: Output, paths: Sequence[Path], *, strict: bool, watch: bool, explain: str | None) -> int:
    """Find every mistake in rule files.

    PATHS are packs, folders of them, guard:NAME for a shipped one, or a guard.yaml, which stands for its own rules; the default
    is the guard.yaml in use.
    Tests that stand in packs or beside them are read, not played. Errors end with exit code 1, warnings do so with --strict.
    """
    if explain is not None:
        from guard.cli.rules_error import tell

        return tell(output, explain)
    wanted = files_of(paths) or [guard_file()]
    if watch:
        from guard.cli.rules_watch import watch_files

        return watch_files(output, wanted, is_strict=strict)
    problems = find_problems(wanted, os.environ)
    show_problems(output, problems, wanted)
    return exit_of(problems, is_strict=strict)


def find_problems(paths: Sequence[Path], env: Mapping[str, str], **tables: Any) -> tuple[Problem, ...]:  # noqa: ANN401 - handed on as they are
    """Return every problem of rule files, of the tests in and beside them, and of guard.yaml files, from one run.

    `tables` are fields, catalogue and detectors in place of the installed ones.
    """
    from guard.dsl.loading import examine
    from guard.dsl.problems import Place, Report, Source
    from guard.runtime.rehearsal.checking import TEST_SUFFIXES, check_tests, packs_of_test

    report = Report()
    wanted: dict[Path, None] = {}
    for path in paths:
        if not path.name.endswith(TEST_SUFFIXES):
            wanted[path] = None
            continue
        packs = packs_of_test(path)
        if not packs:
            report.add(
                "E028", Place(Source.of(str(path), "")), "there is no pack beside this test file", "a pack is named NAME.yaml"
            )
        wanted.update(dict.fromkeys(packs))
    for rules in examine(wanted, report, env=env, now_us=MACHINE.wall_us(), **tables):
        check_tests(rules, report)
    return report.problems


def exit_of(problems: Sequence[Problem], *, is_strict: bool) -> Exit:
    """Return the exit code of a check."""
    return Exit.FINDINGS if errors_of(problems) or (is_strict and problems) else Exit.OK
