"""Who may ask what: hosts, origins, tokens and rates, decided from a request's head alone."""

from __future__ import annotations

import os
import pwd
import socket
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.api.door import plain
from guard.api.limits import Failures, Rates
from guard.api.tokens import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiohttp import web

    from guard.api.tokens import TokenWatch

__all__ = ["Caller", "Gate", "Refused", "local_hosts"]

_FAILURES_PER_MINUTE: Final = 10
_CREDENTIALS: Final = struct.Struct("3i")
_TOKEN_MAX: Final = 256
_OWN_SITES: Final = frozenset({"same-origin", "none"})


class Refused(Exception):
    """A request that goes no further; carries the answer."""

    def __init__(self, response: web.Response) -> None:
        super().__init__(response.status)
        self.response = response


class Caller(NamedTuple):
    """Who asks: `actor` is written into the audit trail; `secret` is the token's text, empty on a unix socket without one."""

    actor: str
    scope: Scope
    secret: str = ""


def local_hosts(host: str, port: int) -> frozenset[str]:
    """Return what a Host header may say where guard listens at `host`.

    Examples
    --------
    >>> sorted(local_hosts("127.0.0.1", 8787))
    ['127.0.0.1:8787', '[::1]:8787', 'localhost:8787']
    """
    name = f"[{host}]" if ":" in host else host
    names = {name} if name not in {"127.0.0.1", "localhost", "[::1]"} else {"127.0.0.1", "localhost", "[::1]"}
    return frozenset(f"{each.lower()}:{port}" for each in names)


class Gate:
    """Lets a request pass, or refuses it with the reason.

    Parameters
    ----------
    tokens
        The tokens as they are now.
    hosts
        What the Host header may say, with the port; a page that rebinds its own name to this machine says something else.
    requests_per_s
        For each token, and for each address without one.
    monotonic_us
        The clock.

    Notes
    -----
    A caller on the unix socket needs no token: the system tells who it is. The user that runs guard, and root, are admin there;
    everybody else that the socket's mode lets in may read. With a token it is what the token says.
    """

    def __init__(self, tokens: TokenWatch, hosts: Iterable[str], *, requests_per_s: int, monotonic_us: Callable[[], int]) -> None:
        self._tokens = tokens
        self.hosts = frozenset(hosts)
        self._rates = Rates(requests_per_s, monotonic_us=monotonic_us)
        self.failures = Failures(_FAILURES_PER_MINUTE, monotonic_us=monotonic_us)
        self.refused_origins = 0
        self.rate_limited = 0

    def check_site(self, request: web.BaseRequest) -> None:
        """Refuse what a web page in a browser may have sent. Raises Refused."""
        headers = request.headers
        hosts = headers.getall("Host", ())
        if len(hosts) != 1 or (hosts[0].lower() not in self.hosts and not is_unix(request)):
            self.refused_origins += 1
            raise Refused(plain(421, "no such host here; ask by the address that guard listens on, or list the name in http.hosts"))
        origins = headers.getall("Origin", ())
        is_foreign = any(origin.lower().partition("://")[2] not in self.hosts for origin in origins)
        sites = headers.getall("Sec-Fetch-Site", ())
        if is_foreign or any(site.lower() not in _OWN_SITES for site in sites):
            self.refused_origins += 1
            raise Refused(plain(403, "requests from other sites are refused"))

    def caller(self, request: web.BaseRequest, needed: Scope) -> Caller:
        """Return who asks, if that one may. Raises Refused."""
        found = self._identified(request)
        if found.scope < needed:
            raise Refused(plain(403, f"this needs a token with scope {needed}, {found.actor} has {found.scope}"))
        self.count(found.actor)
        return found

    def count(self, identity: str) -> None:
        """Count a request of `identity`. Raises Refused where there are too many."""
        if not self._rates.permits(identity):
            self.rate_limited += 1
            raise Refused(plain(429, "too many requests; slow down", **{"Retry-After": "1"}))

    def still_valid(self, caller: Caller, needed: Scope) -> bool:
        """Whether a caller that was let in may go on: its token was not removed or replaced meanwhile."""
        if not caller.secret:
            return True
        token = self._tokens.find(caller.secret)
        return token is not None and token.scope >= needed

    def _identified(self, request: web.BaseRequest) -> Caller:
        given = request.headers.getall("Authorization", ())
        if not given and is_unix(request):
            return _peer(request)
        kind, _, text = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        token = self._tokens.find(text.strip()) if kind.lower() == "bearer" and len(text) <= _TOKEN_MAX else None
        if token is not None:
            return Caller(f"token:{token.name}", token.scope, text.strip())
        if not self.failures.count(request.remote or "unix"):
            raise Refused(plain(429, "too many wrong tokens from this address", **{"Retry-After": "60"}))
        problem = "; none counts now, see `guard status`" if self._tokens.problem else ""
        text = f"a token is needed: Authorization: Bearer TOKEN, made by `guard token add`{problem}"
        raise Refused(plain(401, text, **{"WWW-Authenticate": "Bearer"}))


def is_unix(request: web.BaseRequest) -> bool:
    """Whether a request came through a unix socket."""
    peer = None if request.transport is None else request.transport.get_extra_info("socket")
    return peer is not None and peer.family == socket.AF_UNIX


def _peer(request: web.BaseRequest) -> Caller:
    assert request.transport is not None
    peer = request.transport.get_extra_info("socket")
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return Caller("user", Scope.READ)
    _, user, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size))
    return Caller(_name(user), Scope.ADMIN if user in {0, os.geteuid()} else Scope.READ)


@lru_cache(maxsize=64)
def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
