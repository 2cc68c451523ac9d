"""The ledger: the only part that knows SQL."""
