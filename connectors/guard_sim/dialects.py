"""The exchanges whose protocol the embedded one speaks, and how an unmodified ccxt class is pointed at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DIALECTS", "ccxt_options"]

DIALECTS = ("binance", "kucoin", "gate")


def ccxt_options(dialect: str, urls: Mapping[str, Any]) -> dict[str, Any]:
    """Return `id`, `urls` and `options` for the ccxt connector, for a server at `urls` (its ``rest`` and ``ws``)."""
    rest, websocket = urls["rest"], urls["ws"]
    api: dict[str, Any]
    match dialect:
        case "kucoin":
            # Streams are wherever the answer to bullet-public says.
            api = dict.fromkeys(("public", "private", "futuresPublic", "uta"), rest)
        case "gate":
            parts = ("spot", "margin", "futures", "delivery", "options", "wallet")
            api = {"public": dict.fromkeys(parts, f"{rest}/api/v4"), "spot": websocket}
        case _:
            api = {"public": f"{rest}/api/v3", "sapi": f"{rest}/sapi/v1", "ws": {"spot": websocket}}
    return {"id": dialect, "urls": {"api": api}, "options": {"fetchMarkets": {"types": ["spot"]}}}
