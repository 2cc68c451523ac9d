"""The keys of guard.yaml that say where a Freqtrade bot is: to learn what it trades, and to set locks."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from guard.dsl.values import Duration, Model
from guard.dsl.web import web_address

__all__ = ["BotList", "BotLocks", "FreqtradeBot"]

_EVERY_MIN_US: Final = 5_000_000
_LOCKS_EVERY_MIN_US: Final = 2_000_000
_EVERY_MAX_US: Final = 600_000_000


class FreqtradeBot(Model):
    """A Freqtrade bot: its configuration file, its REST interface, or both, of which the interface counts while it answers."""

    config: Annotated[str, Field(min_length=1)] | None = None
    """Its configuration file, relative to guard.yaml; read again when it changes."""
    url: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """Its REST interface, which tells what dynamic pair lists chose."""
    user: str | None = None
    """The username of api_server."""
    password: SecretStr | None = None
    """The password of api_server."""
    token: SecretStr | None = None
    """Sent as a bearer token in place of user and password."""
    every_us: Annotated[Duration, Field(alias="every", ge=_EVERY_MIN_US, le=_EVERY_MAX_US)] = 20_000_000
    """How often the interface is asked and the file looked at, 5s to 10m."""

    @field_validator("url")
    @classmethod
    def _is_web(cls, url: str | None) -> str | None:
        return None if url is None else _web(url)

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        if self.config is None and self.url is None:
            raise ValueError("freqtrade: needs config, url or both")
        _check_credentials(self)
        return self


class BotLocks(Model):
    """A Freqtrade bot that is told of blocks by locks, through its REST interface."""

    exchange: Annotated[str, Field(min_length=1, max_length=64)]
    """The exchange that it trades on, by its name in guard.yaml."""
    url: Annotated[str, Field(min_length=1, max_length=500)]
    """Its REST interface."""
    user: str | None = None
    """The username of api_server."""
    password: SecretStr | None = None
    """The password of api_server."""
    token: SecretStr | None = None
    """Sent as a bearer token in place of user and password."""
    every_us: Annotated[Duration, Field(alias="every", ge=_LOCKS_EVERY_MIN_US, le=_EVERY_MAX_US)] = 10_000_000
    """How often its locks are looked at where no block changes, 2s to 10m."""

    @field_validator("url")
    @classmethod
    def _is_web(cls, url: str) -> str:
        return _web(url)

    @model_validator(mode="after")
    def _has_credentials(self) -> Self:
        _check_credentials(self)
        return self


class BotList(Model):
    """Where the list of a bot's markets comes from."""

    freqtrade: FreqtradeBot | None = None
    """A Freqtrade bot."""
    asked: bool = False
    """Watch also what bots on this machine ask guard about."""

    @model_validator(mode="after")
    def _has_a_bot(self) -> Self:
        if self.freqtrade is None and not self.asked:
            raise ValueError("from_bot: needs freqtrade, or asked: true")
        return self


def _web(url: str) -> str:
    parts = web_address(url, example="http://127.0.0.1:8080", secrets="write user: and password: beside it")
    if parts.query or parts.fragment:
        raise ValueError("url must end before '?' and '#'")
    return url


def _check_credentials(bot: FreqtradeBot | BotLocks) -> None:
    if (bot.user is None) != (bot.password is None):
        raise ValueError("user and password belong together")
    if bot.user is not None and ":" in bot.user:
        raise ValueError("user cannot hold a colon")
    if bot.user is not None and bot.token is not None:
        raise ValueError("either user and password, or token")
