"""What goes into the log, and what must not."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import structlog

from guard.runtime.logs import set_up_logging
from guard.runtime.printer import Printer

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def logging_to(style: str) -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, names = root.handlers[:], root.level, ("apprise", "urllib3", "requests", "ccxt", "asyncio", "aiosqlite")
    levels = {name: logging.getLogger(name).level for name in (*names, "aiohttp.access")}
    printer = Printer()
    try:
        set_up_logging(printer, level="info", style=style)
        yield
        assert printer.close()
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        for name, before in levels.items():
            logging.getLogger(name).setLevel(before)
        structlog.reset_defaults()


def say_everything() -> None:
    log = structlog.get_logger("guard.test")
    log.info("event\x1b[2J", market="X\x1b]0;evil\x07\nforged", many={"a": "\x1b"})
    logging.getLogger("elsewhere").error("foreign %s", "\x1b[31m\r\nforged")
    try:
        secret = "tgram://" + "TOKEN"
        int(f"boom\x1b[1m {len(secret)}")
    except ValueError:
        log.exception("failed")


@pytest.mark.parametrize("style", ["text", "json", "auto"])
def test_no_control_character_and_no_local_variable_gets_into_the_log(style: str, capfd: pytest.CaptureFixture[str]) -> None:
    with logging_to(style):
        say_everything()
    written = capfd.readouterr().err
    assert "boom" in written
    assert "Traceback" in written
    assert "tgram://TOKEN" not in written
    assert all(letter.isprintable() or letter == "\n" for letter in written)
    assert not any(line.startswith("forged") for line in written.splitlines())


def test_json_lines_are_json(capfd: pytest.CaptureFixture[str]) -> None:
    with logging_to("json"):
        say_everything()
    records = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [record["level"] for record in records] == ["info", "error", "error"]
    assert records[0]["many"] == {"a": "\x1b"}
