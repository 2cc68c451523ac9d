"""What no file of guard may do: read a clock, roll dice, run text as code, or grow without end."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[1]
SOURCES: Final = sorted(path for top in ("guard", "connectors") for path in (ROOT / top).rglob("*.py"))

FILE_LINES_MAX: Final = 400
FUNCTION_LINES_MAX: Final = 60

AMBIENT: Final = (
    "time", "random", "secrets", "uuid", "numpy.random", "os.urandom", "os.getrandom", "datetime.datetime.now",
    "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today", "asyncio.sleep",
)  # fmt: skip
FORBIDDEN: Final = (
    "pickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
    "eval",
    "runpy",
    "builtins.eval",
    "builtins.exec",
)
CODE: Final = ("exec", "compile")

MAY_READ: Final = {
    "guard/runtime/clock.py": (
        ("time", "random", "os.urandom", "asyncio.sleep"),
        "the clock and the source of chance that guard injects",
    ),
    "guard/client/clock.py": (("time", "asyncio.sleep"), "the clock of a bot's process"),
    "connectors/guard_ccxt/bench/clock.py": (
        ("time", "asyncio.sleep"),
        "the exchange and the readers of the bench, in processes of their own",
    ),
    "connectors/guard_sim/chance.py": (("random",), "the one seeded source of the embedded market"),
    "connectors/guard_sim/server/clock.py": (("time",), "the embedded exchange has its own clock, as every exchange has"),
    "connectors/guard_sim/server/exchange.py": (("asyncio.sleep",), "the beat of the exchange's own process"),
}
MAY_COMPILE: Final = {"guard/dsl/compiler.py": "compiles what it generated itself from the checked tree"}

PURE: Final = (
    "guard.errors", "guard.model", "guard.features", "guard.detection", "guard.dsl", "guard.engine", "guard.quarantine",
    "guard.alerts.manager", "guard.alerts.templates", "guard.pipeline",
)  # fmt: skip
IMPURE: Final = frozenset({"asyncio", "logging", "time", "random", "structlog", "aiosqlite", "apprise", "aiohttp", "ccxt"})

NOQA: Final = re.compile(r"#\s*noqa\b(?P<codes>:\s*[A-Z]+\d+(?:\s*,\s*[A-Z]+\d+)*)?(?P<rest>.*)")


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(tree: ast.AST) -> dict[str, str]:
    """Return what each name that an import makes stands for, ``{"datetime": "datetime.datetime"}``."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = alias.name if alias.asname else alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return names


def dotted(node: ast.expr, names: dict[str, str]) -> str:
    """Return the full name that an expression reads, empty where it is no name."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id if node.id in (*FORBIDDEN, *CODE) else "")
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value, names)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


def uses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and full name of everything imported, and of every name and attribute that is read."""
    names = imported(tree)
    awaited_zero = {
        id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args and _is_zero(node.args[0])
    }  # sleep(0) lets others run and waits for no time
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Name | ast.Attribute) and id(node) not in awaited_zero:
            name = dotted(node, names)
            if name:
                yield node.lineno, name
        if isinstance(node, ast.Call) and _reads_loop_time(node):
            yield node.lineno, "time of the event loop"
        if isinstance(node, ast.Call) and any(key.arg == "allow_pickle" and not _is_false(key.value) for key in node.keywords):
            yield node.lineno, "pickle by allow_pickle"


