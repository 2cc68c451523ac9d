"""What is measured of a market: accumulators, the kernel that fills them, and formulas over them."""
