"""The page for the first rule: every file on it is written, every command run, every output compared."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

import pytest

PAGES: Final = [Path(__file__).parents[1] / "docs" / "first-rule.md"]
_FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED: Final = re.compile(r"`([\w./-]+\.ya?ml)`[^`\n]*:$")
_LIMIT_S: Final = 60


class Step(NamedTuple):
    """A file to write (`name`), or a command with what the page shows of its standard output."""

    line: int
    name: str
    text: str


def steps(page: str) -> list[Step]:
    found = []
    for fence in _FENCE.finditer(page):
        line = page[: fence.start(2)].count("\n") + 1
        if fence[1] in ("yaml", "yml"):
            named = _NAMED.search(page[: fence.start()].rstrip())
            assert named is not None, f"line {line}: a file has its name in the line before"
            found.append(Step(line, named[1], fence[2]))
        elif fence[1] == "console":
            for part in re.split(r"^\$ ", fence[2], flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                found.append(Step(line, "", f"{command}\n{output}"))
    return found


def pattern(output: str) -> str:
    """Return what an output must match: `...` in a line is anything in it, alone it is any lines."""
    lines = output.splitlines()
    parts = [r"(?:.*\n)*?" if line == "..." else ".*?".join(map(re.escape, line.split("..."))) + r"\n" for line in lines]
    return "".join(parts)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_the_page_shows_is_what_happens(page: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GUARD_")} | {"COLUMNS": "80"}
    ran = 0
    for step in steps(page.read_text(encoding="utf-8")):
        if step.name:
            path = tmp_path / step.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text, encoding="utf-8")
            continue
        command, _, shown = step.text.partition("\n")
        assert command.startswith("guard "), f"line {step.line}: {command}"
        found = subprocess.run(
            [sys.executable, "-m", *shlex.split(command)], cwd=tmp_path, env=environment, text=True, check=False, timeout=_LIMIT_S,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        ).stdout  # fmt: skip
        assert re.fullmatch(pattern(shown), found), f"line {step.line}: {command}\n{found}"
        ran += 1
    assert ran >= 5


def test_an_output_that_differs_is_seen() -> None:
    assert re.fullmatch(pattern("a ... c\n...\nz\n"), "a b c\nx\ny\nz\n")
    assert not re.fullmatch(pattern("a ... c\n...\nz\n"), "a b c\nx\ny\n")
    assert not re.fullmatch(pattern("a\n"), "b\n")
