"""Where things are: the top level, packs with their tests, what a package's `__init__` may hold, and the words of names."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[1]
SOURCES: Final = sorted(path for top in ("guard", "connectors") for path in (ROOT / top).rglob("*.py"))
PACKS: Final = sorted(path for path in (ROOT / "rules").rglob("*.yaml") if not path.name.endswith(".test.yaml"))
TOP: Final = frozenset(
    {
        "guard", "rules", "connectors", "tests", "docs", "changelog.d", ".ci", "guard.yaml", "pyproject.toml", "requirements.lock",
        "hatch_build.py", "Makefile", "README.md", "CONTRIBUTING.md", "LICENSE", ".gitignore",
    }
)  # fmt: skip
# Names the design came with; no other class is called so.
MANAGERS: Final = frozenset({"AlertManager", "IsolationManager", "NotificationHandler", "RecoveryHandler"})
WORDS: Final = re.compile(r"(Ticker|Venue|Indicator|Signal|Utils|Info|Helper|Pair)$")


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode or not listed.stdout:
        pytest.skip("this checkout has no git history")
    return [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def test_top_level_is_the_agreed_one() -> None:
    assert {name.partition("/")[0] for name in tracked()} == TOP


def test_rules_hold_packs_and_their_tests_only() -> None:
    names = [name for name in tracked() if name.startswith("rules/")]
    assert [name for name in names if not name.endswith(".yaml")] == []
    orphans = [name for name in names if name.endswith(".test.yaml") and name.replace(".test.yaml", ".yaml") not in names]
    assert orphans == []


@pytest.mark.parametrize("pack", PACKS, ids=shown)
def test_pack_has_its_tests_beside_it_with_a_calm_market(pack: Path) -> None:
    beside = pack.with_name(f"{pack.stem}.test.yaml")
    assert beside.is_file()
    text = beside.read_text(encoding="utf-8")
    assert "never: warning" in text, "no market that must stay normal"
    assert re.search(r"level: (warning|danger|critical)|at_least:", text), "no market that must not"


@pytest.mark.parametrize("path", [path for path in SOURCES if path.name == "__init__.py"], ids=shown)
def test_init_lists_public_names_and_holds_nothing_else(path: Path) -> None:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_name = isinstance(node, ast.Assign) and all(
            isinstance(to, ast.Name) and re.fullmatch("__[a-z]+__", to.id) for to in node.targets
        )
        assert is_docstring or is_name or isinstance(node, ast.Import | ast.ImportFrom), ast.unparse(node)


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_module_says_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstring = ast.get_docstring(tree) or ""
    assert docstring, "no docstring"
    assert docstring.splitlines()[0].endswith((".", ":")), docstring.splitlines()[0]


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_public_names_exist_and_are_listed_once(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    listed = [node for node in tree.body if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"]
    for node in listed:
        names = ast.literal_eval(node.value)
        assert len(set(names)) == len(names)
        defined = {one.id for one in ast.walk(tree) if isinstance(one, ast.Name)}
        defined |= {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
        defined |= {alias.asname or alias.name for one in ast.walk(tree) if isinstance(one, ast.ImportFrom) for alias in one.names}
        assert set(names) <= defined


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_classes_are_called_what_they_are(path: Path) -> None:
    classes = [node.name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ClassDef)]
    assert [
        name for name in classes if name.endswith(("Manager", "Handler")) and not name.startswith("_") and name not in MANAGERS
    ] == []
    assert [name for name in classes if WORDS.search(name)] == []
    assert path.stem not in {"utils", "helpers", "common", "misc", "base"}


def test_detector_lives_in_a_file_of_its_own_name() -> None:
    for name, place in project()["project"]["entry-points"]["guard.detectors"].items():
        assert place == f"guard.detection.{name}:{''.join(word.title() for word in name.split('_'))}"
        assert (ROOT / "guard" / "detection" / f"{name}.py").is_file()


def test_entry_points_name_modules_of_the_checkout() -> None:
    points = project()["project"]["entry-points"]
    for places in points.values():
        for place in places.values():
            module = place.partition(":")[0].replace(".", "/")
            assert any(
                (ROOT / top / f"{module}{end}").is_file() for top in ("", "connectors") for end in (".py", "/__init__.py")
            ), place


def test_typed_packages_say_so() -> None:
    for folder in (ROOT / "guard", *sorted((ROOT / "connectors").glob("guard_*"))):
        assert (folder / "py.typed").is_file()


def test_lock_names_every_package_with_hashes_and_no_place() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert [line for line in pinned if not re.match(r"[a-z0-9._-]+(\[[a-z0-9,._-]+\])?==[^ ]+( ; .+)? \\$", line)] == []
    assert not re.search(r"://|--(index|extra-index|find-links|trusted-host)|\bpypi\b|\.org|\.com|(?<!\w)/\w", text)
    hashed = re.findall(r"^[a-z0-9._-]+(?:\[[^\]]*\])?==.*\\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert len(hashed) == len(pinned)
    names = {re.split(r"[=\[]", line)[0] for line in pinned}
    wanted = {re.split(r"[^A-Za-z0-9._-]", need)[0].lower() for need in project()["project"]["dependencies"]}
    assert wanted <= names, wanted - names


def test_exceptions_of_the_linter_carry_their_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    in_lists = text.partition("[tool.ruff.lint.per-file-ignores]")[2].partition("[tool.ruff.format]")[0]
    for line in in_lists.splitlines():
        if line.startswith('"') and not line.rstrip().endswith("["):
            assert "#" in line, line
