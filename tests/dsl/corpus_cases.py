"""The corpus of broken files: each one is laid out in a folder, checked, and compared with what stands at its end.

A case is ``NAME.yaml`` (a pack), ``NAME.guard.yaml`` (a guard.yaml) or a folder ``NAME`` of such files. The name begins with the id
that it shows. The last lines of a file are directives, which are cut off before it is checked::

    # expect: 4:11 E042 did you mean ret?    one problem of this file: place, id, a part of message or hint
    # env: TOKEN=x                           the environment of the check
    # mode: 0644                             the rights of the file
    # pad: 300000                            so many more characters, as a comment
    # tables: broken                         with a detector and a feature that are broken

`ID.yaml` is the example of the page of its id, `ID.good.yaml` the same mended.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from pydantic import BaseModel

from guard.cli.rules_check import find_problems
from guard.detection.detector import Family
from guard.dsl.tables import InstalledDetectors, installed_tables
from guard.features.tables import Feature, Unit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.errors import Problem

__all__ = ["CORPUS", "Case", "Expected", "cases", "found"]

CORPUS: Final = Path(__file__).parent / "corpus"
_DIRECTIVE: Final = re.compile(rb"^# (expect|env|mode|pad|tables): ([^\r\n]*)\r?\n?", re.MULTILINE)
_EXPECT: Final = re.compile(r"(\d+):(\d+) ([EW]\d{3})(?: (.*))?")


class Expected(NamedTuple):
    """One problem that must be told; `says` is a part of its message or hint."""

    file: str
    line: int
    column: int
    id: str
    says: str


class _Broken(BaseModel):
    """No parameters."""


class _BrokenDetector:
    """A detector whose formula names what is not there."""

    name: ClassVar[str] = "broken"
    title: ClassVar[str] = "Broken"
    family: ClassVar[Family] = Family.PRICE
    is_hard: ClassVar[bool] = False
    Parameters: ClassVar[type[BaseModel]] = _Broken
    let: ClassVar[Mapping[str, str]] = {}
    score: ClassVar[str] = "retn(60s)"
    evidence: ClassVar[tuple[str, ...]] = ()


class Case:
    """One case, read from the corpus."""

    def __init__(self, path: Path) -> None:
        self.name = path.name.removesuffix(".yaml").removesuffix(".guard")
        self.path = path
        self.files: dict[str, bytes] = {}
        self.modes: dict[str, int] = {}
        self.env: dict[str, str] = {}
        self.expected: list[Expected] = []
        self.tables = ""
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            self._read(self._laid_out(file), file.read_bytes())

    def _laid_out(self, file: Path) -> str:
        if self.path.is_dir():
            return file.name
        return "guard.yaml" if file.name.endswith(".guard.yaml") else file.name

    def _read(self, name: str, raw: bytes) -> None:
        text = _DIRECTIVE.sub(b"", raw)
        for kind, rest in _DIRECTIVE.findall(raw):
            value = rest.decode()
            match kind.decode():
                case "expect":
                    found = _EXPECT.fullmatch(value)
                    assert found is not None, f"{self.name}: {value}"
                    self.expected.append(Expected(name, int(found[1]), int(found[2]), found[3], found[4] or ""))
                case "env":
                    key, _, worth = value.partition("=")
                    self.env[key] = worth
                case "mode":
                    self.modes[name] = int(value, 8)
                case "pad":
                    text += b"#" + b"." * int(value) + b"\n"
                case _:
                    self.tables = value
        self.files[name] = text

    @property
    def id(self) -> str:
        """The id that the case shows."""
        return self.name[:4]

    @property
    def is_good(self) -> bool:
        """Whether it is a mended file, which has no problem."""
        return self.name.endswith(".good")

    def shown(self) -> dict[str, bytes]:
        """Return the files as a page shows them: without padding."""
        return {name: re.sub(rb"^#\.{80,}$", b"# ... and so on", text, flags=re.MULTILINE) for name, text in self.files.items()}


def cases() -> list[Case]:
    """Return all cases of the corpus."""
    return [Case(path) for path in sorted(CORPUS.iterdir())]


def found(case: Case, folder: Path) -> tuple[Problem, ...]:
    """Lay a case out in a folder and return its problems, with files named relative to it."""
    for name, text in case.files.items():
        path = folder / name
        path.write_bytes(text)
        path.chmod(case.modes.get(name, 0o600))
    tables: dict[str, Any] = {}
    if case.tables == "broken":
        fields, catalogue = installed_tables()
        tables = {
            "fields": fields,
            "catalogue": [*catalogue, Feature("torn", "retn(60s)", Unit.RATIO, "Broken.")],
            "detectors": {**InstalledDetectors(), "broken": _BrokenDetector},
        }
    paths = [Path("guard.yaml")] if "guard.yaml" in case.files else [Path("." if len(case.files) > 1 else next(iter(case.files)))]
    before = Path.cwd()
    os.chdir(folder)
    try:
        return find_problems(paths, case.env, **tables)
    finally:
        os.chdir(before)