def _is_zero(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 0


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def _reads_loop_time(call: ast.Call) -> bool:
    func = call.func
    return isinstance(func, ast.Attribute) and func.attr == "time" and not call.args and "loop" in ast.unparse(func.value)


def is_under(name: str, banned: str) -> bool:
    return name == banned or name.startswith((f"{banned}.", f"{banned} "))


def offences(path: str, source: str) -> list[str]:
    """Return ``path:line: what`` for every ban that a file breaks."""
    tree = ast.parse(source)
    allowed = MAY_READ.get(path, ((), ""))[0]
    banned = [name for name in AMBIENT if name not in allowed] + [*FORBIDDEN, *(() if path in MAY_COMPILE else CODE)]
    banned += [] if "time" in allowed else ["time of the event loop"]
    found = {f"{path}:{line}: {name}" for line, name in uses(tree) if any(is_under(name, one) for one in banned)}
    return sorted([*found, *sizes(path, source, tree), *bare_noqas(path, source)])


def sizes(path: str, source: str, tree: ast.AST) -> Iterator[str]:
    lines = source.count("\n") + 1
    if lines > FILE_LINES_MAX + 1:
        yield f"{path}:1: {lines - 1} lines, at most {FILE_LINES_MAX}"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                yield f"{path}:{node.lineno}: {node.name} has {length} lines, at most {FUNCTION_LINES_MAX}"


def bare_noqas(path: str, source: str) -> Iterator[str]:
    for number, line in enumerate(source.splitlines(), start=1):
        found = NOQA.search(line)
        if found and (not found["codes"] or not re.search(r"[A-Za-z]{3,}", found["rest"])):
            yield f"{path}:{number}: noqa without its code or its reason"


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_file_keeps_to_the_bans(path: Path) -> None:
    assert offences(shown(path), path.read_text(encoding="utf-8")) == []


def test_exceptions_are_used_and_carry_a_reason() -> None:
    for place, (names, reason) in MAY_READ.items():
        tree = ast.parse((ROOT / place).read_text(encoding="utf-8"))
        for name in names:
            assert any(is_under(used, name) for _, used in uses(tree)), f"{place} no longer needs {name}: strike it from the list"
        assert len(reason.split()) > 3
    for place, reason in MAY_COMPILE.items():
        assert {"exec", "compile"} <= {name for _, name in uses(ast.parse((ROOT / place).read_text(encoding="utf-8")))}
        assert len(reason.split()) > 3


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        ("import time\n", "time"),
        ("from time import monotonic as now\n", "time.monotonic"),
        ("import datetime\nx = datetime.datetime.now()\n", "datetime.datetime.now"),
        ("from datetime import datetime as d\nx = d.utcnow()\n", "datetime.datetime.utcnow"),
        ("from datetime import date\nf = date.today\n", "datetime.date.today"),
        ("import asyncio\nx = asyncio.get_running_loop().time()\n", "time of the event loop"),
        ("def f(loop):\n    return loop.time()\n", "time of the event loop"),
        ("import asyncio\nasync def f():\n    await asyncio.sleep(1)\n", "asyncio.sleep"),
        ("import random\n", "random"),
        ("import numpy as np\nx = np.random.default_rng()\n", "numpy.random.default_rng"),
        ("from os import urandom\n", "os.urandom"),
        ("import uuid\n", "uuid"),
        ("import pickle\n", "pickle"),
        ("import numpy as np\nx = np.load('f', allow_pickle=True)\n", "pickle by allow_pickle"),
        ("x = eval('1')\n", "eval"),
        ("run = exec\n", "exec"),
        ("x = compile('1', '', 'eval')\n", "compile"),
        ("x = 1  # noqa: S101\n", "noqa without"),
        ("x = 1  # noqa\n", "noqa without"),
        ("x = 1\n" * 401, "401 lines"),
        ("def f():\n" + "    x = 1\n" * 60, "f has 61 lines"),
    ],
)
def test_planted_breach_is_found(planted: str, told: str) -> None:
    assert any(told in line for line in offences("guard/planted.py", planted))


@pytest.mark.parametrize(
    "harmless",
    [
        "import re\nx = re.compile('a')\n",
        "from datetime import datetime, time\nx = datetime.fromisoformat('2020-01-01').time()\n",
        "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n",
        "def f(chance):\n    return chance.random()\n",
        "x = 1  # noqa: S101 - asserts what only a bug can break\n",
        "x = 1\n" * 400,
        "def f():\n" + "    x = 1\n" * 59,
    ],
)
def test_what_is_allowed_is_not_told(harmless: str) -> None:
    assert offences("guard/planted.py", harmless) == []


def modules() -> dict[str, Path]:
    """Return every module of guard by its name."""
    found = {}
    for path in (ROOT / "guard").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def needed(tree: ast.Module) -> set[str]:
    """Return the modules that a module imports, at its top or in a function, but for type checking."""
    names: set[str] = set()
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            stack.extend(node.orelse)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
        else:
            stack.extend(ast.iter_child_nodes(node))
    return names


def impure_paths(known: dict[str, Path], start: tuple[str, ...]) -> list[str]:
    """Return each chain of imports from `start` to something impure."""
    told: list[str] = []
    chains = {name: name for name in known if any(is_under(name, floor) for floor in start)}
    waiting = list(chains)
    while waiting:
        name = waiting.pop()
        for other in needed(ast.parse(known[name].read_text(encoding="utf-8"))):
            if other.partition(".")[0] in IMPURE:
                told.append(f"{chains[name]} -> {other}")
            elif other in known and other not in chains:
                chains[other] = f"{chains[name]} -> {other}"
                waiting.append(other)
    return sorted(told)


def test_pure_floors_reach_no_clock_loop_log_or_messenger_by_any_path() -> None:
    known = modules()
    assert all(any(is_under(name, floor) for name in known) for floor in PURE)
    assert impure_paths(known, PURE) == []


def test_planted_path_to_a_clock_is_found(tmp_path: Path) -> None:
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_text("from guard.other import x\n", encoding="utf-8")
    other.write_text("def x():\n    import time\n", encoding="utf-8")
    found = impure_paths({"guard.one": one, "guard.other": other}, ("guard.one",))
    assert found == ["guard.one -> guard.other -> time"]
