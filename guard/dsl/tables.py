"""The tables an expression may name: fields of the kernel, features of the catalogue, detectors."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from guard.features.catalogue import CATALOGUE
from guard.features.fields import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from importlib.metadata import EntryPoint

    from guard.detection.detector import Detector
    from guard.features.tables import Feature, Field

__all__ = ["InstalledDetectors", "Tables", "installed_tables"]

DETECTORS = "guard.detectors"


class Tables:
    """Fields and features by name."""

    def __init__(self, fields: Iterable[Field], catalogue: Iterable[Feature]) -> None:
        self.fields = {field.name: field for field in fields}
        self.features = {feature.name: feature for feature in catalogue}
        self._names = set(self.fields) | set(self.features)

    def is_callable(self, name: str) -> bool:
        """Whether `name` is a field or a feature."""
        return name in self._names

    def names(self) -> set[str]:
        """Return the names of all fields and features."""
        return self._names


class InstalledDetectors(Mapping[str, "type[Detector]"]):
    """Detectors of all installed packages, by name; one is imported when it is first asked for."""

    def __init__(self) -> None:
        self._entries: dict[str, EntryPoint] = {entry.name: entry for entry in entry_points(group=DETECTORS)}
        self._loaded: dict[str, type[Detector]] = {}

    def __getitem__(self, name: str) -> type[Detector]:
        loaded = self._loaded.get(name)
        if loaded is None:
            loaded = self._loaded[name] = self._entries[name].load()
        return loaded

    def __contains__(self, name: object) -> bool:
        """Whether there is such a detector; nothing is imported for that."""
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def installed_tables() -> tuple[tuple[Field, ...], tuple[Feature, ...]]:
    """Return the fields of the kernel and the catalogue's features."""
    return FIELDS, CATALOGUE
