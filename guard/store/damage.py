"""The error for a ledger that cannot be trusted, which a start may mend by itself."""

from __future__ import annotations

from guard.errors import StateError

__all__ = ["Damaged"]


class Damaged(StateError):
    """The ledger's file is damaged, cut or gone. Nothing was changed; `guard.store.rebuild` says what can be done about it."""
