"""Tells guard which markets this bot asks about, so that it can watch them: a datagram now and then, never waited for."""

from __future__ import annotations

import json
import os
import socket
from typing import Final

__all__ = ["SOCKET_NAME", "Reports"]

SOCKET_NAME: Final = "asked"
"""The name of guard's socket, in the folder of the snapshot."""

_AGAIN_NS: Final = 600_000_000_000
_MARKETS_MAX: Final = 4096


class Reports:
    """Sends ``{"market": "kucoin:PEPE/USDT", "bot": "mine"}`` to guard, at most every ten minutes for a market.

    Parameters
    ----------
    snapshot
        The path of the snapshot; guard listens beside it.
    bot
        The bot's name, None where it has none.

    Notes
    -----
    Nothing is sent where guard does not listen, and nothing is raised: a report is worth no order.
    """

    __slots__ = ("_bot", "_due_ns", "_path")

    def __init__(self, snapshot: str, bot: str | None) -> None:
        self._path = os.path.join(os.path.dirname(snapshot), SOCKET_NAME)
        self._bot = bot
        self._due_ns: dict[tuple[str, str], int] = {}

    def asked(self, exchange: str, symbol: str, now_ns: int) -> None:
        """Note that the bot asked about a market."""
        key = (exchange, symbol)
        if now_ns < self._due_ns.get(key, 0) or (key not in self._due_ns and len(self._due_ns) >= _MARKETS_MAX):
            return
        self._due_ns[key] = now_ns + _AGAIN_NS
        try:
            message = json.dumps({"market": f"{exchange}:{symbol}"[:200], "bot": self._bot}).encode()
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
                door.settimeout(0)
                door.sendto(message, self._path)
        except (OSError, ValueError, TypeError, AttributeError):
            # No guard, an older one, a system without such sockets, or one that is busy.
            return
