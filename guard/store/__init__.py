"""The ledger: the only part that knows SQL."""

from guard.store.chain import Verified
from guard.store.ledger import LedgerStore
from guard.store.memory import MemoryStore

__all__ = ["LedgerStore", "MemoryStore", "Verified"]
