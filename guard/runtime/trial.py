"""The packs' tests, played beside a running guard before it takes changed rules over."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from guard.dsl.problems import NAMES
from guard.errors import ConfigurationError, OperationRefused, Problem
from guard.runtime.reloading import problem_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.dsl import RuleSet
    from guard.dsl.rules import RuleSource
    from guard.runtime.rehearsal.collection import FoundCase

__all__ = ["failing_tests", "verdict_on"]

_TESTS_S: Final = 60.0
_NICE: Final = 10
_PROBLEMS_MAX: Final = 50
_TEXT_MAX: Final = 400


async def failing_tests(path: Path, env: Mapping[str, str], *, limit_s: float = _TESTS_S) -> tuple[Problem, ...]:
    """Play the tests of the packs of guard.yaml in a process of its own, with low priority, and return what forbids the rules.

    That are tests that fail (E091), rules without a test that makes them fire or one that keeps them silent (E090), mistakes in
    test files, and tests that take longer than `limit_s` seconds (E092).
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        __name__,
        str(path),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**env, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        async with asyncio.timeout(limit_s):
            answer, complaint = await child.communicate()
    except TimeoutError:
        text = f"the tests of the packs took longer than {limit_s:g} s; the rules are not taken over without them"
        return (
            problem_at(path, "E092", text, "guard rules test plays them; make them shorter, or set reload.require_tests: false"),
        )
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    try:
        return tuple(Problem(*problem) for problem in json.loads(answer))
    except (ValueError, TypeError):
        text = complaint.decode(errors="replace").strip()[-_TEXT_MAX:] or f"exit {child.returncode}"
        return (problem_at(path, "E094", f"the tests could not be played: {text}"),)


def verdict_on(path: Path, env: Mapping[str, str]) -> tuple[Problem, ...]:
    """Play the tests here and return what forbids the rules."""
    from guard.dsl import load_guard, load_rules  # noqa: PLC0415 - the process that waits for the answer needs none of these
    from guard.dsl.problems import Report  # noqa: PLC0415 - likewise
    from guard.runtime.rehearsal.collection import collect, read_cases  # noqa: PLC0415 - likewise
    from guard.runtime.rehearsal.runner import Rehearsal, coverage  # noqa: PLC0415 - likewise

    report = Report()
    try:
        collection = collect((), path, env)
        cases = read_cases(collection.files, collection.rules, report)
        records = list(Rehearsal(collection.rules, cases).run(report))
    except OperationRefused:
        # No pack has any: each rule is told of at its own place, as where some have.
        places = [
            (rule.id, f"{rule.file}:{rule.place.line}") for rule in load_rules(load_guard(path, env)).rules if _is_tested(rule)
        ]
        return tuple(_untested(name, place, firing=0, calm=0) for name, place in places[:_PROBLEMS_MAX])
    except ConfigurationError as error:
        return error.problems
    failed = [(test, record) for test, record in _paired(cases, records) if not record["passed"]]
    lowered = _enforcing(collection.rules, {test.case.rule for test, _ in failed})
    again = (
        {} if lowered is None else {record["test"]: record for record in Rehearsal(lowered, [t for t, _ in failed]).run(Report())}
    )
    problems = [*report.errors]
    problems += [_failed(record) for test, record in failed if not again.get(test.name, record)["passed"]]
    covered = coverage(collection, cases)
    problems += [_untested(rule.rule, rule.place, firing=rule.firing, calm=rule.calm) for rule in covered if not rule.is_complete]
    return tuple(problems[:_PROBLEMS_MAX])


def _paired(cases: list[FoundCase], records: list[dict[str, Any]]) -> list[tuple[FoundCase, dict[str, Any]]]:
    by_place = {(record["file"], record["line"], record["test"]): record for record in records}
    places = [(test, (test.place.source.file, test.place.line, test.name)) for test in cases]
    return [(test, by_place[place]) for test, place in places if place in by_place]


def _enforcing(rules: RuleSet, ids: set[str]) -> RuleSet | None:
    """Return the rules with those of `ids` in mode enforce, None where none of them is below it.

    Who lowers the mode of a pack's rule has not broken it: its tests say what it would do.
    """
    from guard.model import RuleMode  # noqa: PLC0415 - as above

    lower = {
        rule.id
        for rule in rules.rules
        if rule.id in ids and rule.spec is not None and rule.spec.mode in {RuleMode.SHADOW, RuleMode.ALERT}
    }
    if not lower:
        return None
    raised = tuple(
        replace(rule, spec=rule.spec.model_copy(update={"mode": RuleMode.ENFORCE})) if rule.id in lower and rule.spec else rule
        for rule in rules.rules
    )
    return replace(rules, rules=raised)


def _failed(record: dict[str, Any]) -> Problem:
    miss = record["misses"][0]
    text = f"the test {record['test']} of the rule {record['rule']} fails: expected {miss['expected']}, found {miss['found']}"
    return Problem(
        record["file"],
        miss["line"],
        miss["column"],
        "E091",
        "failed-test",
        "error",
        text[:_TEXT_MAX],
        "guard rules test shows more",
    )


def _is_tested(rule: RuleSource) -> bool:
    return rule.spec is not None and rule.spec.mode != "disabled"


def _untested(rule: str, place: str, *, firing: int, calm: int) -> Problem:
    kinds = [kind for kind, count in (("that makes it fire", firing), ("that keeps it silent", calm)) if not count]
    text = f"the rule {rule} has no test {' and none '.join(kinds)}; rules are taken over only with both"
    file, _, line = place.rpartition(":")
    hint = "a test stands in its pack or in PACK.test.yaml beside it; or set reload.require_tests: false"
    return Problem(file, int(line), 1, "E090", NAMES["E090"], "error", text, hint)


def _main() -> None:
    os.nice(_NICE)
    problems = verdict_on(Path(sys.argv[1]), os.environ)
    sys.stdout.write(json.dumps(problems))


if __name__ == "__main__":
    _main()
