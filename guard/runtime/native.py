"""Machine code for the rules, made in a thread of its own while the pipeline runs on."""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from guard.pipeline import Pipeline

__all__ = ["NativeRules"]

_log = structlog.get_logger(__name__)


class NativeRules:
    """Gives a pipeline machine code for its rules, once that is there.

    Parameters
    ----------
    pipeline
        Runs compiled; where it runs plain nothing happens.
    most
        How often it is made at most, where rules or the kinds of markets change.

    Notes
    -----
    `poll` and `close` are called between two batches, by the thread that runs the pipeline. Whatever fails is told once, and the
    pipeline goes on without.
    """

    def __init__(self, pipeline: Pipeline, *, most: int = 4) -> None:
        self._pipeline = pipeline
        self._thread: Thread | None = None
        self._made: list[Any] = []
        self._left = most

    def poll(self) -> None:
        """Begin to make what is missing, or take what is made."""
        if self._thread is not None:
            if not self._thread.is_alive():
                self.close()
            return
        work = self._pipeline.native_screens() if self._left > 0 else None
        if work is None:
            return
        self._left -= 1

        def make() -> None:
            try:
                self._made.append(work())
            except Exception as error:  # noqa: BLE001 - what makes guard faster must not end it
                self._left = 0
                _log.warning("rules run on without machine code of their own", error=str(error) or type(error).__name__)

        self._thread = Thread(target=make, name="native-rules")
        self._thread.start()

    def close(self) -> None:
        """Wait for the thread, and take what it made."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        while self._made:
            self._pipeline.take_native_screens(self._made.pop())
