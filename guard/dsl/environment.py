"""What comes from outside guard.yaml: ``${env:X}`` and ``${file:path}`` in its values, ``GUARD_A__B`` over its keys."""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING

from guard.dsl.document import Entry, Items, Node, Scalar, Table
from guard.dsl.problems import Place, Report, Source, did_you_mean
from guard.dsl.reading import read_text, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["IGNORED", "Secrets", "overlay"]

PREFIX = "GUARD_"
IGNORED = frozenset({"GUARD_STATE", "GUARD_CONFIG", "GUARD_JIT", "GUARD_TOKEN"})
"""Variables that are not keys of guard.yaml: they name the state folder, the file itself, and the agent's token."""

_BYTES_MAX = 64 * 1024
_PATH_MAX = 12
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
_REFERENCE = re.compile(r"\$\{([^}]*)\}")


class Secrets:
    """Replaces references in the values of a tree and remembers which variables were asked for."""

    def __init__(self, env: Mapping[str, str], folder: Path, report: Report) -> None:
        self.used: set[str] = set()
        self._env = env
        self._folder = folder
        self._report = report

    def replace(self, node: Node) -> Node:
        """Return the tree with every reference replaced; a value that holds one is hidden in messages."""
        match node:
            case Table():
                entries = {key: Entry(entry.key, self.replace(entry.node)) for key, entry in node.entries.items()}
                return Table(entries, node.place, node.is_torn)
            case Items():
                return Items(tuple(map(self.replace, node.items)), node.place)
            case Scalar(value=str() as text) if "${" in text:
                found = _REFERENCE.sub(lambda match: self._found(match.group(1), node.place), text)
                value = resolve(found) if _REFERENCE.fullmatch(text) and not node.style else found
                return Scalar(value, found, node.place._replace(is_hidden=True), node.style)
            case _:
                return node

    def _found(self, reference: str, place: Place) -> str:
        kind, colon, name = reference.partition(":")
        if kind == "env" and name:
            self.used.add(name)
            if name not in self._env:
                self._report.add(
                    "E030", place, f"the environment variable {name} is not set", f"export {name}=... before guard starts"
                )
            return self._env.get(name, "")
        if kind == "file" and name:
            return self._from_file(name, place)
        if _VARIABLE.fullmatch(reference):
            self._report.add("E030", place, f"${{{reference}}} is not a reference", f"did you mean ${{env:{reference}}}?")
            return ""
        hint = "write ${env:NAME} or ${file:/path}"
        self._report.add("E030", place, f"${{{kind}{colon}...}} is not a reference", hint)
        return ""

    def _from_file(self, name: str, place: Place) -> str:
        path = self._folder / name
        try:
            mode = path.stat().st_mode
            if not stat.S_ISREG(mode):
                self._report.add("E030", place, f"{name} is not a regular file")
                return ""
            with path.open("rb") as stream:
                raw = stream.read(_BYTES_MAX + 1)
            text = raw.decode("utf-8").strip()
        except (OSError, UnicodeDecodeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            self._report.add("E030", place, f"{name} cannot be read: {reason}")
            return ""
        if len(raw) > _BYTES_MAX:
            self._report.add("E030", place, f"{name} is larger than {_BYTES_MAX // 1024} KiB")
            return ""
        if mode & stat.S_IROTH:
            self._report.add("W003", place, f"everybody on this machine can read {name}", f"chmod 600 {name}")
        return text


def overlay(root: Table, env: Mapping[str, str], used: set[str], report: Report, known: list[str]) -> Table:
    """Return `root` with what ``GUARD_A__B`` variables say in place of the keys ``a: {b: ...}``.

    `used` are variables that a value refers to; `known` the top keys of guard.yaml. A value is read like one in the file.
    """
    for name in sorted(env):
        if not name.startswith(PREFIX) or name in IGNORED or name in used:
            continue
        path = [part.lower() for part in name.removeprefix(PREFIX).split("__")]
        source = Source.of(f"environment variable {name}", f"{name}=...")
        place = Place(source, 1, 1)
        if path[0] not in known or not all(path) or len(path) > _PATH_MAX:
            wanted = sorted([*(f"{PREFIX}{key.upper()}" for key in known), *IGNORED])
            report.add("E031", place, f"{name} is not a key of guard.yaml", did_you_mean(name, wanted))
            continue
        node = _value(source, env[name], report)
        if node is not None:
            root = _put(root, path, node, place)
    return root


def _value(source: Source, text: str, report: Report) -> Node | None:
    if text.startswith(("[", "{")):
        inner = Report()
        node = read_text(source.file, text, inner)
        if node is None or inner.errors:
            report.add("E031", Place(source), "the value is not YAML", "for example [a, b]")
            return None
        return _hidden(node)
    return Scalar(resolve(text), text, Place(source, 1, 1, is_hidden=True))


def _hidden(node: Node) -> Node:
    match node:
        case Table():
            entries = {key: Entry(entry.key._replace(is_hidden=True), _hidden(entry.node)) for key, entry in node.entries.items()}
            return Table(entries, node.place._replace(is_hidden=True))
        case Items():
            return Items(tuple(map(_hidden, node.items)), node.place._replace(is_hidden=True))
        case Scalar():
            return Scalar(node.value, node.text, node.place._replace(is_hidden=True), node.style)


def _put(root: Table, path: list[str], node: Node, place: Place) -> Table:
    key = next((name for name in root.entries if name.lower() == path[0]), path[0])
    if len(path) == 1:
        return Table({**root.entries, key: Entry(place, node)}, root.place)
    before = root.entries.get(key)
    inner = before.node if before is not None and isinstance(before.node, Table) else Table({}, place)
    return Table(
        {**root.entries, key: Entry(place if before is None else before.key, _put(inner, path[1:], node, place))}, root.place
    )
