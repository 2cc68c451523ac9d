"""Which packs and test files a run is about, and what is wrong with a test file."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.dsl import load_guard, load_rules, shipped_packs
from guard.dsl.document import Entry, Table, find
from guard.dsl.loading import shown_path
from guard.dsl.problems import Place, Report, Source, did_you_mean
from guard.dsl.reading import read_file
from guard.dsl.validation import validate
from guard.errors import OperationRefused
from guard.runtime.rehearsal.script import Case, CaseFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from guard.dsl import RuleSet

__all__ = ["Collection", "FoundCase", "collect", "place_of", "read_cases"]

_SUFFIXES: Final = (".test.yaml", ".test.yml")
_FILES_MAX: Final = 500


class FoundCase(NamedTuple):
    """One test with its place: `entry` is its key and keys in the file, `folder` where its recordings lie."""

    name: str
    case: Case
    entry: Entry
    folder: Path

    @property
    def place(self) -> Place:
        """Where its name stands."""
        return self.entry.key


class Collection(NamedTuple):
    """What a run is about: the rules, and the test files of them."""

    rules: RuleSet
    files: tuple[Path, ...]


def collect(paths: Sequence[str], config: Path, env: Mapping[str, str]) -> Collection:
    """Find packs and tests: those of `paths` (files, folders, globs), else of `config` if it exists, else the shipped ones.

    A test file alone is tried on the pack beside it. Raises OperationRefused where a path matches nothing or no test,
    ConfigurationError for broken files.
    """
    if not paths:
        rules = load_rules(load_guard(config, env)) if config.is_file() else load_rules(shipped_packs())
        files = [test for file in dict.fromkeys(rule.file for rule in rules.rules) for test in _beside(Path(file))]
        if not files:
            raise OperationRefused("no pack has a test beside it; a test file is named PACK.test.yaml")
        return Collection(rules, tuple(files))
    packs: dict[Path, None] = {}
    found: dict[Path, None] = {}
    for text in paths:
        tests = _tests_of(text, packs)
        if not tests:
            raise OperationRefused(f"no test matches {text!r}; a test file is named PACK.test.yaml and lies beside its pack")
        found.update(dict.fromkeys(tests))
    return Collection(load_rules(packs), tuple(found))


def _tests_of(text: str, packs: dict[Path, None]) -> list[Path]:
    """Return the test files that one path of the command line stands for, and note their packs."""
    matched = [Path(text)] if Path(text).exists() else [Path(name) for name in sorted(glob.glob(text, recursive=True))]  # noqa: PTH207 - absolute patterns
    tests: list[Path] = []
    for path in matched[:_FILES_MAX]:
        if path.is_dir():
            inside = sorted(path.rglob("*.y*ml"))[:_FILES_MAX]
            packs.update(dict.fromkeys(file for file in inside if _is_pack(file)))
            tests += [file for file in inside if file.name.endswith(_SUFFIXES)]
        elif path.name.endswith(_SUFFIXES):
            pack = path.with_name(path.name.replace(".test.", "."))
            packs.update(dict.fromkeys([pack] if pack.is_file() else filter(_is_pack, sorted(path.parent.glob("*.y*ml")))))
            tests.append(path)
        else:
            packs[path] = None
            tests += _beside(path)
    return tests


def _is_pack(path: Path) -> bool:
    return path.suffix in {".yaml", ".yml"} and not path.name.endswith(_SUFFIXES) and path.name != "guard.yaml"


def _beside(pack: Path) -> list[Path]:
    return [test for suffix in _SUFFIXES if (test := pack.with_name(pack.stem + suffix)).is_file()]


def read_cases(files: Iterable[Path], rules: RuleSet, report: Report) -> list[FoundCase]:
    """Return the sound tests of files; every mistake goes to the report, at its line."""
    known = {rule.id for rule in rules.rules}
    found: list[FoundCase] = []
    for path in files:
        root = read_file(path, report, shown=shown_path(path))
        if root is None:
            if not any(problem.file == shown_path(path) for problem in report.errors):
                report.add("E011", Place(Source.of(shown_path(path), "")), "the file is empty", "tests: {my_test: ...}")
            continue
        file = validate(CaseFile, root, report)
        if file is None or not isinstance(root, Table):
            continue
        for name, case in file.tests.items():
            entry, _ = find(root, ("tests", name))
            if case.rule not in known:
                place = place_of(entry, ("rule",))
                report.add("E027", place, f"there is no rule {case.rule!r} in these packs", did_you_mean(case.rule, known))
            else:
                found.append(FoundCase(name, case, entry, path.parent))
    return found


def place_of(entry: Entry, path: Sequence[str | int]) -> Place:
    """Return where a part of a test stands."""
    inner, _ = find(entry.node, path)
    return inner.node.place
