"""guard: an immune system for trading bots."""

__all__ = ["__version__"]

__version__ = "0.1.0"
