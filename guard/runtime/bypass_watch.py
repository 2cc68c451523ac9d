"""The bypass as guard publishes it: bots of other users may not read its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.client.bypass import Bypass, read_bypass
from guard.client.places import locate
from guard.model import PublishedBypass

if TYPE_CHECKING:
    import os

    from guard.client.clock import Clocks

__all__ = ["BypassWatch"]


class BypassWatch:
    """Looks at the bypass file beside a snapshot.

    Parameters
    ----------
    snapshot
        The snapshot file; the bypass is where a client of it would look.
    clocks
        The machine's clocks, by which a bypass ends.
    """

    def __init__(self, snapshot: str | os.PathLike[str], clocks: Clocks) -> None:
        self._path = locate(snapshot).bypass
        self._clocks = clocks
        self._shown: Bypass | None = None

    def has_changed(self) -> bool:
        """Tell whether another bypass, or none, is in force than `shown` returned last."""
        return self._read() != self._shown

    def shown(self) -> PublishedBypass | None:
        """Return the bypass in force, to be published."""
        self._shown = bypass = self._read()
        return None if bypass is None else PublishedBypass(*bypass)

    def _read(self) -> Bypass | None:
        # What is wrong with the file is told by status and by the clients of this user.
        return read_bypass(self._path, self._clocks)[0]
