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
    """What a run is about: the rules, the files with their tests, and the packs (as shown) that must be tested in full."""

    rules: RuleSet
    files: tuple[Path, ...]
    packs: frozenset[str]


def collect(paths: Sequence[str], config: Path, env: Mapping[str, str]) -> Collection:
    """Find packs and tests: those of `paths` (files, folders, globs), else of `config` if it exists, else the shipped ones.

    A test file alone is tried on the pack beside it; what a pack includes is tested with it. Raises OperationRefused where a path
    matches nothing or no test, ConfigurationError for broken files.
    """
    if not paths:
        rules = load_rules(load_guard(config, env)) if config.is_file() else load_rules(shipped_packs())
        shown = rules.files
        files = [test for file in shown for test in _beside(Path(file))]
        if not files:
            raise OperationRefused("no pack has a test in it or beside it; a test file is named PACK.test.yaml")
        return Collection(rules, tuple(files), frozenset(shown))
    packs: dict[Path, bool] = {}
    found: dict[Path, None] = {}
    lacking: list[str] = []
    for text in paths:
        tests = _tests_of(text, packs)
        lacking += [] if tests else [text]
        found.update(dict.fromkeys(tests))
    found_rules = load_rules(packs) if packs else None
    included = _included(found_rules, packs) if found_rules is not None and any(packs.values()) else []
    beside = [test for file in included for test in _beside(Path(file))]
    # A pack that has no tests of its own may include one that has.
    if found_rules is None or (lacking and not beside):
        there = (
            f"no test matches {lacking[0]!r}"
            if Path(lacking[0]).exists()
            else f"no test matches {lacking[0]!r}, there is no such file"
        )
        raise OperationRefused(f"{there}; a test file is named PACK.test.yaml and lies beside its pack")
    found.update(dict.fromkeys(beside))
    whole = {shown_path(pack) for pack, is_whole in packs.items() if is_whole}
    return Collection(found_rules, tuple(found), frozenset({*whole, *included}))


def _included(rules: RuleSet, packs: Iterable[Path]) -> list[str]:
    """Return the files, as shown, that no path named."""
    named = {shown_path(pack) for pack in packs}
    return [file for file in rules.files if file not in named]


def _tests_of(text: str, packs: dict[Path, bool]) -> list[Path]:
    """Return the files with tests that one path of the command line stands for.

    Their packs are noted, with whether all their tests are among them: a test file without a pack of its name is tried on all
    packs beside it, and answers for none of them.
    """
    matched = [Path(text)] if Path(text).exists() else [Path(name) for name in sorted(glob.glob(text, recursive=True))]  # noqa: PTH207 - absolute patterns
    tests: list[Path] = []
    for path in matched[:_FILES_MAX]:
        if path.is_dir():
            inside = sorted(path.rglob("*.y*ml"))[:_FILES_MAX]
            packs.update(dict.fromkeys((file for file in inside if _is_pack(file)), True))
            tests += [file for file in inside if file.name.endswith(_SUFFIXES) or (_is_pack(file) and _has_tests(file))]
        elif path.name.endswith(_SUFFIXES):
            pack = path.with_name(path.name.replace(".test.", "."))
            if pack.is_file():
                packs[pack] = True
                tests += _beside(pack)
            else:
                packs.update((file, packs.get(file, False)) for file in sorted(path.parent.glob("*.y*ml")) if _is_pack(file))
                tests.append(path)
        else:
            packs[path] = True
            tests += _beside(path)
    return tests


def _is_pack(path: Path) -> bool:
    return path.suffix in {".yaml", ".yml"} and not path.name.endswith(_SUFFIXES) and path.name != "guard.yaml"


def _beside(pack: Path) -> list[Path]:
    beside = [test for suffix in _SUFFIXES if (test := pack.with_name(pack.stem + suffix)).is_file()]
    return [*([pack] if _has_tests(pack) else []), *beside]


def _has_tests(pack: Path) -> bool:
    """Whether a pack has tests inline; one that cannot be read has none, and is told by the loader of rules."""
    root = read_file(pack, Report())
    return isinstance(root, Table) and "tests" in root.entries


def _tests_only(root: Table) -> Table:
    """Return a pack's tree as that of a test file."""
    return Table({key: entry for key, entry in root.entries.items() if key in {"version", "tests"}}, root.place)


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
        if isinstance(root, Table) and not path.name.endswith(_SUFFIXES):
            root = _tests_only(root)
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
