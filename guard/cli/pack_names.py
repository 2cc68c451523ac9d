"""Packs as the command line names them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["files_of"]


def files_of(names: Iterable[str | Path]) -> list[Path]:
    """Return the files that names stand for: ``guard:NAME`` is a shipped pack and ``guard:`` all of them, the rest are paths.

    Raises RuleError where there is no such pack.
    """
    found: list[Path] = []
    for name in names:
        if str(name).startswith("guard:") and not Path(name).exists():
            from guard.runtime.rule_sets import shipped

            found += shipped(str(name))
        else:
            found.append(Path(name))
    return found
