"""The only module that knows Apprise: carries one message to one channel."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from guard.alerts.lane import Lane
from guard.alerts.secrecy import Redactor, secrets_of
from guard.errors import ConfigurationError, Problem
from guard.model import Level
from guard.model.ports import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.model import Delivery

__all__ = ["NotificationHandler"]

_REFUSED_KEYS = {
    "redirect": "guard never follows redirects",
    "verify": "certificates are always verified",
    "cto": "guard sets its own deadlines",
    "rto": "guard sets its own deadlines",
    "retry": "guard retries by itself",
    "wait": "guard retries by itself",
    "overflow": "guard splits long messages",
    "emojis": "messages are sent as they are",
    "tz": "messages carry UTC",
}
_FORMATS = frozenset({"text", "html"})
_CONNECT_S = 4.0
_READ_S = 8.0
_PAUSE_S = 30.0
_ERROR_MAX = 300
_PINNED_LOGGERS = ("apprise", "urllib3", "requests", "charset_normalizer")
_RATE_LIMITED = re.compile(r"error=429\b|\b429\b|too many requests", re.IGNORECASE)
_RETRY_AFTER = re.compile(r"retry[-_ ]?after[\"'\\]*\s*[:=]?\s*(\d+(?:\.\d+)?)", re.IGNORECASE)


class NotificationHandler:
    """Sends through Apprise, one service object and one thread for each channel.

    Parameters
    ----------
    urls
        Channel name to Apprise URL (``tgram://…``, ``mailto://…``, ``json://…``), one service a channel.
    deadline_s
        Longest time of one attempt, seconds > 0.

    Raises
    ------
    ConfigurationError
        By the constructor: a URL sets what guard decides (``redirect``, ``verify``, ``retry``, ...) or names no service. By `open`:
        Apprise knows no such service, or the URL is incomplete. No message contains a URL.

    Notes
    -----
    Bodies are plain text, redirects are off, long messages are split. Loading Apprise takes most of a second and is done in a
    thread. Loggers of Apprise and its HTTP library are pinned to INFO and pass a filter that removes the URLs' secrets: at DEBUG
    they print bot tokens. A 429 without a readable number of seconds counts as a request for 30 s: Apprise hides the headers.

    Examples
    --------
    >>> NotificationHandler({"hook": "json://localhost/?verify=no"})
    Traceback (most recent call last):
    guard.errors.ConfigurationError: guard.yaml:1:1: error[E710 channel-url]: alerts.channels.hook.url: ...
    """

    def __init__(self, urls: Mapping[str, str], *, deadline_s: float = 15.0) -> None:
        self._urls = dict(urls)
        self._deadline_s = deadline_s
        self._redactor = Redactor(secret for url in self._urls.values() for secret in secrets_of(url))
        self._services: dict[str, Any] = {}
        self._lanes: dict[str, Lane] = {}
        self._opening = asyncio.Lock()
        problems = [_problem(name, reason) for name, url in self._urls.items() for reason in _refusals(url)]
        if problems:
            raise ConfigurationError(*problems)

    async def open(self) -> None:
        """Load Apprise and build every channel; safe to call twice. Raises ConfigurationError with all that is wrong."""
        async with self._opening:
            if not self._services and self._urls:
                self._services = await asyncio.to_thread(self._build)
                self._lanes = {
                    name: Lane(name, lambda delivery, name=name: self._attempt(name, delivery), deadline_s=self._deadline_s)  # type: ignore[misc]
                    for name in self._services
                }

    async def close(self) -> None:
        """Take the filters off the loggers. A hanging attempt keeps its daemon thread."""
        for name in _PINNED_LOGGERS:
            logging.getLogger(name).removeFilter(self._redactor)

    async def send(self, delivery: Delivery) -> Outcome:
        """Try once within the deadline; a failed delivery is an outcome, never an exception."""
        try:
            await self.open()
        except ConfigurationError as error:
            return Outcome(is_delivered=False, error=self._redactor.clean(str(error))[:_ERROR_MAX])
        lane = self._lanes.get(delivery.channel)
        if lane is None:
            return Outcome(
                is_delivered=False, error=f"no channel {delivery.channel!r}; there are: {', '.join(self._lanes) or 'none'}"
            )
        return await lane.send(delivery)

    def _build(self) -> dict[str, Any]:
        for name in _PINNED_LOGGERS:
            logger = logging.getLogger(name)
            logger.setLevel(max(logging.INFO, logger.level))
            logger.addFilter(self._redactor)
        import apprise  # noqa: PLC0415 - 0.8 s with its plug-ins, and only where alerts are sent

        asset = apprise.AppriseAsset(
            app_id="guard", app_desc="guard", http_redirects=False, service_timeout=0, allow_templates=False, secure_logging=True
        )
        services: dict[str, Any] = {}
        problems: list[Problem] = []
        for name, url in self._urls.items():
            try:
                service = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=False)
            except Exception as error:  # noqa: BLE001 - a plug-in's constructor raises what it likes
                problems.append(_problem(name, f"refused by its service: {self._redactor.clean(str(error))}"))
                continue
            if service is None:
                problems.append(_problem(name, f"{_scheme(url)}:// is not a service that Apprise knows, or the URL is incomplete"))
                continue
            services[name] = _tamed(name, service, apprise)
        if problems:
            raise ConfigurationError(*problems)
        return services

    def _attempt(self, name: str, delivery: Delivery) -> Outcome:
        """Send in the calling thread; every foreign exception becomes an outcome."""
        try:
            return self._notify(name, delivery)
        except Exception as error:  # noqa: BLE001 - a plug-in raises what it likes; the outbox counts it
            return Outcome(is_delivered=False, error=self._redactor.clean(f"{type(error).__name__}: {error}")[:_ERROR_MAX])

    def _notify(self, name: str, delivery: Delivery) -> Outcome:
        import apprise  # noqa: PLC0415 - it costs half a second, and only a delivery needs it

        notifier = apprise.Apprise(asset=self._services[name].asset)
        notifier.add(self._services[name])
        with notifier.notify(
            body=delivery.body or delivery.title,
            title=f"{delivery.title} [{delivery.id}]",
            notify_type=_notify_type(apprise.NotifyType, delivery),
            body_format=apprise.NotifyFormat.TEXT,
            log_level=logging.DEBUG,
        ) as answer:
            if answer:
                return Outcome(is_delivered=True)
            entries = [(entry.level, entry.message) for entry in answer.logs()]
        words = " ".join(message for level, message in entries if level not in {"DEBUG", "TRACE", "INFO"})
        return Outcome(
            is_delivered=False,
            error=self._redactor.clean(words or "the service refused it without a word")[:_ERROR_MAX],
            retry_after_s=_retry_after_s(" ".join(message for _, message in entries)),
        )


def _refusals(url: str) -> list[str]:
    """Return what is wrong with a URL as far as it shows without Apprise."""
    if not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", url):
        return ["an Apprise URL is written service://..., for example tgram://TOKEN/CHAT; found no service"]
    reasons = []
    for key, value in parse_qsl(urlsplit(url).query, keep_blank_values=True):
        if key.lower() in _REFUSED_KEYS:
            reasons.append(f"the option {key!r} is not allowed: {_REFUSED_KEYS[key.lower()]}")
        elif key.lower() == "format" and value.lower() not in _FORMATS:
            reasons.append("the option 'format' allows text and html: a market's name could be read as markup")
    return reasons


def _tamed(name: str, service: Any, apprise: Any) -> Any:  # noqa: ANN401 - foreign, untyped objects
    """Set guard's limits on a service, and keep its debug lines in memory: they hold tokens, and the seconds of a 429."""
    service.socket_connect_timeout = _CONNECT_S
    service.socket_read_timeout = _READ_S
    service.overflow_mode = apprise.OverflowMode.SPLIT
    # Outside the tree of loggers on purpose: no handler of the process may ever see these lines.
    logger = logging.Logger(f"guard.alerts.{name}", logging.DEBUG)  # noqa: LOG001 - see above
    logger.addHandler(logging.NullHandler())
    service.logger = logger
    return service


def _notify_type(kinds: Any, delivery: Delivery) -> Any:  # noqa: ANN401 - foreign, untyped objects
    if delivery.kind in {"release", "test"}:
        return kinds.SUCCESS if delivery.kind == "release" else kinds.INFO
    return {Level.NORMAL: kinds.INFO, Level.WARNING: kinds.WARNING}.get(delivery.level, kinds.FAILURE)


def _retry_after_s(words: str) -> float | None:
    """Return the seconds the other side asked for, None where it did not."""
    if not _RATE_LIMITED.search(words):
        return None
    found = _RETRY_AFTER.search(words)
    return float(found.group(1)) if found else _PAUSE_S


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower()


def _problem(name: str, message: str) -> Problem:
    return Problem("guard.yaml", 1, 1, "E710", "channel-url", "error", f"alerts.channels.{name}.url: {message}")
