"""What the fuzzers start from: shipped packs and their tests, examples of the docs, the schema's words, and hand-made nasties."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guard.dsl.calls import Calls
from guard.dsl.describe import described
from guard.dsl.document import Items, Scalar, Table
from guard.dsl.graph import Graph
from guard.dsl.parser import parse
from guard.dsl.problems import Report
from guard.dsl.reading import read_text
from guard.dsl.schema import config_schema, pack_schema
from guard.dsl.tables import InstalledDetectors
from guard.dsl.tokens import UNITS, ExpressionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.dsl.document import Node

__all__ = ["cases", "configurations", "expressions", "nasty_expressions", "nasty_files", "packs", "texts", "words"]

_ROOT = Path(__file__).parents[2]
_FENCED = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


@cache
def _examples() -> tuple[str, ...]:
    pages = [_ROOT / "README.md", *sorted((_ROOT / "docs").rglob("*.md"))]
    return tuple(match for page in pages for match in _FENCED.findall(page.read_text(encoding="utf-8")))


@cache
def packs() -> tuple[str, ...]:
    """Return rule files: the shipped ones, the bench's, and those of the docs."""
    files = [path for path in sorted((_ROOT / "rules").glob("*.yaml")) if not path.name.endswith(".test.yaml")]
    files.append(_ROOT / "guard" / "runtime" / "bench" / "rules.yaml")
    return (*(path.read_text(encoding="utf-8") for path in files), *(text for text in _examples() if "rules:\n" in text))


@cache
def cases() -> tuple[str, ...]:
    """Return test files."""
    files = sorted((_ROOT / "rules").glob("*.test.yaml"))
    return (*(path.read_text(encoding="utf-8") for path in files), *(text for text in _examples() if "tests:\n" in text))


@cache
def configurations() -> tuple[str, ...]:
    """Return files like guard.yaml."""
    own = (_ROOT / "guard.yaml").read_text(encoding="utf-8")
    return (own, *(text for text in _examples() if "exchanges:" in text))


def _scalars(node: Node) -> Iterator[str]:
    match node:
        case Scalar():
            yield node.text
        case Items():
            for item in node.items:
                yield from _scalars(item)
        case Table():
            for entry in node.entries.values():
                yield from _scalars(entry.node)


def _is_expression(text: str) -> bool:
    try:
        parse(text)
    except ExpressionError:
        return False
    return True


@cache
def expressions() -> tuple[str, ...]:
    """Return everything in packs and tables that reads as an expression, and each feature as it is written."""
    trees = [read_text("seed.yaml", text, Report()) for text in packs()]
    found = {text for tree in trees if tree is not None for text in _scalars(tree) if _is_expression(text)}
    for row in described():
        found |= {row["usage"], row["formula"], f"{row['name']}(60s) > 1"}
    return (*sorted(text for text in found if text), *nasty_expressions())


@cache
def words() -> tuple[str, ...]:
    """Return the words of the language: keys and choices of the schemas, features, functions, detectors, units, marks."""
    found: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            found.update(node.get("properties", ()))
            found.update(str(each) for each in node.get("enum", ()))
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(pack_schema())
    walk(config_schema())
    found |= {row["name"] for row in described()} | set(InstalledDetectors())
    # Functions are known without an instance; the checker has no other list of them.
    found |= Calls(Graph(), None, None).functions()  # type: ignore[arg-type] # neither is asked
    found |= {f"{number}{unit}" for number in ("0", "1", "60", "1e308", "1e-320", "9" * 40) for unit in UNITS}
    marks = "and or not in < <= > >= == != + - * / ( ) [ ] , = $majors market.symbol market.tags score true false 'a' \"b\" : - | >"
    yaml = "# %YAML --- ... &a *a !!python/object:os.system <<: ? ~ null NO 010 0x1F 1_000 190:20:30 {} []"
    return tuple(
        sorted(
            found
            | set(marks.split())
            | set(yaml.split())
            | {"\n", "\n  ", ": ", "- ", "\t", "\x00", "\ud800", "\u2028", "🙂", "٣", "½"}
        )
    )


def nasty_expressions() -> tuple[str, ...]:
    """Return expressions that broke evaluators before, ours or others'."""
    return (
        "9" * 5_000,
        f"ret(60s) > {'9' * 4_400}",
        "1e999 > 1",
        "1e308 * 1e308 * 1e308 > 0",
        "ret(1e200s * 1e200) > 0",
        "ret(0s / 0) > 0",
        "ret(60s * 0) > 0",
        "ret(-60s) > 0",
        "ret(1e-300s) > 0",
        "-" * 39 + "a",
        "not " * 39 + "a > 1",
        "(" * 39 + "1" + ")" * 39 + " > 0",
        "[" * 400,
        "(" * 5_000,
        "abs(" * 38 + "1" + ")" * 38,
        " and ".join(["ret(60s) > 1%"] * 60),
        " + ".join(f"qx{number}" for number in range(199)),
        " + ".join("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz" for _ in range(90)),
        "a" * 8_000,
        "a" * 80,
        "' " * 500,
        '"' + "x" * 79,
        "ramp(1, 1, 1)",
        "ramp(ret(60s), 0/0, 1)",
        "default(0/0, 0/0) > 1",
        "min(1,2,3,4,5,6,7,8)",
        "market.symbol in [" + ",".join(["a"] * 190) + "]",
        "market.class == spto",
        "\u0663 > 1",
        "ret(\u0666\u0660s) > 1%",
        "a\u00a0>\u20031",
        "a\x00b",
        "\ud800",
        "ret(60s)\n>\n1%",
        "().__class__.__bases__[0]",
        "__import__('os').system('true')",
        "9**9**9",
        "1 < 2 < 3 < 4 == 4 != 5",
        "$" * 100,
        "corr(BTC/USDT, 1h) > 0.5",
        "corr('BTC/USDT:USDT', 1h) > 0.5",
        "age(of=book) > 5s",
    )


