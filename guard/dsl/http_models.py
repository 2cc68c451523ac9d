"""The keys of guard.yaml that open the HTTP interface."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Self

from pydantic import Field, model_validator

from guard.dsl.values import Model, Words

__all__ = ["HttpSettings", "TlsSettings"]

_PORT_MAX = 65_535
_ANY = frozenset({"0.0.0.0", "::"})  # noqa: S104 - what must not be listened on without more


class TlsSettings(Model):
    """A certificate and its key, PEM files relative to guard.yaml."""

    cert: Annotated[str, Field(min_length=1)]
    """The certificate, with those above it."""
    key: Annotated[str, Field(min_length=1)]
    """Its key; a file that only its owner can read."""


class HttpSettings(Model):
    """The HTTP interface: closed unless listen or unix is given."""

    listen: Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$")] | None = None
    """host:port; an address that other machines reach needs expose and tls."""
    unix: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """Path of a unix socket, relative to guard.yaml; the user that runs guard is admin there, others of its group may read."""
    group: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Group that may use the unix socket; none keeps that of the user that runs guard."""
    expose: bool = False
    """Whether listen may be an address that other machines reach."""
    tls: TlsSettings | None = None
    """Certificate and key."""
    hosts: Words = ()
    """Names by which clients reach guard, beside the address that it listens on."""
    requests_per_second: Annotated[int, Field(ge=1, le=100_000)] = 5_000
    """At most so many requests for each token, with as many at once."""
    connections: Annotated[int, Field(ge=1, le=10_000)] = 256
    """At most so many open connections."""
    streams: Annotated[int, Field(ge=1, le=1_000)] = 32
    """At most so many readers of the stream."""

    @property
    def is_on(self) -> bool:
        """Whether anything listens."""
        return self.listen is not None or self.unix is not None

    @property
    def host(self) -> str:
        """The address of `listen`, without brackets."""
        return (self.listen or "").rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port of `listen`."""
        return int((self.listen or ":0").rpartition(":")[2])

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if self.port > _PORT_MAX:
            raise ValueError(f"listen: a port is at most {_PORT_MAX}")
        if self.listen is not None and not _is_near(self.host):
            if not self.expose:
                raise ValueError("listen: other machines reach this address; write expose: true and tls: if that is meant")
            if self.tls is None:
                raise ValueError("tls: is needed where other machines reach guard: tokens would cross the network in the clear")
            if self.host in _ANY and not self.hosts:
                raise ValueError("hosts: needs the names by which clients reach guard where it listens on every address")
        if self.group is not None and self.unix is None:
            raise ValueError("group: goes with unix")
        return self


def _is_near(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
