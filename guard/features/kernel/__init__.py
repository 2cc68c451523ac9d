"""The hot loop: a numba-compatible subset of Python over one contiguous record a market."""
