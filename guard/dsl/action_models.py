"""The keys of the actions ``webhook`` and ``call``, and of ``webhooks`` in guard.yaml."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, field_validator

from guard.dsl.values import Duration, Model
from guard.dsl.web import web_address

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CallAction", "WebhookAction", "WebhookSettings", "is_name", "named", "one_action", "word_action"]

_SECOND_US = 1_000_000
_TIMEOUT_MIN_US = _SECOND_US // 10
_CALL_MAX_US = 60 * _SECOND_US
_POST_MAX_US = 30 * _SECOND_US
_ARGUMENTS_MAX = 4096
_HEADERS_MAX = 32
_WEBHOOK = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
_ACTION = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}\Z")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{0,4096}\Z")
# What guard says itself, or what decides where a message ends and where it goes.
_TAKEN = frozenset(
    [
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "idempotency-key",
        "transfer-encoding",
    ]
)
_ALLOWED = "an action is alert, webhook: NAME, call: {name: NAME}, quarantine or {quarantine: {for: 30m}}"


def word_action(value: Any) -> Any:  # noqa: ANN401 - what stands in the file may be anything
    """Return the keys that a bare word stands for. Raises ValueError for a word that is no action."""
    words: dict[str, dict[str, Any]] = {"alert": {"alert": True}, "quarantine": {"quarantine": {}}}
    if isinstance(value, str):
        if value not in words:
            raise ValueError(f"{_ALLOWED}; found {value[:40]!r}")
        return words[value]
    return value


def named(key: str) -> Callable[[Any], Any]:
    """Return what makes keys of a bare name: ``my_bot`` stands for ``{to: my_bot}``."""
    return lambda value: value if isinstance(value, dict | Model | None) else {key: value}


def one_action(*found: object) -> None:
    """Raise ValueError unless exactly one of the actions is there."""
    if sum(bool(action) for action in found) != 1:
        raise ValueError(_ALLOWED)


def is_name(text: str) -> bool:
    """Whether a text may name a webhook or an action; what it may not is told by their models."""
    return re.match(_ACTION, text) is not None


def _webhook_name(value: Any) -> Any:  # noqa: ANN401 - what stands in the file may be anything
    if isinstance(value, str) and not re.match(_WEBHOOK, value):
        raise ValueError(
            f"a webhook is named as under webhooks: in guard.yaml (letters, digits, - and _); its address stands only there; "
            f"found {value[:40]!r}"
        )
    return value


def _action_name(value: Any) -> Any:  # noqa: ANN401 - likewise
    if isinstance(value, str) and not is_name(value):
        raise ValueError(
            f"an action is named as its package offers it (letters, digits, '.', - and _), never by a module; found {value[:40]!r}"
        )
    return value


class WebhookAction(Model):
    """Post what was found to an endpoint of guard.yaml, at least once."""

    to: Annotated[str, Field(pattern=_WEBHOOK), BeforeValidator(_webhook_name)]
    """A name under webhooks: in guard.yaml. A pack never holds an address."""


class CallAction(Model):
    """Run an installed action after the quarantine is published, at least once; in mode enforce only."""

    name: Annotated[str, Field(pattern=_ACTION), BeforeValidator(_action_name)]
    """Name of an entry point of the group guard.actions. A pack never names a module."""
    timeout_us: Annotated[Duration, Field(alias="timeout")] = 5_000_000
    """The longest time of one run, 100ms to 60s."""
    args: dict[str, Any] = Field(default_factory=dict)
    """What the action's own Parameters take. It is kept in the ledger: no secrets here."""

    @field_validator("timeout_us")
    @classmethod
    def _in_range(cls, timeout_us: int) -> int:
        return _bounded("timeout", timeout_us, _CALL_MAX_US)

    @field_validator("args")
    @classmethod
    def _is_short(cls, args: dict[str, Any]) -> dict[str, Any]:
        try:
            length = len(_text(args))
        except (TypeError, ValueError):
            raise ValueError("args may hold texts, finite numbers, true, false, lists and keys only") from None
        if length > _ARGUMENTS_MAX:
            raise ValueError(f"args may have {_ARGUMENTS_MAX} characters, found {length}")
        return args

    @property
    def arguments(self) -> str:
        """The args as one JSON text."""
        return _text(self.args)


class WebhookSettings(Model):
    """An endpoint that rules may post to by its name."""

    url: SecretStr
    """Where to post, https://... (or http:// inside your own network)."""
    secret: SecretStr | None = None
    """Signs every body with HMAC-SHA256, in the header Guard-Signature."""
    timeout_us: Annotated[Duration, Field(alias="timeout")] = 5_000_000
    """The longest time of one attempt, 100ms to 30s."""
    headers: Annotated[dict[str, SecretStr], Field(max_length=_HEADERS_MAX)] = Field(default_factory=dict)
    """Further headers, an Authorization for example."""

    @field_validator("url")
    @classmethod
    def _is_web(cls, url: SecretStr) -> SecretStr:
        _check_url(url.get_secret_value())
        return url

    @field_validator("secret")
    @classmethod
    def _is_there(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not secret.get_secret_value():
            raise ValueError("secret is empty; leave the key out to post without a signature")
        return secret

    @field_validator("timeout_us")
    @classmethod
    def _in_range(cls, timeout_us: int) -> int:
        return _bounded("timeout", timeout_us, _POST_MAX_US)

    @field_validator("headers")
    @classmethod
    def _are_ours_to_set(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            if not _HEADER.match(name):
                raise ValueError(f"{name[:40]!r} is not the name of a header")
            if name.lower() in _TAKEN or name.lower().startswith("guard-"):
                raise ValueError(f"the header {name} is guard's own and cannot be set")
            if not _HEADER_VALUE.match(value.get_secret_value()):
                raise ValueError(f"the header {name} may have printable ASCII characters only, 4096 of them")
        return headers

    def opened(self) -> tuple[str, bytes | None, dict[str, str]]:
        """Return address, key and headers as they are sent."""
        key = None if self.secret is None else self.secret.get_secret_value().encode()
        return self.url.get_secret_value(), key, {name: value.get_secret_value() for name, value in self.headers.items()}


def _text(args: dict[str, Any]) -> str:
    return json.dumps(args, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _bounded(name: str, found_us: int, most_us: int) -> int:
    if not _TIMEOUT_MIN_US <= found_us <= most_us:
        raise ValueError(f"{name} must be 100ms to {most_us // _SECOND_US}s, found {found_us / _SECOND_US:g}s")
    return found_us


def _check_url(url: str) -> None:
    """Raise ValueError, without repeating it, for what is no address to post to."""
    secrets = "put it into headers: {Authorization: ...}"
    parts = web_address(url, example="https://bot.example.org/guard", secrets=secrets)
    if parts.fragment:
        raise ValueError("url has a part after '#', which is never sent")
