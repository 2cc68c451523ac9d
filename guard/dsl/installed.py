"""What packages add to guard, by the name of its entry point."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import EntryPoint

__all__ = ["Installed"]

Added = TypeVar("Added")


class Installed(Mapping[str, type[Added]]):
    """Classes of all installed packages, by name; one is imported when it is first asked for.

    A subclass names the `group` of the entry points.
    """

    group: str

    @cached_property
    def _entries(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group=self.group)}

    def __getitem__(self, name: str) -> type[Added]:
        # Importing again what is there is a look into a table.
        loaded: type[Added] = self._entries[name].load()
        return loaded

    def __contains__(self, name: object) -> bool:
        """Whether there is such a class; nothing is imported for that."""
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
