"""Real bots in environments of their own; ``make test-bots`` makes them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the tests import their support beside them

from freqtrade_support import PYTHON, Exchange

if TYPE_CHECKING:
    from collections.abc import Iterator

collect_ignore_glob = ["strategies/*"]  # they import Freqtrade, which is not installed here


@pytest.fixture(scope="session")
def exchange() -> Iterator[Exchange]:
    if not PYTHON.exists():
        pytest.skip("Freqtrade is not installed; run: make test-bots")
    with Exchange(count=40) as running:
        yield running
