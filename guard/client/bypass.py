"""The bypass: a person's order to permit everything for a while, kept in one file that clients honour without a guard.

The file is owner-only, of fixed size and overwritten in place, so that it can be switched on and off on a full disk once it exists
(`guard.runtime.state` makes it at each start). It is blank while there is no bypass.
"""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from guard.errors import OperationRefused, StateError

if TYPE_CHECKING:
    from guard.client.clock import Clocks
    from guard.client.snapshot import Sight

__all__ = ["FOR_MAX_US", "Bypass", "begin_bypass", "end_bypass", "prepare_bypass", "published_bypass", "read_bypass"]

FOR_MAX_US = 24 * 3600 * 1_000_000
_FILE_BYTES = 4096
_TEXT_MAX = 400


class Bypass(NamedTuple):
    """A bypass as it was ordered: absolute ends on both clocks, in microseconds and, for the boot clock, nanoseconds."""

    until_us: int
    until_boot_ns: int
    boot_id: str
    began_us: int
    reason: str
    actor: str

    def end_ns(self, clocks: Clocks) -> int:
        """Return its end on this process's boot clock. After a restart of the machine the wall clock decides."""
        now_ns = clocks.boot_ns()
        longest_ns = now_ns + FOR_MAX_US * 1000
        if self.boot_id == clocks.boot_id and self.until_boot_ns:
            return min(self.until_boot_ns, longest_ns)
        return min(now_ns + (self.until_us - clocks.wall_us()) * 1000, longest_ns)


def begin_bypass(path: str, clocks: Clocks, *, for_us: int, reason: str, actor: str) -> Bypass:
    """Write a bypass of `for_us` (> 0, at most 24 h) and return it.

    Raises OperationRefused for a time or a text that is not allowed, StateError where the file cannot be written.
    """
    if not 0 < for_us <= FOR_MAX_US:
        raise OperationRefused(f"a bypass lasts more than 0 s and at most 24h, found {for_us / 3.6e9:g} h")
    if not reason.strip():
        raise OperationRefused("a bypass needs a reason: it is shown to everyone while it lasts")
    wall_us = clocks.wall_us()
    bypass = Bypass(
        until_us=wall_us + for_us,
        until_boot_ns=clocks.boot_ns() + for_us * 1000,
        boot_id=clocks.boot_id,
        began_us=wall_us,
        reason=_printable(reason),
        actor=_printable(actor),
    )
    _write(path, json.dumps({"version": 1, **bypass._asdict()}, ensure_ascii=False))
    return bypass


def end_bypass(path: str) -> None:
    """End a bypass, if there is one. Raises StateError where the file cannot be written."""
    if os.path.lexists(path):
        _write(path, "")


def prepare_bypass(path: str) -> None:
    """Make a blank file, so that a later bypass needs no free disk; one that exists stays. Raises StateError."""
    if not os.path.lexists(path):
        _write(path, "")


def read_bypass(path: str, clocks: Clocks) -> tuple[Bypass | None, str | None]:
    """Return the bypass that is in force, if any, and what is wrong with the file, if anything.

    A malformed, foreign or widely writable file is ignored, and says so.
    """
    try:
        text = _read(path)
        if not text:
            return None, None
        bypass = _parse(text)
    except FileNotFoundError:
        return None, None
    except PermissionError:
        # Another user's guard: its bypass speaks to bots of that user only.
        return None, None
    except (OSError, ValueError) as error:
        return None, f"the bypass in {path} is ignored: {error}; end it with `guard bypass --end`"
    return (bypass if bypass.end_ns(clocks) > clocks.boot_ns() else None), None


def published_bypass(sight: Sight, path: str, clocks: Clocks) -> Bypass | None:
    """Return the bypass that a live guard has published, for a bot that may not read its file at `path`; None where there is none.

    Who may read the file goes by the file: it can be changed while no guard runs.
    """
    told = None if sight.snapshot is None or not sight.is_fresh else sight.snapshot.bypass
    if told is None or not 0 < told.until_us - told.began_us <= FOR_MAX_US or os.access(path, os.R_OK):
        return None
    bypass = Bypass(*told)
    if sight.is_foreign:
        bypass = bypass._replace(boot_id="", until_boot_ns=0)
    return bypass if bypass.end_ns(clocks) > clocks.boot_ns() else None


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text.strip()[:_TEXT_MAX])


def _parse(text: str) -> Bypass:
    try:
        document = json.loads(text)
        numbers = [document[name] for name in ("until_us", "until_boot_ns", "began_us")]
        words = [document[name] for name in ("boot_id", "reason", "actor")]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("it is not the JSON that guard writes") from error
    if any(type(number) is not int for number in numbers) or any(type(word) is not str for word in words):
        raise ValueError("it is not the JSON that guard writes")
    until_us, until_boot_ns, began_us = numbers
    boot_id, reason, actor = words
    if not 0 < until_us - began_us <= FOR_MAX_US:
        raise ValueError("it lasts longer than 24h")
    return Bypass(until_us, until_boot_ns, boot_id, began_us, reason, actor)


def _read(path: str) -> str:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
            raise ValueError("others than its owner may change or read it (chmod 600)")
        if status.st_uid not in {0, os.geteuid(), os.stat(os.path.dirname(path)).st_uid}:
            raise ValueError(f"it belongs to user {status.st_uid}, not to the owner of the state folder")
        return os.pread(file, _FILE_BYTES, 0).decode("utf-8").strip()
    finally:
        os.close(file)


def _write(path: str, text: str) -> None:
    content = text.encode()
    assert len(content) < _FILE_BYTES
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.fchmod(file, 0o600)
            owner = os.stat(os.path.dirname(path))
            if os.geteuid() == 0:
                os.fchown(file, owner.st_uid, owner.st_gid)
            os.pwrite(file, content.ljust(_FILE_BYTES), 0)
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        raise StateError(f"{path} cannot be written: {error.strerror}") from error
