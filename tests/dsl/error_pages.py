"""The pages under docs/errors, made of the explanations and the corpus. `make errors` writes them."""

from __future__ import annotations

import re
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dsl.corpus_cases import cases, found

from guard.dsl.explanations import EXPLANATIONS
from guard.dsl.problems import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dsl.corpus_cases import Case

__all__ = ["pages"]

_INDEX: Final = """\
# Problems by their id

Each problem that `guard rules check` and `guard config check` tell of has an id that stays. Errors (E) forbid the use of the file;
warnings (W) do not, unless you say `--strict`. `guard rules error E042` shows a page in the terminal, offline. In `--json`, `doc`
names the page.

| id | name | what was found |
|---|---|---|
"""
_FOOT: Final = "\nThese pages are made by `make errors` from the files under tests/dsl/corpus; each example there is a test.\n"


def pages() -> dict[str, str]:
    """Return the text of every page by its file name."""
    by_name = {case.name: case for case in cases()}
    found_pages = {f"{code}.md": _page(code, by_name) for code in NAMES}
    rows = "".join(f"| [{code}]({code}.md) | {name} | {_cell(EXPLANATIONS[code].meaning)} |\n" for code, name in NAMES.items())
    return {"README.md": _INDEX + rows + _FOOT, **found_pages}


def _page(code: str, by_name: Mapping[str, Case]) -> str:
    explanation = EXPLANATIONS[code]
    broken, good = by_name.get(code), by_name.get(f"{code}.good")
    lines = [
        f"# {code} {NAMES[code]}",
        "",
        f"**{explanation.severity_of(code).capitalize()}.** {explanation.meaning}",
        "",
        *_wrapped(explanation.why),
    ]
    if broken is not None and good is not None:
        lines += ["", "## Example", "", *_files(broken), *_output(broken), "", "## Mended", "", *_files(good)]
    else:
        lines += ["", "## Example", "", *_told(explanation.example)]
    others = [case for name, case in by_name.items() if name.startswith(f"{code}_")]
    more = list(_others(code, others))
    if more:
        lines += ["## Also told so", "", *more]
    return "\n".join(lines).rstrip() + "\n"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 120, break_long_words=False, break_on_hyphens=False)


def _files(case: Case) -> Iterator[str]:
    for name, raw in case.shown().items():
        if len(case.files) > 1 or name == "guard.yaml":
            yield from (f"`{name}`", "")
        language = "yaml" if case.is_good and not case.env and len(case.files) == 1 else "yml"
        text = _visible(raw)
        yield from (f"```{language}", text, "```", "") if text else ("(an empty file)", "")
    for name, mode in case.modes.items():
        yield from (f"The rights of `{name}` are {mode:04o}.", "")
    for key, value in case.env.items():
        yield from (f"With the variable `{key}={value}`.", "")


def _told(example: str) -> Iterator[str]:
    """Yield the example of what stands in no file."""
    for part in example.split("\n\n"):
        yield from (("```text", part, "```", "") if "`" not in part else (part, ""))


def _visible(raw: bytes) -> str:
    """Return a file as a page can show it: what cannot be seen is named."""
    text = raw.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").rstrip("\n")
    return "".join(char if char == "\n" or char.isprintable() else f"<U+{ord(char):04X}>" for char in text)


def _output(case: Case) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        problems = found(case, Path(folder))
    return ["```text", "\n\n".join(map(str, problems)), "```"]


def _others(code: str, others: list[Case]) -> Iterator[str]:
    """Yield the other messages of an id, each once."""
    # What the example tells already is not told again.
    seen: set[str] = set()
    for case in others:
        with tempfile.TemporaryDirectory() as folder:
            problems = [problem for problem in found(case, Path(folder)) if problem.id == code]
        for problem in problems:
            line = problem.source.strip()
            text = f"- {_code(line)}: {problem.message}" if line and len(line) <= _LINE_MAX else f"- {problem.message}"
            text += f" ({problem.hint})" if problem.hint else ""
            kind = re.sub(r"'[^']*'|[\d.]+|\S*\(.*?\)", "_", f"{problem.message} {problem.hint.partition(' ')[0]}")
            if kind not in seen and len(seen) < _OTHERS_MAX:
                seen.add(kind)
                yield text


_LINE_MAX: Final = 90
_OTHERS_MAX: Final = 10


def _code(text: str) -> str:
    shown = "".join(char if char.isprintable() else " " for char in text)
    fence = "``" if "`" in shown else "`"
    return f"{fence}{shown}{fence}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(folder: Path) -> None:
    """Write all pages into a folder; pages of ids that are gone are removed."""
    made = pages()
    folder.mkdir(parents=True, exist_ok=True)
    for page in folder.glob("*.md"):
        if page.name not in made:
            page.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
