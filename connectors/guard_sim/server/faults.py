"""Faults that a test or a person orders."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["KINDS", "Fault", "Faults"]

KINDS = ("drop", "silent", "skip_sequence", "malformed", "http_429")
_FOR_MAX_S = 3600.0


class Fault(NamedTuple):
    """One order: `kind`, the exchange's id of a symbol (None = all), how long it lasts."""

    kind: str
    symbol: str | None
    for_s: float

    @classmethod
    def read(cls, document: Any) -> Fault:  # noqa: ANN401 - JSON from outside
        """Read ``{kind, symbol?, for_s?}``; raises ValueError. The symbol may be written BTC/USDT or BTCUSDT."""
        if not isinstance(document, dict) or document.get("kind") not in KINDS:
            raise ValueError(f"a fault is {{kind, symbol?, for_s?}} with kind one of {', '.join(KINDS)}; found {document!r}")
        for_s = document.get("for_s", 5.0)
        if isinstance(for_s, bool) or not isinstance(for_s, (int, float)) or not 0.0 < for_s <= _FOR_MAX_S:
            raise ValueError(f"for_s must lie between 0 and {_FOR_MAX_S:.0f}, found {for_s!r}")
        symbol = document.get("symbol")
        return cls(document["kind"], None if symbol is None else str(symbol).replace("/", "").upper(), float(for_s))


class Faults:
    """Which faults are on. Times are microseconds of the caller's clock."""

    def __init__(self) -> None:
        self._silent_until: dict[str | None, int] = {}
        self._skips: set[str | None] = set()
        self.throttled_until_us = 0

    def order(self, fault: Fault, now_us: int) -> None:
        """Put a lasting fault on; ``drop`` and ``malformed`` are acts of the hub, not states."""
        until_us = now_us + int(fault.for_s * 1e6)
        if fault.kind == "silent":
            self._silent_until[fault.symbol] = until_us
        elif fault.kind == "skip_sequence":
            self._skips.add(fault.symbol)
        elif fault.kind == "http_429":
            self.throttled_until_us = until_us

    def is_silent(self, symbol: str, now_us: int) -> bool:
        """Whether nothing may be sent about `symbol` now."""
        silent = self._silent_until
        return bool(silent) and max(silent.get(symbol, 0), silent.get(None, 0)) > now_us

    def skips(self, symbol: str) -> bool:
        """Whether this book message is to be lost; each order loses one."""
        for key in (symbol, None):
            if key in self._skips:
                self._skips.discard(key)
                return True
        return False
