"""The client in one file answers like the client, on every Python that a bot may have, and needs nothing."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from client.images import image, quarantine, view

from guard.client import Guard
from guard.errors import OperationRefused
from guard.model import NEW_US, BotPolicy, IsolationState, ListingAnswer, Mode, NewListings, TargetKind
from guard.runtime.clock import SystemClock
from guard.runtime.publish import SnapshotPublisher
from guard.runtime.vendored_names import Renamer
from guard.runtime.vendoring import ADAPTERS, FILE_NAME, vendored

ROOT = Path(__file__).parents[2]
CLIENT_TESTS = ROOT / "tests" / "client"
HOUR = 3_600_000_000
LEASE_NS = 600 * 10**9

ASK = """
import importlib.util, json, sys
from importlib.metadata import distributions
loaded = set(sys.modules)
before = sorted(each.metadata["Name"] for each in distributions())
spec = importlib.util.spec_from_file_location("guard_client", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["guard_client"] = module
spec.loader.exec_module(module)
asked = json.load(sys.stdin)
found = []
for path, bot, market, side, intent in asked:
    guard = module.Guard(path, bot, tells=False)
    clearance = guard.check(*market.split(":", 1), side, intent)._replace(age_ms=None)
    found.append([*clearance, guard.problem])
assert before == sorted(each.metadata["Name"] for each in distributions())
assert all(name.partition(".")[0] in sys.stdlib_module_names | {"__main__", "guard_client"} for name in set(sys.modules) - loaded)
json.dump(found, sys.stdout)
"""


def interpreters() -> list[str]:
    """Return each Python from 3.10 on that is here."""
    pyenv = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/3.1*/bin/python"))
    named = [shutil.which(f"python3.{minor}") for minor in (10, 11, 12, 13)]
    found = {}
    for path in [*map(str, pyenv), *filter(None, named), sys.executable]:
        words = [path, "-I", "-c", "import sys; print('.'.join(map(str, sys.version_info[:2])))"]
        told = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)
        if told.returncode == 0 and told.stdout.strip() in {"3.10", "3.11", "3.12", "3.13"}:
            found.setdefault(told.stdout.strip(), path)
    return [found[version] for version in sorted(found)]


PYTHONS = interpreters()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bot") / FILE_NAME
    path.write_text(vendored(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Publish states of many kinds, each in a folder, good for ten minutes."""
    clock = SystemClock()
    later = clock.now_us() + HOUR
    bots = {
        "*": BotPolicy(),
        "brave": BotPolicy(min_level="critical"),
        "watching": BotPolicy(mode=Mode.OBSERVE),
        "shy": BotPolicy(new_listings=NewListings(ListingAnswer.REFUSE, 2 * HOUR)),
    }
    new = view("new")._replace(listed_until_us=clock.now_us() - HOUR + NEW_US)
    markets = {"sim:X/USDT": view(), "sim:Y/USDT": new, "sim:S/USDT": view("stale"), "sim:W/USDT": view("warming")}
    held = quarantine(until_us=later, reason="hoch um 9 % \N{ROCKET}")
    small = quarantine("W", kind=TargetKind.BASE, until_us=later, state=IsolationState.PROBATION, identity="b")
    found = []
    for number, mode in enumerate([*Mode, None]):
        folder = tmp_path_factory.mktemp(f"state{number}")
        publisher = SnapshotPublisher(folder, clock, lease_ns=LEASE_NS)
        publisher.publish(image(held, small, mode=mode or Mode.ENFORCE, markets=markets, bots=bots), epoch=1, seq=7, durable=True)
        publisher.beat()
        if mode is None:
            publisher.stop()
        found.append(folder / "guard.snapshot")
    broken = tmp_path_factory.mktemp("broken") / "guard.snapshot"
    broken.write_bytes(b"GRD" * 2000)
    return [*found, broken]


@pytest.mark.parametrize("python", PYTHONS)
def test_bare_interpreter_gives_the_answers_of_the_client(python: str, file: Path, states: list[Path]) -> None:
    asked = [
        (str(state), bot, f"sim:{name}/USDT", side, intent)
        for state in states
        for bot in (None, "brave", "watching", "shy", "stray")
        for name in "XYSWZ"
        for side, intent in (("buy", None), ("sell", None), (None, "reduce"))
    ]
    expected = []
    for path, bot, market, side, intent in asked:
        guard = Guard(path, bot, tells=False)
        expected.append([*guard.check(*market.split(":", 1), side, intent)._replace(age_ms=None), guard.problem])
    told = subprocess.run(
        [python, "-I", "-c", ASK, str(file)], input=json.dumps(asked), capture_output=True, text=True, check=False, timeout=60
    )
    assert told.stderr == ""
    assert json.loads(told.stdout) == expected
    assert {found[0] for found in expected} == {"allowed", "shrink", "blocked", "unknown"}


def test_python_3_10_is_among_those_that_are_tried_where_it_is_installed() -> None:
    if not any("3.10" in path for path in PYTHONS):
        pytest.skip("Python 3.10 is not installed here: its grammar alone is held")
    assert len(PYTHONS) >= 2


def test_suite_of_the_client_passes_on_the_vendored_file(file: Path) -> None:
    tests = [
        CLIENT_TESTS / f"test_{name}.py" for name in ("answer", "bypass", "check", "layout_1", "payload", "policies", "snapshot")
    ]
    plugin = CLIENT_TESTS / "vendored"
    # One test changes a constant of a module, which the file has under its own name.
    words = ["-q", "-p", "guard_client_in_place", "-k", "not memory_stays_bounded", *map(str, tests)]
    environment = {**os.environ, "GUARD_CLIENT_FILE": str(file), "PYTHONPATH": os.pathsep.join([str(plugin), *sys.path])}
    told = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert told.returncode == 0, told.stdout[-3000:]
    assert " passed" in told.stdout


def test_file_is_python_3_10_says_what_it_is_and_imports_the_standard_library_only(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text, feature_version=(3, 10))
    tops = {alias.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    tops |= {str(node.module).partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert tops <= sys.stdlib_module_names
    names = {node.targets[0].id for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)}
    assert {"__version__", "LAYOUT", "__all__"} <= names
    assert "exec(" not in text
    assert "eval(" not in text


def test_no_name_is_made_twice(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    made = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    made += [node.targets[0].id for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)]
    assert sorted(made) == sorted(set(made))


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("adapter", sorted(ADAPTERS))
def test_adapter_comes_with_the_file_and_needs_no_package_to_be_imported(tmp_path: Path, adapter: str, python: str) -> None:
    if not (ROOT / "guard" / "client" / f"{ADAPTERS[adapter]}.py").is_file():
        pytest.skip(f"there is no adapter for {adapter} yet")
    path = tmp_path / FILE_NAME
    path.write_text(vendored([adapter]), encoding="utf-8")
    told = subprocess.run([python, "-I", "-c", ASK, str(path)], input="[]", capture_output=True, text=True, check=False, timeout=60)
    assert told.stderr == ""


def test_adapter_that_does_not_exist_is_refused() -> None:
    with pytest.raises(OperationRefused, match="no adapter for 'excel'"):
        vendored(["excel"])


def test_name_that_would_change_within_a_function_is_refused() -> None:
    tree = ast.parse("def f(_write):\n    return _write\n")
    with pytest.raises(OperationRefused, match="uses the name _write both"):
        Renamer({"_write": "_bypass_write"}, "guard.client.x", is_ours=str.isnumeric).visit(tree)
