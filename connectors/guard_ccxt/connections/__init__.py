"""Connections to one exchange: opened, read, judged, renewed and split within its limits."""
