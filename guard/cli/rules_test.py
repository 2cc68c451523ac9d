"""``guard rules test``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from guard.cli.output import Exit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.cli.output import Output
    from guard.errors import Problem
    from guard.runtime.rehearsal.runner import Coverage

__all__ = ["test"]


@click.command
@click.argument("paths", nargs=-1)
@click.pass_obj
def test(output: Output, paths: Sequence[str]) -> int:
    """Play the tests of rule packs and show what differs.

    They run on virtual time. PATHS are packs, test files, folders or globs; the default are the packs of guard.yaml, without
    one the shipped packs. Tests stand in their pack (tests:) or lie beside it (PACK.test.yaml). A rule that no test makes fire,
    or that none keeps silent, fails.
    """
    from guard.cli.rules import guard_file
    from guard.dsl.problems import Report
    from guard.errors import RuleError
    from guard.runtime.rehearsal.collection import collect, read_cases
    from guard.runtime.rehearsal.runner import coverage, rehearse

    report = Report()
    records: list[dict[str, Any]] = []
    covered: tuple[Coverage, ...] = ()
    try:
        collection = collect(paths, guard_file(), os.environ)
        cases = read_cases(collection.files, collection.rules, report)
        for record in rehearse(collection.rules, cases, report):
            records.append(record)
            if not output.is_json and not record["passed"]:
                _show(output, record)
        covered = coverage(collection, cases)
        problems = report.errors
    except RuleError as error:
        problems = error.problems
    _tell(output, records, covered, problems)
    is_sound = not problems and all(record["passed"] for record in records) and all(rule.is_complete for rule in covered)
    return Exit.OK if is_sound else Exit.FINDINGS


def _tell(output: Output, records: list[dict[str, Any]], covered: Sequence[Coverage], problems: Sequence[Problem]) -> None:
    passed = sum(record["passed"] for record in records)
    if output.is_json:
        rows = [{**rule._asdict(), "complete": rule.is_complete} for rule in covered]
        counts = {"passed": passed, "failed": len(records) - passed}
        output.document(
            {
                "tests": records,
                "coverage": rows,
                **counts,
                "errors": [{**problem._asdict(), "doc": problem.doc} for problem in problems],
            }
        )
        return
    for problem in problems:
        output.text(f"{problem}\n")
    lacking = [rule for rule in covered if not rule.is_complete]
    for rule in lacking:
        kinds = [kind for kind, count in (("that makes it fire", rule.firing), ("that keeps it silent", rule.calm)) if not count]
        output.text(f"{rule.place}: the rule {rule.rule} has no test {' and none '.join(kinds)}")
    failed = f", {len(records) - passed} failed" if passed < len(records) else ""
    broken = f", {len(problems)} mistakes in files" if problems else ""
    output.text(
        f"{len(records)} tests: {passed} passed{failed}{broken}; "
        f"{len(covered) - len(lacking)} of {len(covered)} rules have a test that fires and one that stays silent"
    )


def _show(output: Output, record: dict[str, Any]) -> None:
    output.text(f"{record['file']}:{record['line']}:{record['column']}: {record['test']} failed (rule {record['rule']})")
    for miss in record["misses"]:
        place = f"{miss['line']}:{miss['column']}"
        output.text(f"  {place}: expected {miss['expected']}")
        output.text(f"  {' ' * len(place)}  found    {miss['found']}, on {_subject(miss)}")
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
