"""What an exchange says of a market besides its prices: halted, to be delisted, treated specially, not open yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard_ccxt.markets.families import family_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["RISKS", "Treatment", "treatment"]

RISKS: Final[Mapping[str, float]] = {
    "delisting": 1.0,
    "st": 0.7,
    "monitoring": 0.7,
    "halted": 0.5,
    "premarket": 0.4,
    "seed": 0.3,
    "innovation": 0.3,
}
"""How much each tag makes of `listing_risk`; the greatest counts."""

# Perpetual contracts of Binance are delivered on the 25th of December 2100, until they are to be delisted.
_NEVER_MS: Final = 4_133_404_800_000
_FIRST_MS: Final = 1_230_768_000_000
_SETTLED: Final = frozenset(
    {"SETTLING", "PRE_SETTLE", "PRE_DELIVERING", "DELIVERING", "DELIVERED", "CLOSE", "END_OF_DAY", "CLOSED"}
)
_WORDS: Final = {
    "st": "st",
    "special treatment": "st",
    "monitoring": "monitoring",
    "seed": "seed",
    "innovation": "innovation",
    "adventure": "innovation",
    "assessment": "st",
    "delisting": "delisting",
}


class Treatment(NamedTuple):
    """Tags out of `RISKS`, when trading ends where that is announced, when it began where only `info` says so.

    `is_told` is False where nobody knows what this exchange would say: then no tag means nothing.
    """

    tags: frozenset[str]
    ends_us: int | None
    begins_us: int | None
    is_told: bool

    @property
    def risk(self) -> float | None:
        """How likely the exchange delists it or treats it specially, in [0, 1]; None where nobody says."""
        if not self.tags and not self.is_told:
            return None
        return max((RISKS[tag] for tag in self.tags), default=0.0)


def treatment(exchange_id: str, market: Mapping[str, Any]) -> Treatment:
    """Return what `market`, as ccxt unified it, carries; whatever stands there is taken, and what is not understood is passed over.

    Examples
    --------
    >>> found = treatment("gate", {"info": {"trade_status": "tradable", "st_tag": True, "delisting_time": 1700000000}})
    >>> sorted(found.tags), found.ends_us, found.risk
    (['delisting', 'st'], 1700000000000000, 1.0)
    """
    info = market.get("info")
    info = info if isinstance(info, dict) else {}
    reader = _READERS.get(family_of(exchange_id))
    tags: set[str] = set()
    ends_ms = begins_ms = None
    for name, value in (*(reader(info, market) if reader else ()), *_anywhere(info, market)):
        if name == "ends":
            ends_ms = _moment_ms(value)
            tags |= {"delisting"} if ends_ms is not None else set()
        elif name == "begins":
            begins_ms = _moment_ms(value)
        elif value:
            tags.add(name)
    if "premarket" in tags:
        # It was never open.
        tags.discard("halted")
    return Treatment(frozenset(tags), _us(ends_ms), _us(begins_ms), reader is not None and bool(info))


def _anywhere(info: Mapping[str, Any], market: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Read what several exchanges call alike."""
    yield "halted", market.get("active") is False
    yield "st", any(_is_set(info.get(key)) for key in ("st", "st_tag", "stTag"))
    words = info.get("tags")
    words = words.split(",") if isinstance(words, str) else words
    for word in words if isinstance(words, list) else ():
        tag = _WORDS.get(str(word).strip().lower())
        if tag:
            yield tag, True


def _binance(info: Mapping[str, Any], market: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    status = str(info.get("status") or info.get("contractStatus") or "TRADING")
    yield "premarket", status in {"PENDING_TRADING", "PRE_TRADING", "AUCTION_MATCH"}
    yield "halted", status in {"HALT", "BREAK"}
    yield "delisting", bool(market.get("contract")) and status in _SETTLED
    due = _number(info.get("deliveryDate"))
    if str(info.get("contractType", "")).endswith("PERPETUAL") and due is not None and due < _NEVER_MS:
        yield "ends", due


def _kucoin(info: Mapping[str, Any], market: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    status = str(info.get("status") or "")
    yield "premarket", _is_set(info.get("callauctionIsEnabled")) or status in {"Init", "PreOpen"}
    yield "halted", info.get("enableTrading") is False or status == "Paused"
    yield "delisting", status in {"CancelOnly", "BeingSettled", "Settled", "Closed"}
    yield "begins", info.get("tradingStartTime")
    if market.get("swap"):
        yield "ends", info.get("expireDate") or info.get("delistTime")


def _gate(info: Mapping[str, Any], _market: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    status = str(info.get("trade_status") or info.get("status") or "")
    yield "halted", status == "untradable"
    # Only one side may be traded: it begins, or it ends.
    yield "delisting", status in {"sellable", "delisting", "delisted"} or _is_set(info.get("in_delisting"))
    yield "premarket", status in {"buyable", "prelaunch"} or info.get("type") == "premarket" or _is_set(info.get("is_pre_market"))
    yield "ends", info.get("delisting_time")


def _okx(info: Mapping[str, Any], market: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    state = str(info.get("state") or "live")
    yield "halted", state in {"suspend", "test"}
    yield "premarket", state == "preopen" or info.get("ruleType") == "pre_market"
    if not market.get("future") and not market.get("option"):
        yield "ends", info.get("expTime")


def _bybit(info: Mapping[str, Any], market: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    status = str(info.get("status") or "Trading")
    yield "premarket", status == "PreLaunch" or _is_set(info.get("isPreListing"))
    yield "delisting", status in {"Settling", "Delivering", "Closed"}
    yield "innovation", _is_set(info.get("innovation")) or info.get("symbolType") in {"innovation", "adventure"}
    if not market.get("future") and not market.get("option"):
        yield "ends", info.get("deliveryTime")


def _bitget(info: Mapping[str, Any], market: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "halted", str(info.get("status") or info.get("symbolStatus")) in {"halt", "maintain", "offline"}
    if not market.get("future"):
        yield "ends", info.get("offTime")


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Iterator[tuple[str, Any]]]]] = {
    "binance": _binance,
    "kucoin": _kucoin,
    "gate": _gate,
    "okx": _okx,
    "bybit": _bybit,
    "bitget": _bitget,
}


def _is_set(value: object) -> bool:
    return value is True or (isinstance(value, (int, str)) and str(value).strip().lower() in {"1", "true", "yes"})


def _number(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) and value != "" else None
    except ValueError:
        return None


def _moment_ms(value: object) -> int | None:
    """Return a moment given in seconds or milliseconds, None where it is no moment."""
    number = _number(value)
    if number is None or not 0 < number < _NEVER_MS:
        return None
    ms = int(number * 1000) if number < _FIRST_MS // 100 else int(number)
    return ms if ms >= _FIRST_MS else None


def _us(ms: int | None) -> int | None:
    return None if ms is None else ms * 1000
