"""A plugin of pytest: whoever imports the client gets the vendored file that GUARD_CLIENT_FILE names."""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

MODULES = (
    "guard.errors", "guard.model", "guard.model.bot", "guard.model.clearance", "guard.model.decision", "guard.model.market",
    "guard.model.quarantine", "guard.client", "guard.client.answer", "guard.client.bypass", "guard.client.check",
    "guard.client.clock", "guard.client.layout", "guard.client.packing", "guard.client.payload", "guard.client.places",
    "guard.client.policies", "guard.client.reports", "guard.client.snapshot", "guard.client.watch",
)  # fmt: skip


def _vendored() -> ModuleType:
    spec = importlib.util.spec_from_file_location("guard_client", os.environ["GUARD_CLIENT_FILE"])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["guard_client"] = module
    spec.loader.exec_module(module)
    return module


def _take_over() -> None:
    """Put what the file has in the place of ours, before anything else imports that."""
    vendored = _vendored()
    names = [name for name in MODULES if importlib.util.find_spec(name) is not None]
    for module in map(import_module, names):
        for word in vars(module):
            if not word.startswith("__") and hasattr(vendored, word):
                setattr(module, word, getattr(vendored, word))


_take_over()
