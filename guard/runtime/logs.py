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
    renderer = structlog.processors.JSONRenderer() if is_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info if is_json else _keep,
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


def _keep(logger: object, name: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    del logger, name
    return event
