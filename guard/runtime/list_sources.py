"""Where lists are read from: a file or an address, with bounds on bytes, time and where it may lead."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
import stat
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from guard import __version__
from guard.runtime.list_formats import ListUnreadable

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp.abc import ResolveResult

    from guard.dsl.list_models import ListSettings

__all__ = ["fetch_list"]

_TOTAL_S: Final = 20.0
_CONNECT_S: Final = 5.0
_CHUNK: Final = 65_536


async def fetch_list(settings: ListSettings, folder: Path) -> bytes:
    """Return the bytes of a list. Raises ListUnreadable with the reason, which holds no secret."""
    if settings.path is not None:
        return await asyncio.to_thread(_read_file, folder / settings.path, settings.max_size)
    assert settings.url is not None
    try:
        async with asyncio.timeout(_TOTAL_S):
            return await _get(URL(settings.url), settings)
    except TimeoutError as error:
        raise ListUnreadable(f"no whole answer within {_TOTAL_S:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise ListUnreadable(f"{type(error).__name__}: {error}") from error


def _read_file(path: Path, size_max: int) -> bytes:
    try:
        # A pipe would hang, a device never end.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(file, "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise ListUnreadable(f"{path} is no file")
            raw = stream.read(size_max + 1)
    except OSError as error:
        raise ListUnreadable(f"{path} cannot be read: {error.strerror}") from error
    return _bounded(raw, size_max)


async def _get(url: URL, settings: ListSettings) -> bytes:
    headers = {"User-Agent": f"guard/{__version__}", "Accept-Encoding": "identity"}
    if settings.token is not None:
        headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
    _refuse_private(url.host or "", settings)
    connector = aiohttp.TCPConnector(resolver=_Resolver(settings), use_dns_cache=False, limit=1)
    timeout = aiohttp.ClientTimeout(total=None, connect=_CONNECT_S)
    async with (
        aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout, auto_decompress=False, trust_env=False
        ) as session,
        session.get(url, headers=headers, allow_redirects=False) as answer,
    ):
        if answer.status != 200:  # noqa: PLR2004 - HTTP's own number
            where = "; redirects are not followed" if 300 <= answer.status < 400 else ""  # noqa: PLR2004 - likewise
            raise ListUnreadable(f"it answers {answer.status}{where}")
        if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise ListUnreadable("it sends a packed answer, though none was asked for")
        raw = bytearray()
        async for chunk in answer.content.iter_chunked(_CHUNK):
            raw += chunk
            _bounded(raw, settings.max_size)
        return bytes(raw)


def _bounded(raw: bytes | bytearray, size_max: int) -> bytes:
    if len(raw) > size_max:
        raise ListUnreadable(f"it has more than {size_max} bytes (max_size)")
    return bytes(raw)


def _refuse_private(host: str, settings: ListSettings) -> None:
    """Raise ListUnreadable where a host is written as an address that is not public."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return
    if not settings.allow_private and not _is_public(address):
        raise ListUnreadable(f"{host} is no public address; set allow_private: true where that is meant")


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    inner = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    if inner is not None:
        return _is_public(inner)
    return address.is_global and not address.is_multicast


class _Resolver(AbstractResolver):
    """Finds addresses through the loop, and hands on public ones only: what was looked at is what is connected to."""

    def __init__(self, settings: ListSettings) -> None:
        self._settings = settings

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """Return the addresses of a host. Raises OSError where one of them is private."""
        found = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        results: list[Any] = []
        for kind, _, protocol, _, address in found:
            number = str(address[0])
            if not self._settings.allow_private and not _is_public(ipaddress.ip_address(number.partition("%")[0])):
                raise OSError(
                    errno.EACCES, f"{host} leads to {number}, which is no public address; set allow_private: true to allow it"
                )
            results.append(
                {"hostname": host, "host": number, "port": port, "family": kind, "proto": protocol, "flags": socket.AI_NUMERICHOST}
            )
        return results

    async def close(self) -> None:
        """Let go of nothing: there is nothing."""
