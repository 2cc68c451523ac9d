"""The last good markets of an exchange on disk, so that a start while its REST is down still streams."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["MarketCache"]

_AGE_MAX_US = 30 * 86_400_000_000


class MarketCache:
    """One file of ccxt markets.

    Parameters
    ----------
    folder
        Where it lives; empty: nothing is kept.
    name
        The exchange's name in guard.yaml.
    kind
        What the markets depend on (ccxt's id, types); a file of another kind is not read.

    Notes
    -----
    Blocking: call it in a thread. A file that is damaged, of another kind or older than 30 days counts as none.
    """

    def __init__(self, folder: str, name: str, kind: list[str]) -> None:
        is_plain = name.replace("-", "").replace("_", "").isalnum()
        self._path = Path(folder) / f"ccxt-{name}.json" if folder and is_plain else None
        self._kind = kind

    def write(self, markets: list[dict[str, Any]], *, now_us: int) -> None:
        """Keep `markets`; raises OSError."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps({"version": 1, "kind": self._kind, "saved_us": now_us, "markets": markets}, default=str))
        fresh.replace(self._path)

    def read(self, *, now_us: int) -> tuple[list[dict[str, Any]], int] | None:
        """Return the markets and when they were saved, None where there are none that can be used."""
        if self._path is None:
            return None
        try:
            document = json.loads(self._path.read_text())
            if document["version"] != 1 or document["kind"] != self._kind or now_us - document["saved_us"] > _AGE_MAX_US:
                return None
            return list(document["markets"]), int(document["saved_us"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
