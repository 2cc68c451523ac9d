"""What all tests share: no time limit on an example, and no search for garbage in what was there before the first test."""

from __future__ import annotations

import gc

from hypothesis import settings

# How long an example takes hangs on what else the machine does.
settings.register_profile("guard", deadline=None)
settings.load_profile("guard")


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
