"""Live streams through ccxt; the only code that knows ccxt."""

from guard_ccxt.connector import CcxtConnector

__all__ = ["CcxtConnector"]
