"""The tables an expression may name: fields of the kernel, features of the catalogue, detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.dsl.installed import Installed
from guard.features.catalogue import CATALOGUE
from guard.features.fields import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.detection.detector import Detector  # noqa: F401 - named in a text below
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


class InstalledDetectors(Installed["Detector"]):
    """Detectors of all installed packages, by name."""

    group = DETECTORS


def installed_tables() -> tuple[tuple[Field, ...], tuple[Feature, ...]]:
    """Return the fields of the kernel and the catalogue's features."""
    return FIELDS, CATALOGUE
