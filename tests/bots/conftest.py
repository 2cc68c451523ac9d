"""Real bots in environments of their own; ``make test-bots`` makes them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the tests import their support beside them

from freqtrade_processes import NURSERY, PYTHON
from freqtrade_support import Exchange

if TYPE_CHECKING:
    from collections.abc import Iterator

# They import the bots themselves, which are not installed here.
collect_ignore_glob = ["strategies/*", "freqtrade_nursery.py", "nautilus_check.py", "hummingbot_check.py"]


@pytest.fixture(scope="session")
def exchange() -> Iterator[Exchange]:
    if not PYTHON.exists():
        pytest.skip("Freqtrade is not installed; run: make test-bots")
    with Exchange(count=40) as running:
        yield running
    NURSERY.end()