def nasty_files() -> tuple[str, ...]:
    """Return files that broke readers of YAML before."""
    rule = "rules:\n  one:\n    level: warning\n    when: "
    lets = "".join(f"      a{number}: {'-' * 38}(a{number - 1})\n" for number in range(1, 60))
    outs = "".join(f"      u{number}: a{number} > 0\n" for number in range(60))
    return (
        "a: &a [x, x]\n" + "".join(f"b{number}: &b{number} [*a, *a, *a]\n" for number in range(50)),
        "[" * 3_000,
        "{a: " * 3_000,
        "- " * 3_000,
        "? " * 3_000,
        "\n".join(" " * number + "a:" for number in range(120)),
        "{a, b, c: 1, " + ", ".join(f"k{number}" for number in range(1_500)) + "}",
        "rules: {" + ", ".join(f"r{number}: {{}}" for number in range(800)) + "}",
        "override: {" + ", ".join(f"r{number}: {{mode: alert}}" for number in range(700)) + "}\n" + rule + "1 > 0\n",
        rule + '"' + "\\u0000" + '"\n',
        rule + '"\\ud800 > 1"\n',
        rule + '"\\U0001F642 > 1"\n',
        rule + "'" + "''" * 200 + "'\n",
        rule + ">\n" + "      1 > 0 and\n" * 150 + "      1 > 0\n",
        rule + "1 > 0\n    let:\n      a0: ret(60s)\n" + lets + "    unless:\n" + outs,
        rule + "a > 0\n    let: {a: b, b: c, c: a}\n",
        rule + "a > 0\n    let: {a: a}\n",
        rule + "1 > 0\n    risk: {x: {weight: 1e308, value: 1}, y: {weight: 1e308, value: 1}}\n",
        rule + "1 > 0\n    risk: {x: {weight: 1000, value: 1e308 * 1e308}}\n",
        "rules:\n" + "".join(f"  r{number}: {{level: warning, when: wrong{number} > 0}}\n" for number in range(350)),
        "rules:\n" + "".join(f"  r{number}:\n    whem: 1\n" for number in range(600)),
        "rules:\n" + "".join(f"  r{number}: {{level: warning, when: ret({number + 1}s) > 0}}\n" for number in range(60)),
        "version: 1e999\n",
        "version: " + "9" * 5_000 + "\n",
        "lists: {majors: [" + "BTC/USDT, " * 1_000 + "]}\n" + rule + "market.symbol in $majors\n",
        "\ufeffversion: 1\n",
        "a: \t1\n\tb: 2\n",
        "--- a\n--- b\n",
        "%YAML 3.0\n---\na: 1\n",
        "!!binary aGVsbG8=\n",
        "? [a, b]\n: c\n? {a: b}\n: d\n",
        "'a\n\n\n  b': 1\n",
        "a" * 10_000,
        "a: " + "b " * 5_000,
        "#" * 10_000,
        "\n" * 10_000,
        "a:\n" * 5_000,
    )


def texts() -> tuple[str, ...]:
    """Return the small texts of rule files, test files and the command line."""
    written = {
        text
        for file in (*packs(), *cases(), *configurations())
        if (tree := read_text("x", file, Report()))
        for text in _scalars(tree)
    }
    nasty = (
        "1e308d",
        "9" * 400 + "s",
        "9" * 39 + "d",
        "\u0661\u0662s",
        "1h30m",
        "-5s",
        "5 s",
        "5S",
        "1.5.5s",
        "10000000000000000d",
        "100 -> 106 over 30s",
        "+1e308% over 30s",
        "-100% over 1s",
        "-> 5",
        "1 -> -> 2",
        "over over over",
        "20/s",
        "1e308/s",
        "0/s",
        "/",
        "2027-01-31",
        "9999-12-31",
        "0001-01-01",
        "2027-01-31T25:00Z",
        "9999-12-31T23:59:59.999999-23:59",
        "*" * 60,
        "*a" * 60 + "b",
        "a" * 2_000,
        "binance:PEPE/USDT",
        "::::",
        ":" * 500,
        "okx:BTC/USDT:USDT-261225",
        "\ud800:\ud800/\ud800",
        "a:b\x00",
    )
    return (*sorted(written), *nasty)
