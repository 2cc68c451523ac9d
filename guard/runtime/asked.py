"""Hears which markets bots ask about: their clients say so, one datagram a market now and then."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import structlog

from guard.client.reports import DATAGRAM_BYTES_MAX, SOCKET_NAME
from guard.model import Market

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from guard.model.ports import Clock

__all__ = ["AskedMarkets"]

_log = structlog.get_logger(__name__)
_HOUR_US: Final = 3_600_000_000
_MARKETS_MAX: Final = 2_000
_AT_ONCE: Final = 64


class AskedMarkets:
    """The markets that bots on this machine asked about within the last hour.

    Parameters
    ----------
    folder
        The folder of the snapshot, which bots can reach; the socket is open to its owner and its group.
    clock
        Tells when.
    report
        Takes what a bot tells of itself: a datagram with a ``pid``.

    Notes
    -----
    At most 2,000 markets are remembered. What is no market is dropped and counted. It says nothing about trading: a market that
    was asked about is one that a bot may enter.
    """

    def __init__(self, folder: Path, clock: Clock, report: Callable[[Mapping[str, Any]], None] | None = None) -> None:
        self.dropped = 0
        self._path = folder / SOCKET_NAME
        self._clock = clock
        self._report = report
        self._last_us: dict[Market, int] = {}
        self._told: list[Callable[[str], None]] = []
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Begin to listen. Where that cannot be, it is logged, and nothing is ever heard."""
        self.close()
        found = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            found.settimeout(0)
            with suppress(FileNotFoundError):
                self._path.unlink()
            found.bind(str(self._path))
            os.chmod(self._path, 0o660)  # noqa: PTH101 - the path of a socket
            asyncio.get_running_loop().add_reader(found.fileno(), self._read)
        except OSError as error:
            found.close()
            _log.warning("what bots ask about is not heard", problem=str(error))
            return
        self._socket = found

    def close(self) -> None:
        """Stop listening. Safe to call twice."""
        found, self._socket = self._socket, None
        if found is not None:
            asyncio.get_running_loop().remove_reader(found.fileno())
            found.close()
            with suppress(OSError):
                self._path.unlink()

    def tell(self, told: Callable[[str], None]) -> None:
        """Call `told` with the name of an exchange whenever a market of it is asked about that was not before."""
        self._told.append(told)

    def of(self, exchange: str) -> frozenset[str]:
        """Return the symbols of an exchange that bots asked about within the last hour."""
        since_us = self._clock.now_us() - _HOUR_US
        self._last_us = {market: at_us for market, at_us in self._last_us.items() if at_us > since_us}
        return frozenset(market.symbol for market in self._last_us if market.exchange == exchange)

    def _read(self) -> None:
        assert self._socket is not None
        for _ in range(_AT_ONCE):
            try:
                raw = self._socket.recv(DATAGRAM_BYTES_MAX + 1)
            except OSError:
                return
            self._take(raw)

    def _take(self, raw: bytes) -> None:
        if len(raw) > DATAGRAM_BYTES_MAX:
            self.dropped += 1
            return
        try:
            found = json.loads(raw)
            if self._report is not None and "pid" in found:
                self._report(found)
                return
            market = Market.parse(found["market"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self.dropped += 1
            return
        is_new = market not in self._last_us
        if is_new and len(self._last_us) >= _MARKETS_MAX:
            self.dropped += 1
            return
        self._last_us[market] = self._clock.now_us()
        if is_new:
            for told in self._told:
                told(market.exchange)
