"""The markets watched last time: after a restart they are `warming`, not unknown to guard."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from guard.model import Market
from guard.runtime.whole_file import replace_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Watchlist"]

_log = logging.getLogger(__name__)
_MARKETS_MAX = 20_000


class Watchlist:
    """Remembers the names of watched markets in a small file; a missing or damaged file is an empty list.

    Parameters
    ----------
    path
        The file, a cache: it may be deleted at any time. Where it cannot be written, that is logged once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_told = False
        self.markets = self._read()

    def _read(self) -> frozenset[str]:
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            names = json.loads(self._path.read_text(encoding="utf-8"))[:_MARKETS_MAX]
            return frozenset(str(Market.parse(name)) for name in names)
        return frozenset()

    def remember(self, markets: Iterable[str]) -> None:
        """Write the names where they changed."""
        names = frozenset(markets)
        if names == self.markets:
            return
        self.markets = names
        try:
            replace_file(self._path, [json.dumps(sorted(names)).encode()])
        except OSError as error:
            if not self._is_told:
                self._is_told = True
                _log.warning("the list of watched markets is not kept for a restart: %s", error)
