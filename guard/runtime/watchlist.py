"""The markets watched last time: after a restart they are `warming`, not unknown to guard, and new listings stay known as such."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING

from guard.model import Market, MarketView
from guard.runtime.whole_file import replace_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["Watchlist"]

_log = logging.getLogger(__name__)
_MARKETS_MAX = 20_000


class Watchlist:
    """Remembers watched markets in a small file; a missing or damaged file is an empty list.

    Parameters
    ----------
    path
        The file, a cache: it may be deleted at any time. Where it cannot be written, that is logged once.

    Notes
    -----
    `markets` has their names, `listed_until_us` of those that were listed a short time ago what `MarketView` says of it: a bot that
    refuses new listings refuses them until their market is open again, too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_told = False
        self.listed_until_us: dict[str, int] = {}
        self.markets: frozenset[str] = frozenset()
        self._read()

    def _read(self) -> None:
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            # An earlier guard wrote the names alone.
            found = kept["markets"] if isinstance(kept, dict) else dict.fromkeys(kept)
            listed = {str(Market.parse(name)): until_us for name, until_us in list(found.items())[:_MARKETS_MAX]}
            until = {name: int(until_us) for name, until_us in listed.items() if until_us is not None}
            self.markets, self.listed_until_us = frozenset(listed), until

    def view(self, market: str, view: MarketView) -> MarketView:
        """Return `view` of a market that is not open yet, with what is remembered of its listing."""
        until_us = self.listed_until_us.get(market)
        return view if until_us is None else view._replace(listed_until_us=until_us)

    def remember(self, markets: Iterable[str], listed_until_us: Mapping[str, int] = MappingProxyType({})) -> None:
        """Write what changed: the names, and until when those that were listed a short time ago count as new."""
        names = frozenset(markets)
        listed = {name: until_us for name, until_us in listed_until_us.items() if name in names}
        if (names, listed) == (self.markets, self.listed_until_us):
            return
        self.markets, self.listed_until_us = names, listed
        content = {"markets": {name: listed.get(name) for name in sorted(names)}}
        try:
            replace_file(self._path, [json.dumps(content).encode()])
        except OSError as error:
            if not self._is_told:
                self._is_told = True
                _log.warning("the list of watched markets is not kept for a restart: %s", error)
