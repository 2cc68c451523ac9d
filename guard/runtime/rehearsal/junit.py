"""Findings of tests as JUnit XML, which every CI reads."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from guard.runtime.rehearsal.findings import Findings

__all__ = ["written"]

# What XML 1.0 cannot hold.
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def written(found: Findings, *, is_strict: bool) -> str:
    """Return a run as XML: a suite for each file of tests, one for mistakes in files, one for what no test shows."""
    files: dict[str, list[str]] = {}
    for record in found.records:
        files.setdefault(record["file"], []).append(_record(record))
    suites = [_suite(file, cases) for file, cases in files.items()]
    mistakes = [_case(f"{problem.file}:{problem.line}", problem.id, "error", str(problem)) for problem in found.problems]
    suites += [_suite("files", mistakes)] if mistakes else []
    shown = [_case(rule.rule, "tests", "failure", found.lack_of(rule)) for rule in found.lacking]
    if is_strict:
        shown += [_case(clause.rule, clause.name, "failure", clause.lack) for clause in found.one_sided]
    suites += [_suite("coverage", shown)] if shown else []
    return '<?xml version="1.0" encoding="utf-8"?>\n<testsuites>\n' + "".join(suites) + "</testsuites>\n"


def _suite(name: str, cases: Sequence[str]) -> str:
    failures, errors = (sum(f"<{kind} " in case for case in cases) for kind in ("failure", "error"))
    head = f'<testsuite name="{_text(name)}" tests="{len(cases)}" failures="{failures}" errors="{errors}">'
    return f"  {head}\n{''.join(cases)}  </testsuite>\n"


def _record(record: Mapping[str, Any]) -> str:
    message = "; ".join(f"expected {miss['expected']}, found {miss['found']}" for miss in record["misses"])
    kind = "" if record["passed"] else "failure"
    return _case(record["rule"], record["test"], kind, message, "\n".join(_misses(record)), took_s=record["took_s"])


def _misses(record: Mapping[str, Any]) -> Iterator[str]:
    for miss in record["misses"]:
        yield f"{record['file']}:{miss['line']}:{miss['column']}: expected {miss['expected']}"
        yield f"found {miss['found']}, on {miss['market']}"


def _case(rule: str, name: str, kind: str, message: str, detail: str = "", *, took_s: float = 0.0) -> str:
    head = f'    <testcase classname="{_text(rule)}" name="{_text(name)}" time="{took_s:.3f}"'
    if not kind:
        return f"{head}/>\n"
    return f'{head}>\n      <{kind} message="{_text(message)}">{_text(detail or message)}</{kind}>\n    </testcase>\n'


def _text(text: str) -> str:
    return escape(_FORBIDDEN.sub("?", text), quote=True)
