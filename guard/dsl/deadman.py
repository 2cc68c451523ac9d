"""The file of `guard deadman`: which guards it watches, and how it reaches people without them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, SecretStr, field_validator, model_validator

from guard.dsl.document import Table
from guard.dsl.environment import Secrets
from guard.dsl.includes import shown_path
from guard.dsl.problems import Place, Report, Source
from guard.dsl.reading import read_file
from guard.dsl.settings import Name  # noqa: TC001 - pydantic reads the annotation
from guard.dsl.validation import validate
from guard.dsl.values import Duration, Model
from guard.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["DeadmanChannel", "DeadmanConfig", "WatchedGuard", "load_deadman"]


class WatchedGuard(Model):
    """A guard that is watched: by its state folder on this machine, or by an address that answers 200 while it is well."""

    state: Annotated[str, Field(min_length=1)] | None = None
    """The state folder of the guard, or its snapshot folder, relative to this file."""
    url: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """An address of the guard's HTTP interface, its /readyz."""
    token: SecretStr | None = None
    """Sent to the address as a bearer token."""

    @field_validator("url")
    @classmethod
    def _is_web(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            is_whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            is_whole = False
        if not is_whole or not url.isprintable() or " " in url or parts.username is not None:
            raise ValueError("url must be an address such as http://10.0.0.2:8787/readyz, without a user in it")
        return url

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.state is None) == (self.url is None):
            raise ValueError("a guard is watched by one of state:, url:")
        return self


class DeadmanChannel(Model):
    """One way to reach people, of the watcher's own."""

    url: SecretStr
    """An Apprise address: tgram://..., mailto://..., json://..."""


class DeadmanConfig(Model):
    """The file of `guard deadman`."""

    version: Literal[1] = 1
    """The version of this file's keys."""
    watch: Annotated[dict[Name, WatchedGuard], Field(min_length=1, max_length=50)]
    """The guards, under names of your own."""
    after_us: Annotated[Duration, Field(alias="after", ge=35_000_000, le=86_400_000_000)] = 60_000_000
    """How long without a proof of work before people are told, 35s or more: guard proves itself every 15s."""
    repeat_us: Annotated[Duration, Field(alias="repeat", ge=60_000_000)] = 3_600_000_000
    """How long until the same silence is told again."""
    every_us: Annotated[Duration, Field(alias="every", ge=1_000_000, le=60_000_000)] = 5_000_000
    """How often to look."""
    back: bool = True
    """Whether people are told when a guard is back."""
    channels: Annotated[dict[Name, DeadmanChannel], Field(min_length=1, max_length=20)]
    """Ways to reach people; others than the guard's, where one trouble must not silence both."""
    memory: Annotated[str, Field(min_length=1)] = ".deadman.json"
    """What was seen and told last, for a restart, and the watcher's own sign of life; relative to this file."""

    _path: Path = PrivateAttr(default=Path("deadman.yaml"))

    @property
    def folder(self) -> Path:
        """The folder that relative paths start from."""
        return self._path.parent

    @property
    def memory_path(self) -> Path:
        """The file of what was seen and told last."""
        return self.folder / self.memory


def load_deadman(path: Path, env: Mapping[str, str]) -> DeadmanConfig:
    """Read the file of a watcher, with its secrets. Raises ConfigurationError with every problem."""
    report = Report()
    root = read_file(path, report, shown=shown_path(path))
    config: DeadmanConfig | None = None
    if isinstance(root, Table):
        config = validate(DeadmanConfig, Secrets(env, path.parent, report).replace(root), report, is_hidden=_is_secret)
    elif not report.errors:
        report.add("E011", Place(Source.of(shown_path(path), "")), "the file starts with keys", "version: 1")
    if config is None or report.errors:
        raise ConfigurationError(*report.errors)
    config._path = path  # noqa: SLF001 - the loader is the only writer of this private attribute
    return config


def _is_secret(path: Sequence[str | int]) -> bool:
    return path[:1] == ("channels",) or path[-1:] == ("token",)
