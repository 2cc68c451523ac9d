"""Packs that include packs: which files a set of rules is made of, and that none of them leads out of its root."""

from __future__ import annotations

import glob
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.dsl.document import Items, Node, Scalar, Table
from guard.dsl.reading import read_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.dsl.problems import Report

__all__ = ["CONFIG", "DEPTH_MAX", "INCLUDED_MAX", "SHIPPED", "Include", "PackFile", "gathered", "is_pack_name", "shown_path"]

DEPTH_MAX: Final = 8
"""How many files may stand between a named pack and one that it includes."""
INCLUDED_MAX: Final = 500
"""Files that all packs of a set may include together."""
CONFIG: Final = "guard.yaml"
SHIPPED: Final = "guard:"
_SUFFIXES: Final = (".yaml", ".yml")
_TEST_SUFFIXES: Final = (".test.yaml", ".test.yml")
_LOOKED_AT_MAX: Final = 10_000


class PackFile(NamedTuple):
    """A pack that somebody named: where it lies, how it is shown, and the folder that its includes may not leave."""

    path: Path
    shown: str
    root: Path


class Include(NamedTuple):
    """A path or glob under ``include:``, and the folder of the file that it stands in."""

    folder: Path
    pattern: str


def gathered(files: Iterable[PackFile], report: Report, *, seen: set[Include] | None = None) -> list[tuple[str, Node | None]]:
    """Read packs and what they include, each file once: the name to show and the tree, None where it cannot be read.

    What a file includes comes right after it. Every mistake goes to the report, those of an included file at its own lines. What
    files ask for and may have goes to `seen`, also where it is missing, so that somebody can watch for it to come.
    """
    gathering = _Gathering(report, set() if seen is None else seen)
    for file in files:
        gathering.take(file.path, file.shown, file.root, ())
    return gathering.found


def shown_path(path: Path) -> str:
    """Return how a file is named in messages: relative to the working folder where it lies inside."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError, RuntimeError):
        return str(path)


def is_pack_name(name: str) -> bool:
    """Whether a file of this name is a pack: YAML, but no test file."""
    return name.endswith(_SUFFIXES) and not name.endswith(_TEST_SUFFIXES)


class _Open(NamedTuple):
    """A file whose includes are being read: what it really is, and how it is shown."""

    real: Path
    shown: str


class _Gathering:
    """One walk over packs and their includes."""

    def __init__(self, report: Report, seen: set[Include]) -> None:
        self.found: list[tuple[str, Node | None]] = []
        self._report = report
        self._seen = seen
        self._done: set[Path] = set()
        self._included = 0

    def take(self, path: Path, shown: str, root: Path, chain: tuple[_Open, ...]) -> None:
        """Read one file, then what it includes."""
        real = _real(path) or path
        if real in self._done:
            return
        self._done.add(real)
        tree = read_file(path, self._report, shown=shown)
        self.found.append((shown, tree))
        entry = tree.entries.get("include") if isinstance(tree, Table) else None
        if entry is None:
            return
        chain = (*chain, _Open(real, shown))
        for item in entry.node.items if isinstance(entry.node, Items) else (entry.node,):
            # Whatever is no text is told by the check of the pack's keys.
            if isinstance(item, Scalar) and isinstance(item.value, str):
                self._include(item, path.parent, root, chain)

    def _include(self, item: Scalar, folder: Path, root: Path, chain: tuple[_Open, ...]) -> None:
        if len(chain) > DEPTH_MAX:
            self._report.add("E009", item.place, f"includes are nested deeper than {DEPTH_MAX} files", "include it further up")
            return
        opened = [before.real for before in chain]
        for path in self._matching(item, folder, root, chain[-1]):
            real = _real(path) or path
            if real in opened:
                around = [before.shown for before in chain[opened.index(real) :]]
                message = f"a file includes itself: {' -> '.join([*around, around[0]])}"
                self._report.add("E048", item.place, message, "leave one of these includes out")
                continue
            self._included += real not in self._done
            if self._included > INCLUDED_MAX:
                message = f"more than {INCLUDED_MAX} files are included"
                self._report.add("E010", item.place, message, "put the rules into fewer files")
                return
            # A path with .. in it is shown as what it comes to; any other as its author wrote it.
            self.take(path, shown_path(real if ".." in path.parts else path), root, chain)

    def _matching(self, item: Scalar, folder: Path, root: Path, includer: _Open) -> list[Path]:
        """Return the packs that an include asks for, none of which lies outside the root."""
        text = item.text
        problem = _refused(text, folder, root)
        if problem:
            hint = (
                f"paths are relative to this file and stay under {_named(root)}; where guard.yaml names the pack, under its folder"
            )
            self._report.add("E060", item.place, problem, hint)
            return []
        self._seen.add(Include(folder, text))
        found = _globbed(folder, text, includer) if glob.has_magic(text) else [folder / text]
        packs = [path for path in found if is_pack_name(path.name) and _is_file(path)]
        if not packs:
            self._report.add("E028", item.place, f"no rule file matches {text!r} in {_named(folder)}", _hint(text))
        inside = [path for path in packs if _is_inside(path, root)]
        for path in packs:
            if path not in inside:
                message = f"{shown_path(path)} is a symlink that leads out of {_named(root)}"
                self._report.add("E060", item.place, message, "copy the file, or let guard.yaml name it under rules:")
        return inside


def _globbed(folder: Path, pattern: str, includer: _Open) -> list[Path]:
    """Return what a glob matches, in an order that does not depend on the disk, without the file that asks."""
    # As under rules:, * matches no hidden file.
    names = islice(glob.iglob(pattern, root_dir=folder, recursive=True), _LOOKED_AT_MAX)  # noqa: PTH207 - pathlib's matches them
    paths = [folder / name for name in sorted(names)]
    return [path for path in paths if path.name != CONFIG and _real(path) != includer.real]


def _refused(text: str, folder: Path, root: Path) -> str:
    """Say why a path or glob as written must not be looked at; empty where it may be."""
    parts = Path(text).parts
    fixed = next((at for at, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    if text.startswith(("/", "~")):
        return f"{text!r} is not a relative path"
    if ".." in parts[fixed:]:
        return f"{text!r} has .. after a wildcard"
    if parts.count("**") > 1:
        # Each one multiplies how many folders are looked at.
        return f"{text!r} has ** more than once"
    path = folder.joinpath(*parts[:fixed])
    # Symlinks in a circle lead nowhere: there is no such file.
    return f"{text!r} leads out of {_named(root)}" if _real(path) and not _is_inside(path, root) else ""


def _named(folder: Path) -> str:
    shown = shown_path(folder)
    return "the working folder" if shown == "." else shown


def _hint(text: str) -> str:
    if text.startswith(SHIPPED):
        return "shipped packs are named in guard.yaml, under rules:"
    return "an include is a pack, NAME.yaml, or a glob that matches packs"


def _real(path: Path) -> Path | None:
    """Return what a path is once all symlinks are followed; None where they run in a circle."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return None


def _is_inside(path: Path, root: Path) -> bool:
    real, top = _real(path), _real(root)
    return real is not None and top is not None and real.is_relative_to(top)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False
