"""The file that remembers what the shipped rules were when they last ran, or were accepted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.errors import StateError
from guard.runtime.whole_file import replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Definition", "Known", "read_known", "write_known"]

_SCHEMA = 1
_BYTES_MAX = 16 << 20


class Definition(NamedTuple):
    """One shipped rule, without overrides and with all defaults, and the version of guard under which it was noted.

    `meaning` has the keys of a rule, besides ``lists`` and ``macros`` of its pack; JSON values.
    """

    version: str
    meaning: Mapping[str, Any]

    @property
    def mode(self) -> str:
        """Its mode."""
        return str(self.meaning["mode"])

    def with_mode(self, mode: str | None) -> Definition:
        """Return it with another mode; None leaves it."""
        return self if mode is None else self._replace(meaning={**self.meaning, "mode": mode})


class Known(dict[str, "dict[str, Definition]"]):
    """Definitions by pack and rule."""


def read_known(path: Path) -> Known:
    """Return what is in the file, nothing where there is none. Raises StateError where it is damaged, OSError."""
    try:
        with path.open("rb") as file:
            raw = file.read(_BYTES_MAX + 1)
    except FileNotFoundError:
        return Known()
    try:
        document = json.loads(raw)
        if document["schema"] != _SCHEMA:
            raise StateError(f"{path} was written by another guard: its schema is {document['schema']!r}")
        return Known(
            {
                pack: {rule: Definition(str(row["version"]), _meaning(row["rule"])) for rule, row in rules.items()}
                for pack, rules in document["packs"].items()
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StateError(f"{path} is damaged ({type(error).__name__}); move it away to begin with what is shipped now") from error


def _meaning(value: Any) -> Mapping[str, Any]:  # noqa: ANN401 - what stands in the file may be anything
    if value["mode"] not in {"disabled", "shadow", "alert", "enforce"}:
        raise ValueError("no mode")
    return dict(value)


def write_known(path: Path, known: Known) -> None:
    """Replace the file in one step; raises OSError."""
    packs = {
        pack: {rule: {"version": found.version, "rule": found.meaning} for rule, found in rules.items()}
        for pack, rules in known.items()
    }
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(path, [json.dumps({"schema": _SCHEMA, "packs": packs}).encode()])
