"""Small test files for the tests of rehearsals."""

from __future__ import annotations

from guard.dsl.problems import Report
from guard.dsl.reading import read_text
from guard.dsl.validation import validate
from guard.runtime.rehearsal.script import Case, CaseFile

PACK = """
version: 1
rules:
  jump:
    level: danger
    when: ret(10s) > 2%
    mode: enforce
    for: 1s
    clear: {for: 5s}
    actions: {danger: [quarantine]}
"""


def problems_of(text: str) -> list[str]:
    report = Report()
    root = read_text("x.test.yaml", text, report)
    assert root is not None
    validate(CaseFile, root, report)
    return [f"{problem.line}:{problem.column} {problem.message}" for problem in report.problems]


def case(keys: str) -> Case:
    """Return the test with these keys; ``rule`` and ``expect`` have defaults."""
    text = "tests:\n  one:\n    warm: {live: 60s, history: 0s}\n" + "".join(f"    {line}\n" for line in keys.strip().splitlines())
    for key, default in (("rule", "jump"), ("expect", "[{never: warning}]")):
        if f"{key}:" not in keys:
            text += f"    {key}: {default}\n"
    report = Report()
    root = read_text("x.test.yaml", text, report)
    assert root is not None
    file = validate(CaseFile, root, report)
    assert file is not None, report.problems
    return file.tests["one"]
