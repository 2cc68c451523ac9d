"""Logging: structured, on stderr, through a thread."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from guard.runtime.printer import Printer

__all__ = ["set_up_logging"]


class _PrinterHandler(logging.Handler):
    def __init__(self, printer: Printer) -> None:
        super().__init__()
        self._printer = printer

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        self._printer.put(lambda: print(text, file=sys.stderr, flush=True))  # noqa: T201 - the log's own way out


def set_up_logging(printer: Printer, *, level: str, style: str) -> None:
    """Send all logs to stderr through `printer`.

    Parameters
    ----------
    level
        ``debug``, ``info``, ``warning`` or ``error``.
    style
        ``json``, ``text``, or ``auto``: text on a terminal, json elsewhere. Control characters are escaped in both.
    """
    is_json = style == "json" or (style == "auto" and not sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Never rich's tracebacks: they print local variables, and those hold the addresses of channels.
    renderer = (
        structlog.processors.JSONRenderer()
        if is_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            *(() if is_json else (_escaped,)),
            renderer,
        ],
    )
    handler = _PrinterHandler(printer)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("apprise", "urllib3", "requests", "ccxt", "asyncio", "aiosqlite", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _escaped(logger: object, name: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Write out what could move a terminal's cursor or forge a line: an exchange may have put it there."""
    del logger, name
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _plain(value, kept="\n\t" if key in {"exception", "stack"} else "")
        elif not isinstance(value, int | float | bool | None):
            event[key] = _plain(repr(value))
    return event


def _plain(text: str, kept: str = "") -> str:
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in kept else letter.encode("unicode_escape").decode() for letter in text
    )
