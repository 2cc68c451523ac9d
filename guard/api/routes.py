"""Every route of the HTTP interface: one row each, from which dispatch, documentation and the tests of scopes are made."""

from __future__ import annotations

from typing import Final, NamedTuple

from guard.api.tokens import Scope

__all__ = ["ROUTES", "Route", "find"]


class Route(NamedTuple):
    """One route.

    `scope` is what a caller needs, None for everybody. `handler` names the method of `guard.api.http.Handlers`, or, with `op`, is
    the operation of the operator's socket that is carried out. `path` may have one ``{name}`` as a whole part.
    """

    method: str
    path: str
    scope: Scope | None
    handler: str
    doc: str
    op: str | None = None

    @property
    def writes(self) -> bool:
        """Whether it changes anything."""
        return self.method not in {"GET", "HEAD"}


ROUTES: Final = (
    Route("GET", "/v1/check", Scope.READ, "check", "whether an order may go out"),
    Route("GET", "/v1/blocklist", Scope.READ, "blocklist", "all that bots may know, with ETag, or what changed `since`"),
    Route("GET", "/v1/stream", Scope.READ, "stream", "the same as a stream of events that can be resumed"),
    Route("GET", "/v1/freqtrade/{exchange}/pairlist", Scope.READ, "pairlist", "the list that Freqtrade's RemotePairList reads"),
    Route("GET", "/v1/status", Scope.READ, "status", "the status document; without channels for scope read"),
    Route("GET", "/v1/quarantines", Scope.READ, "operation", "what is held", "quarantine.ls"),
    Route("POST", "/v1/quarantines", Scope.OPERATE, "operation", "hold a target", "quarantine.add"),
    Route(
        "POST",
        "/v1/quarantines/extend",
        Scope.OPERATE,
        "operation",
        "hold what is held for longer, by id or target",
        "quarantine.extend",
    ),
    Route("POST", "/v1/quarantines/release", Scope.ADMIN, "operation", "release by id or target", "quarantine.release"),
    Route("GET", "/v1/allow", Scope.READ, "operation", "what is never held back", "allow.ls"),
    Route("POST", "/v1/allow", Scope.ADMIN, "operation", "never hold a target back, for a time", "allow.add"),
    Route("POST", "/v1/allow/remove", Scope.ADMIN, "operation", "take that back", "allow.rm"),
    Route("POST", "/v1/reload", Scope.ADMIN, "operation", "read the rules anew", "reload"),
    Route("GET", "/metrics", Scope.READ, "metrics", "counters for Prometheus"),
    Route("GET", "/healthz", None, "healthz", "200 while the process answers"),
    Route("GET", "/readyz", None, "readyz", "200 while guard protects: heartbeat, proof, ledger, feeds and rules"),
)
"""All of them."""


def _table() -> dict[str, dict[str, Route]]:
    table: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        table.setdefault(route.path, {})[route.method] = route
    return table


_EXACT: Final = {path: methods for path, methods in _table().items() if "{" not in path}
_PATTERNS: Final = tuple((path.split("/"), methods) for path, methods in _table().items() if "{" in path)


def find(path: str) -> tuple[dict[str, Route], str]:
    """Return the routes of a path by method, and what stands for its ``{name}``; none where there is no such path.

    Examples
    --------
    >>> sorted(find("/v1/quarantines")[0]), find("/v1/freqtrade/kucoin/pairlist")[1], find("/v2")[0]
    (['GET', 'POST'], 'kucoin', {})
    """
    exact = _EXACT.get(path)
    if exact is not None:
        return exact, ""
    parts = path.split("/")
    for pattern, methods in _PATTERNS:
        if len(pattern) == len(parts) and all(
            own == given or own.startswith("{") for own, given in zip(pattern, parts, strict=True)
        ):
            return methods, next(given for own, given in zip(pattern, parts, strict=True) if own.startswith("{"))
    return {}, ""
