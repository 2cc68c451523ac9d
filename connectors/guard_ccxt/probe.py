"""Tries whether an exchange can be reached: names, REST, clock, websocket, what it says of limits. Imports ccxt."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import ccxt

from guard.errors import ConfigurationError
from guard.model.ports import Probe
from guard_ccxt.connections.faults import said
from guard_ccxt.connections.instance import made

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.model.ports import Clock, ConnectorContext
    from guard_ccxt.options import Options

__all__ = ["probe"]

_WAIT_S: Final = 15.0
_OFFSET_MAX_MS: Final = 1000
_NETWORK: Final = "look at network, firewall and proxy of this machine; is the exchange reachable from this country?"
_USED: Final = ("used-weight", "ratelimit-remaining", "rate-limit-remaining", "ratelimit-limit", "limit-status")


async def probe(context: ConnectorContext, options: Options) -> Sequence[Probe]:
    """Try one thing after the other; what failed tells what to do, and nothing is raised."""
    try:
        exchange = made(context.name, options)
    except ConfigurationError as error:
        return [Probe("exchange", is_well=False, found=error.problems[0].message, mend=error.problems[0].hint)]
    found: list[Probe] = []
    try:
        rest = await _rest(exchange, context.clock)
        names = await _names(exchange)
        # Where the name is not found nothing else can work: one trouble is told once.
        found += [names, rest] if names.is_well or rest.is_well else [names]
        if rest.is_well:
            found += [*await _clock(exchange, context.clock), _rates(exchange, options), await _websocket(exchange, context.clock)]
    finally:
        await exchange.close()
    return found


async def _rest(exchange: Any, clock: Clock) -> Probe:
    began_us = clock.monotonic_us()
    try:
        async with asyncio.timeout(2 * _WAIT_S):
            await exchange.load_markets()
    except TimeoutError:
        return Probe("REST", is_well=False, found=f"no list of markets within {2 * _WAIT_S:g} s", mend=_NETWORK)
    except ccxt.BaseError as error:
        return Probe("REST", is_well=False, found=_short(error), mend=_mend(error))
    took_ms = (clock.monotonic_us() - began_us) / 1000
    return Probe("REST", is_well=True, found=f"{len(exchange.markets):,} markets in {took_ms:.0f} ms")


def _mend(error: ccxt.BaseError) -> str:
    if isinstance(error, (ccxt.DDoSProtection, ccxt.RateLimitExceeded)):
        return "the exchange refuses this address for now: wait, and give guard a smaller share of the REST quota"
    return _NETWORK


async def _names(exchange: Any) -> Probe:
    host = urlsplit(exchange.last_request_url or "").hostname
    if host is None:
        return Probe("DNS", is_well=False, found="no request was made", mend=_NETWORK)
    try:
        async with asyncio.timeout(_WAIT_S):
            answers = await asyncio.get_running_loop().getaddrinfo(host, 443, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError) as error:
        mend = "look at the name servers of this machine (/etc/resolv.conf)"
        return Probe("DNS", is_well=False, found=f"{host} is not found: {_short(error)}", mend=mend)
    return Probe("DNS", is_well=True, found=f"{host} has {len({answer[4][0] for answer in answers})} addresses")


async def _clock(exchange: Any, clock: Clock) -> list[Probe]:
    if not exchange.has.get("fetchTime"):
        return []
    before_us = clock.now_us()
    try:
        async with asyncio.timeout(_WAIT_S):
            there_ms = await exchange.fetch_time()
        offset_ms = there_ms - (before_us + clock.now_us()) / 2000
    except (TimeoutError, ccxt.BaseError, TypeError) as error:
        return [Probe("clock", is_well=False, found=f"its time is not told: {_short(error)}", mend=_NETWORK)]
    is_well = abs(offset_ms) <= _OFFSET_MAX_MS
    found = f"this machine is {abs(offset_ms):.0f} ms {'behind' if offset_ms > 0 else 'ahead'}"
    return [Probe("clock", is_well=is_well, found=found, mend="let the system keep time: timedatectl set-ntp true")]


def _rates(exchange: Any, options: Options) -> Probe:
    headers = {str(name).lower(): value for name, value in (exchange.last_response_headers or {}).items()}
    told = [f"{name} {value}" for name, value in sorted(headers.items()) if any(word in name for word in _USED)]
    per_s = 1000 / exchange.rateLimit if exchange.rateLimit else 0.0
    found = f"{per_s:.3g} requests/s by ccxt, of which guard takes {options.rest_share:.0%}"
    return Probe("limits", is_well=True, found=f"{found}; the exchange tells: {', '.join(told[:3])}" if told else found)


async def _websocket(exchange: Any, clock: Clock) -> Probe:
    symbol = next((each["symbol"] for each in exchange.markets.values() if each.get("active") is not False), None)
    if symbol is None or not exchange.has.get("watchTrades"):
        return Probe("websocket", is_well=False, found="there is no stream of trades to try", mend="guard exchanges ls")
    watching = asyncio.ensure_future(exchange.watch_trades(symbol))
    began_us = clock.monotonic_us()
    try:
        while not watching.done() and (clock.monotonic_us() - began_us) < _WAIT_S * 1e6:
            if any(client.connected.done() and client.connected.exception() is None for client in exchange.clients.values()):
                found = f"connected in {(clock.monotonic_us() - began_us) / 1000:.0f} ms"
                return Probe("websocket", is_well=True, found=found)
            await asyncio.wait([watching], timeout=0.02)
        if not watching.done():
            return Probe("websocket", is_well=False, found=f"no connection within {_WAIT_S:g} s", mend=_NETWORK)
        error = None if watching.cancelled() else watching.exception()
        return Probe("websocket", is_well=error is None, found="connected" if error is None else _short(error), mend=_NETWORK)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def _short(error: BaseException) -> str:
    return said(error)[:300]
