from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from client.images import Machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    built = Machine(tmp_path)
    yield built
    built.publisher.stop()
