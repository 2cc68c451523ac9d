"""What all tests share: no time limit on an example, no search for garbage in what was there before the first test, an end."""

from __future__ import annotations

import faulthandler
import gc
import os
import signal

from hypothesis import settings

# How long an example takes hangs on what else the machine does.
settings.register_profile("guard", deadline=None)
settings.load_profile("guard")


def pytest_configure() -> None:
    # A shell lets what it starts in the background ignore Ctrl-C, and children inherit that: they would run for ever.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup() -> None:
    # A guard that a test runs in this process takes the rights of others away from all that is made after it.
    os.umask(0o022)


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    # A thread that a failed test left behind would keep the process for ever: told with its stack, and a failure.
    faulthandler.dump_traceback_later(30.0, exit=True)
