"""Live streams through ccxt; the only code that knows ccxt."""
