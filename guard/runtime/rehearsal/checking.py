"""The tests of packs, read but not played: what `guard rules check` says of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from guard.dsl import shipped_packs
from guard.dsl.document import Scalar, Table
from guard.dsl.loading import shown_path
from guard.dsl.problems import Report, did_you_mean
from guard.dsl.reading import read_file
from guard.runtime.rehearsal.collection import read_cases

if TYPE_CHECKING:
    from guard.dsl import RuleSet
    from guard.dsl.document import Node

__all__ = ["TEST_SUFFIXES", "check_tests", "packs_of_test"]

TEST_SUFFIXES: Final = (".test.yaml", ".test.yml")


def check_tests(rules: RuleSet, report: Report) -> None:
    """Check the keys of the tests that stand in packs or lie beside them; those of shipped packs are guard's own matter."""
    shipped = {shown_path(pack) for pack in shipped_packs()}
    own = [Path(file) for file in rules.files if file not in shipped]
    inline = [pack for pack in own if _has_tests(pack)]
    beside = [test for pack in own for suffix in TEST_SUFFIXES if (test := pack.with_name(pack.stem + suffix)).is_file()]
    files = dict.fromkeys([*inline, *beside])
    read_cases(files, rules, report)
    known = {rule.id for rule in rules.rules}
    for file in files:
        _check_names(read_file(file, Report(), shown=shown_path(file)), known, report)


def _check_names(root: Node | None, known: set[str], report: Report) -> None:
    """Report tests of rules that are not there, in files with other mistakes too."""
    tests = root.entries.get("tests") if isinstance(root, Table) else None
    for entry in tests.node.entries.values() if tests is not None and isinstance(tests.node, Table) else ():
        rule = entry.node.entries.get("rule") if isinstance(entry.node, Table) else None
        if rule is not None and isinstance(rule.node, Scalar) and rule.node.text not in known:
            name = rule.node.text
            report.add("E027", rule.node.place, f"there is no rule {name!r} in these packs", did_you_mean(name, known))


def _has_tests(pack: Path) -> bool:
    """Whether a pack has tests inline; one that cannot be read is told by the loader of rules."""
    root = read_file(pack, Report())
    return isinstance(root, Table) and "tests" in root.entries


def packs_of_test(test: Path) -> list[Path]:
    """Return the packs that a test file is about: the one of its name, else those beside it."""
    pack = test.with_name(test.name.replace(".test.", "."))
    if pack.is_file():
        return [pack]
    beside = sorted(test.parent.glob("*.y*ml"))
    return [path for path in beside if not path.name.endswith(TEST_SUFFIXES) and path.name != "guard.yaml"]
