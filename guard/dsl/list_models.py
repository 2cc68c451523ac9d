"""The keys of guard.yaml that import lists of what is not to be traded."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from guard.dsl.values import Duration, Model, Size
from guard.dsl.web import web_address

__all__ = ["ListSettings"]


class ListSettings(Model):
    """A list of targets that are held while it names them: a file, or an address that is fetched."""

    path: Annotated[str, Field(min_length=1)] | None = None
    """A file, relative to guard.yaml."""
    url: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """An http or https address; redirects are not followed."""
    token: SecretStr | None = None
    """Sent to the address as a bearer token."""
    format: Literal["lines", "json", "guard", "freqtrade"] = "lines"
    """lines: one target a line; json: an array; guard: another guard's /v1/blocklist; freqtrade: a pair_blacklist."""
    exchange: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")] | None = None
    """The exchange of symbols that stand alone; without it a symbol is held on all."""
    every_us: Annotated[Duration, Field(alias="every", ge=5_000_000, le=86_400_000_000)] = 300_000_000
    """How often to read it, 5s to 24h."""
    ttl_us: Annotated[Duration, Field(alias="ttl", ge=60_000_000, le=2_592_000_000_000)] = 3_600_000_000
    """How long entries stand after the list was last read well; 1m to 30d, and longer than every."""
    block: Literal["entries", "shrink"] = "entries"
    """What is refused; another guard's list says it itself, and is weakened by shrink."""
    max_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """The part of the usual size that block: shrink leaves."""
    max_rows: Annotated[int, Field(ge=1, le=10_000)] = 1_000
    """A list with more entries is refused as a whole."""
    max_size: Annotated[Size, Field(ge=1, le=64_000_000)] = 1_000_000
    """A list with more bytes is refused as a whole."""
    allow_private: bool = False
    """Whether the address may lead to this machine or a private network."""

    @field_validator("url")
    @classmethod
    def _is_web(cls, url: str | None) -> str | None:
        if url is not None:
            web_address(url, example="https://example.org/blocked.txt", secrets="write token: beside it")
        return url

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.url is None):
            raise ValueError("a list has one of path:, url:")
        if self.token is not None and self.url is None:
            raise ValueError("token: goes to an address; this list is a file")
        if self.ttl_us <= self.every_us:
            raise ValueError("ttl: must be longer than every:, or entries end before they are read again")
        return self
