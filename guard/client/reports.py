"""Tells guard which markets this bot asks about and what became of its orders: a datagram now and then, never waited for."""

from __future__ import annotations

import atexit
import json
import os
import socket
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.model.clearance import Clearance

__all__ = ["COUNTS", "DATAGRAM_BYTES_MAX", "SOCKET_NAME", "Reports", "count_entry"]

SOCKET_NAME: Final = "asked"
"""The name of guard's socket, in the folder of the snapshot."""

COUNTS: Final = ("seen", "exits", "blocked", "cut", "bypassed", "would_block", "ignored")
"""What is counted: entries that were judged, exits, what was refused, made smaller, let through by a bypass, let through in
observe mode, and what a bot did although it was refused."""

DATAGRAM_BYTES_MAX: Final = 8192

_AGAIN_NS: Final = 600_000_000_000
_REPORT_NS: Final = 10_000_000_000
_MARKETS_MAX: Final = 4096
_COUNTED_MAX: Final = 1024
_SENT_MAX: Final = 40
_POSITIONS_MAX: Final = 60
_NAME_MAX: Final = 100


class Counter(Protocol):
    """Counts what became of orders: `guard.client.Guard`."""

    def count(self, exchange: str, symbol: str, what: str) -> None: ...


def count_entry(guard: Counter | None, exchange: str, symbol: object, clearance: Clearance | None) -> None:
    """Count an entry that guard was asked about, by what it answered; nothing where it did not. Raises nothing."""
    if guard is None or clearance is None:
        return
    became = "blocked" if not clearance.permitted else "bypassed" if clearance.bypassed else "would_block"
    with suppress(Exception):
        guard.count(exchange, str(symbol), "seen")
        if clearance.would_block or not clearance.permitted:
            guard.count(exchange, str(symbol), became)


class Reports:
    """Tells guard ``{"market": "kucoin:PEPE/USDT", "bot": "mine"}``, at most every ten minutes for a market, and how the bot fares.

    Parameters
    ----------
    snapshot
        The path of the snapshot; guard listens beside it.
    bot
        The bot's name, None where it has none.
    version
        The version of the client.

    Notes
    -----
    How the bot fares is one datagram at most every ten seconds: ``{"bot", "kind", "pid", "version", "began_us", "loops", "totals",
    "markets", "positions"}``. Counts go on from `began_us` (the boot clock of the machine), so that a lost datagram loses nothing;
    `markets` are those whose counts changed lately, `positions` what the bot holds. ``{"bye": true}`` is sent when the process
    ends by itself.

    Nothing is sent where guard does not listen, and nothing is raised: a report is worth no order.
    """

    __slots__ = (
        "__weakref__", "_began_ns", "_bot", "_changed", "_counts", "_due_ns", "_kind", "_loops", "_path", "_pid", "_positions",
        "_report_ns", "_totals", "_version",
    )  # fmt: skip

    def __init__(self, snapshot: str, bot: str | None, version: str = "") -> None:
        self._path = os.path.join(os.path.dirname(snapshot), SOCKET_NAME)
        self._bot = bot
        self._version = version
        self._due_ns: dict[tuple[str, str], int] = {}
        self._kind: str | None = None
        self._loops = False
        self._pid = 0
        self._began_ns = self._report_ns = 0
        self._totals: dict[str, int] = {}
        self._counts: dict[str, dict[str, int]] = {}
        self._changed: dict[str, None] = {}
        self._positions: dict[str, float] | None = None

    def asked(self, exchange: str, symbol: str, now_ns: int) -> None:
        """Note that the bot asked about a market."""
        key = (exchange, symbol)
        if now_ns < self._due_ns.get(key, 0) or (key not in self._due_ns and len(self._due_ns) >= _MARKETS_MAX):
            return
        self._due_ns[key] = now_ns + _AGAIN_NS
        self._send({"market": f"{exchange}:{symbol}"[:200], "bot": self._bot})

    def count(self, exchange: str, symbol: str, what: str, now_ns: int) -> None:
        """Count what became of an order: one of `COUNTS`. Sent with the next report."""
        self._begin(now_ns)
        self._totals[what] = self._totals.get(what, 0) + 1
        market = f"{exchange}:{symbol}"[:_NAME_MAX]
        counts = self._counts.get(market)
        if counts is None:
            if len(self._counts) >= _COUNTED_MAX:
                return
            counts = self._counts[market] = {}
        counts[what] = counts.get(what, 0) + 1
        self._changed[market] = None
        self.due(now_ns)

    def report(self, now_ns: int, *, kind: str | None = None, positions: Mapping[str, Any] | None = None) -> None:
        """Note what kind of bot it is and what it holds, by ``exchange:SYMBOL``, and report where that is due.

        A bot that gives its positions from its loop is expected to go on: guard tells people when it does not.
        """
        self._begin(now_ns)
        if kind is not None:
            self._kind = kind[:_NAME_MAX]
        if positions is not None:
            self._loops = True
            self._positions = _amounts(positions)
        self.due(now_ns)

    def due(self, now_ns: int) -> None:
        """Send the report, if the last one is ten seconds old."""
        if now_ns >= self._report_ns:
            self._report_ns = now_ns + _REPORT_NS
            self._send(self._document())

    def goodbye(self) -> None:
        """Tell guard that the bot ends by itself, with its last counts. Safe to call twice, and in a process that was forked."""
        if self._pid == os.getpid():
            self._send({**self._document(), "bye": True})
            self._pid = 0

    def _begin(self, now_ns: int) -> None:
        if self._pid != (pid := os.getpid()):
            if not self._pid:
                atexit.register(_part, weakref.ref(self))
            # A fork is a bot of its own, which has sent no order yet.
            self._pid, self._began_ns = pid, now_ns
            self._totals, self._counts, self._changed, self._report_ns = {}, {}, {}, 0

    def _document(self) -> dict[str, Any]:
        sent = list(self._changed)[:_SENT_MAX]
        document: dict[str, Any] = {
            "bot": self._bot,
            "kind": self._kind,
            "pid": self._pid,
            "version": self._version,
            "began_us": self._began_ns // 1000,
            "loops": self._loops,
            "totals": self._totals,
            "markets": {market: self._counts[market] for market in sent},
        }
        for market in sent:
            del self._changed[market]
        if self._positions is not None:
            document["positions"] = dict(list(self._positions.items())[:_POSITIONS_MAX])
            document["positions_left_out"] = max(0, len(self._positions) - _POSITIONS_MAX)
        return document

    def _send(self, document: Mapping[str, Any]) -> None:
        try:
            message = json.dumps(document, separators=(",", ":")).encode()
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
                door.settimeout(0)
                door.sendto(message, self._path)
        except (OSError, ValueError, TypeError, AttributeError):
            # No guard, an older one, a system without such sockets, or one that is busy.
            return


def _amounts(positions: Mapping[str, Any]) -> dict[str, float]:
    """Return what is held, without what is no number."""
    found: dict[str, float] = {}
    for market, amount in positions.items():
        try:
            held = float(amount)
        except (TypeError, ValueError):
            continue
        if held and abs(held) != float("inf") and held == held and len(found) < _COUNTED_MAX:  # noqa: PLR0124 - NaN alone differs from itself
            found[str(market)[:_NAME_MAX]] = held
    return found


def _part(reports: weakref.ref[Reports]) -> None:
    found = reports()
    if found is not None:
        found.goodbye()
