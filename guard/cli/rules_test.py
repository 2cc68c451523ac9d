"""``guard rules test``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from guard.cli.guard_file import guard_file
from guard.cli.output import Exit
from guard.cli.pack_names import files_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard.cli.output import Output
    from guard.runtime.rehearsal.clauses import ClauseCoverage
    from guard.runtime.rehearsal.findings import Findings

__all__ = ["test"]

_CLAUSES_MAX: Final = 20
_NAMES_MAX: Final = 6


@click.command
@click.argument("paths", nargs=-1)
@click.option("-k", "--only", multiple=True, metavar="TEST", help="Only tests with this in their name, or like it (*).")
@click.option("--strict", is_flag=True, help="Fail where a clause was never seen true, or never false.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes that share the work; default: one a core.")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write the results as JUnit XML, for CI.")
@click.pass_obj
def test(output: Output, paths: Sequence[str], only: Sequence[str], junit: Path | None, *, strict: bool, jobs: int | None) -> int:
    """Play the tests of rule packs and show what differs.

    They run on virtual time. PATHS are packs, test files, folders, globs, or guard:NAME for a shipped pack; the default are the
    packs of guard.yaml, without one the shipped packs. Tests stand in their pack (tests:) or lie beside it (PACK.test.yaml). A
    rule that no test makes fire, or that none keeps silent, fails. Clauses that the tests never saw true, or never saw false, are
    listed.
    """
    from guard.runtime.crew import cores
    from guard.runtime.rehearsal.findings import rehearsed
    from guard.runtime.rehearsal.junit import written

    found = rehearsed([str(path) for path in files_of(paths)], guard_file(), os.environ, only=only, jobs=jobs or cores())
    for record in found.run():
        if not output.is_json and not record["passed"]:
            _show(output, record)
    _tell(output, found, is_strict=strict)
    if junit is not None:
        _write(junit, written(found, is_strict=strict))
    return Exit.OK if found.is_sound(is_strict=strict) else Exit.FINDINGS


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be written: {error.strerror}", param_hint="--junit") from error


def _tell(output: Output, found: Findings, *, is_strict: bool) -> None:
    if output.is_json:
        output.document(found.document())
        return
    for problem in found.problems:
        output.text(f"{problem}\n")
    for record in found.records:
        if record.get("not_given"):
            output.text(
                f"{record['file']}:{record['line']}: {record['test']}: not given, so unknown: {_names(record['not_given'])}"
            )
    for rule in found.lacking:
        output.text(f"{rule.place}: the rule {rule.rule} {found.lack_of(rule)}")
    output.text(found.summary())
    for line in _clauses(found.one_sided, is_strict=is_strict):
        output.text(line)


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_MAX} more" if len(names) > _NAMES_MAX else ""
    return ", ".join(names[:_NAMES_MAX]) + more


def _clauses(clauses: Sequence[ClauseCoverage], *, is_strict: bool) -> Iterator[str]:
    if clauses:
        yield "clauses that the tests did not see both ways" + ("" if is_strict else " (--strict makes them fail)") + ":"
    for clause in clauses[:_CLAUSES_MAX]:
        yield f"  {clause.rule}: {clause.name} {clause.lack}"
    if len(clauses) > _CLAUSES_MAX:
        yield f"  and {len(clauses) - _CLAUSES_MAX} more; --json has all"


def _show(output: Output, record: dict[str, Any]) -> None:
    output.text(f"{record['file']}:{record['line']}:{record['column']}: {record['test']} failed (rule {record['rule']})")
    for miss in record["misses"]:
        place = f"{miss['line']}:{miss['column']}"
        output.text(f"  {place}: expected {miss['expected']}")
        output.text(f"  {' ' * len(place)}  found    {miss['found']}, on {_subject(miss)}")
        if miss["nearest"] is not None:
            near = miss["nearest"]
            output.text(f"  {' ' * len(place)}  missing  {'; '.join(near['missing'])} (nearest, at {near['at_s']:g}s)")
        for row in miss["around"]:
            output.text(f"    {_event(row) if 'event' in row else _glance(row)}")
    output.text("")


def _subject(miss: dict[str, Any]) -> str:
    return f"the group {miss['group']}; its market {miss['market']}:" if "group" in miss else str(miss["market"])


def _event(row: dict[str, Any]) -> str:
    line = row["event"]
    what = f"level {line['level']}" if line["type"] == "verdict" else f"{line['state']} ({line['cause']})"
    return f"{row['at_s']:>9.2f}s  -> {line['rule']} {line['market']}: {what}"


def _glance(row: dict[str, Any]) -> str:
    if not row["in_scope"]:
        return f"{row['at_s']:>9.2f}s  the rule does not look at this market"
    factors = "  ".join(f"{name} {_number(value)}" for name, value in row["factors"].items())
    fires = {True: "fires", False: "silent", None: "unknown"}[row["fires"]]
    held = "blocked" if row["blocked"] else ""
    quorum = f"  {row['quorum']['held']} of {row['quorum']['needed']} needed" if "quorum" in row else ""
    return f"{row['at_s']:>9.2f}s  {row['level']:<8}{quorum}  score {_number(row['score'])}  {fires:<7}  {factors}  {held}".rstrip()


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.2f}"
