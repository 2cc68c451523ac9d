"""Faults that a test or a person orders."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["KINDS", "Fault", "Faults"]

_FOR_MAX_S = 3600.0
_OFFSET_MAX_S = 86_400.0
# What each kind takes besides symbol and for_s: name, least, most, default.
_EXTRA: dict[str, tuple[str, float, float, float]] = {
    "close": ("code", 1000, 4999, 1001),
    "clock": ("offset_s", -_OFFSET_MAX_S, _OFFSET_MAX_S, 2.0),
    "slow_rest": ("delay_s", 0.0, 600.0, 2.0),
    "burst": ("trades", 1, 4000, 100),
    "lifetime": ("life_s", 0.05, _OFFSET_MAX_S, 5.0),
}
KINDS = (
    "drop",
    "close",
    "half_open",
    "lifetime",
    "silent",
    "mute",
    "unacknowledged",
    "skip_sequence",
    "skip_trades",
    "duplicate",
    "late",
    "burst",
    "malformed",
    "null_fields",
    "http_429",
    "http_418",
    "http_503",
    "slow_rest",
    "clock",
    "refuse_429",
    "refuse_503",
    "expire_token",
    "maintenance",
)


class Fault(NamedTuple):
    """One order: `kind`, the exchange's id of a symbol (None = all), how long it lasts, and what the kind takes besides.

    `value` is the code of ``close``, the seconds of ``clock`` (offset), ``slow_rest`` (delay) and ``lifetime`` (age at which a
    connection is closed), the trades of a ``burst``. `has_retry_after` is for refusals: whether they carry Retry-After.
    """

    kind: str
    symbol: str | None
    for_s: float
    value: float = 0.0
    has_retry_after: bool = True

    @classmethod
    def read(cls, document: Any) -> Fault:  # noqa: ANN401 - JSON from outside
        """Read ``{kind, symbol?, for_s?, ...}``; raises ValueError. The symbol may be written BTC/USDT, BTC-USDT or BTCUSDT."""
        if not isinstance(document, dict) or document.get("kind") not in KINDS:
            raise ValueError(f"a fault is {{kind, symbol?, for_s?}} with kind one of {', '.join(KINDS)}; found {document!r}")
        kind = document["kind"]
        name, least, most, default = _EXTRA.get(kind, ("", 0.0, 0.0, 0.0))
        known = {"kind", "symbol", "for_s", "retry_after", *([name] if name else [])}
        if set(document) - known:
            raise ValueError(f"{kind} takes {', '.join(sorted(known))}; found {', '.join(sorted(set(document) - known))}")
        for_s = _number(document, "for_s", 5.0, 0.0, _FOR_MAX_S)
        if for_s == 0.0:
            raise ValueError("for_s must be more than 0")
        symbol = document.get("symbol")
        return cls(
            kind,
            None if symbol is None else str(symbol).translate({ord(mark): None for mark in "/-_"}).upper(),
            for_s,
            _number(document, name, default, least, most) if name else 0.0,
            bool(document.get("retry_after", True)),
        )

    def document(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        return {"kind": self.kind, "symbol": self.symbol, "for_s": self.for_s}


class Faults:
    """Which faults are on. Times are microseconds of the caller's clock."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, str | None], int] = {}
        self._skips: set[tuple[str, str | None]] = set()
        self._offset_us = 0
        self._delay_s = 0.0
        self._life_us = 0
        self.throttled_until_us = 0
        self.throttled_with = 429
        self.has_retry_after = True

    def order(self, fault: Fault, now_us: int) -> None:
        """Put a lasting fault on; what happens at once (``drop``, ``close``, ...) is an act of the hub, not a state."""
        until_us = now_us + int(fault.for_s * 1e6)
        self._until[fault.kind, fault.symbol] = until_us
        match fault.kind:
            case "skip_sequence" | "skip_trades":
                self._skips.add((fault.kind, fault.symbol))
            case "http_429" | "http_418" | "http_503":
                self.throttled_until_us, self.throttled_with = until_us, int(fault.kind[-3:])
                self.has_retry_after = fault.has_retry_after
            case "refuse_429" | "refuse_503":
                self.has_retry_after = fault.has_retry_after
            case "clock":
                self._offset_us = int(fault.value * 1e6)
            case "slow_rest":
                self._delay_s = fault.value
            case "lifetime":
                self._life_us = int(fault.value * 1e6)

    def left_us(self, kind: str, now_us: int, symbol: str | None = None) -> int:
        """Return how long the fault `kind` still holds for `symbol` (or for all), microseconds, 0 where it is off."""
        until = self._until
        latest = max(until.get((kind, symbol), 0), until.get((kind, None), 0)) if until else 0
        return max(0, latest - now_us)

    def is_silent(self, symbol: str, now_us: int) -> bool:
        """Whether nothing may be sent about `symbol` now."""
        return bool(self._until) and self.left_us("silent", now_us, symbol) > 0

    def is_mute(self, now_us: int) -> bool:
        """Whether the exchange says nothing at all, not even pongs."""
        return bool(self._until) and self.left_us("mute", now_us) > 0

    def offset_us(self, now_us: int) -> int:
        """Return by how much the exchange's stamps are off."""
        return self._offset_us if self._until and self.left_us("clock", now_us) else 0

    def delay_s(self, now_us: int) -> float:
        """Return how long a REST answer is held back, seconds."""
        return self._delay_s if self._until and self.left_us("slow_rest", now_us) else 0.0

    def life_us(self, now_us: int) -> int | None:
        """Return the age at which connections are closed, None where they may live."""
        return self._life_us if self._until and self.left_us("lifetime", now_us) else None

    def refusal(self, now_us: int) -> tuple[int, int] | None:
        """Return the status with which new connections are refused and for how much longer (us), None where they are let in."""
        for kind in ("refuse_429", "refuse_503") if self._until else ():
            left_us = self.left_us(kind, now_us)
            if left_us:
                return int(kind[-3:]), left_us
        return None

    def skips(self, symbol: str, kind: str = "skip_sequence") -> bool:
        """Whether this message is to be lost; each order loses one."""
        for key in ((kind, symbol), (kind, None)) if self._skips else ():
            if key in self._skips:
                self._skips.discard(key)
                return True
        return False


def _number(document: dict[str, Any], name: str, default: float, least: float, most: float) -> float:
    value = document.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise ValueError(f"{name} must lie between {least:g} and {most:g}, found {value!r}")
    return float(value)
